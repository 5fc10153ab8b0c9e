"""Flow matching: noise, target, timesteps and steps are those of diffusers' scheduler."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.flow.klein.config import SCHEDULER_CONFIG, compute_mu
from gpu_worker.models.noise.flow import Flow, FlowConfig

DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}
STATIC = {"use_dynamic_shifting": False, "shift": 3.0}
SHAPE = (2, 4, 32, 16)  # 512 tokens
CPU = torch.device("cpu")


def make_flow(config: dict[str, Any], **options: Any) -> Flow:
    return Flow(FlowConfig(config, **options))


def make_scheduler(config: dict[str, Any], steps: int, mu: float) -> Any:
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist(), mu=mu)
    return scheduler


@pytest.mark.parametrize("config", [DYNAMIC, STATIC])
def test_steps_are_those_of_the_scheduler(config: dict[str, Any]) -> None:
    theirs = make_scheduler(config, 7, mu=0.5 + 0.65 * (512 - 256) / (4096 - 256))
    noise = torch.randn(SHAPE)
    ours, latents = make_flow(config).start("Euler", 7, noise, CPU)
    assert torch.allclose(ours.timesteps, theirs.timesteps)
    expected = noise
    for timestep in ours.timesteps:
        model_pred = torch.randn(SHAPE)
        latents = ours.step(model_pred, timestep, latents, torch.Generator())
        expected = theirs.step(model_pred, timestep, expected, return_dict=False)[0]
    assert torch.allclose(latents, expected, atol=1e-6)


@pytest.mark.parametrize("shift", [3.0, 6.0])  # Z-Image-Turbo's and Z-Image's
@pytest.mark.parametrize("steps", [8, 28])
def test_sigmas_are_shifted_as_the_model_s_own_scheduler_says(shift: float, steps: int) -> None:
    config = {"use_dynamic_shifting": False, "shift": shift}
    ours = make_flow(config).compute_sigmas(steps, SHAPE)
    assert torch.allclose(ours, make_scheduler(config, steps, mu=0.0).sigmas, atol=1e-6)
    assert ours[1] == pytest.approx(shift * (1 - 1 / steps) / (1 + (shift - 1) * (1 - 1 / steps)), abs=0.02)


@pytest.mark.parametrize("side", [32, 64])  # 512 and 1024 px
@pytest.mark.parametrize("steps", [4, 50])
def test_klein_s_sigmas_are_shifted_by_steps_and_size_as_its_pipeline_does(side: int, steps: int) -> None:
    theirs = make_scheduler(SCHEDULER_CONFIG, steps, mu=compute_empirical_mu(side * side, steps))
    flow = make_flow(SCHEDULER_CONFIG, compute_mu=compute_mu)
    assert torch.allclose(flow.compute_sigmas(steps, (1, 128, side, side)), theirs.sigmas, atol=1e-6)


def test_pictures_take_the_twin_s_shift_and_trainings_that_of_the_undistilled_model() -> None:
    pair = make_flow(STATIC, training_scheduler_config={**STATIC, "shift": 6.0})
    base = make_flow({**STATIC, "shift": 6.0})
    assert torch.equal(pair.compute_sigmas(8, SHAPE), make_flow(STATIC).compute_sigmas(8, SHAPE))
    assert torch.equal(draw_sigmas(pair), draw_sigmas(base))
    assert draw_sigmas(base).mean() > draw_sigmas(make_flow(STATIC)).mean()


def test_a_picture_to_start_from_gets_the_scheduler_s_noise() -> None:
    theirs = make_scheduler(STATIC, 10, mu=0.0)
    init, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    ours, latents = make_flow(STATIC).start("Euler", 10, noise, CPU, (init, 0.4))
    assert len(ours.timesteps) == 4
    assert torch.allclose(latents, theirs.scale_noise(init, theirs.timesteps[6:7], noise), atol=1e-6)


def test_latents_and_their_noise_end_where_they_began() -> None:
    flow = make_flow(STATIC)
    latents, noise, timestep = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([250.0, 250.0])
    noisy, target = flow.add_noise(latents, noise, timestep), flow.compute_target(latents, noise, timestep)
    assert torch.allclose(noisy, 0.75 * latents + 0.25 * noise)
    scheduler, _ = flow.start("Euler", 4, noise, CPU)
    assert torch.allclose(scheduler.predict_original(noisy, target, timestep[0]), latents, atol=1e-6)


def draw_sigmas(flow: Flow, shape: tuple[int, ...] = (4000, 4, 32, 16)) -> torch.Tensor:
    return flow.sample_timesteps(shape, torch.Generator().manual_seed(3)) / 1000


def test_training_sigmas_are_those_of_the_scheduler() -> None:
    theirs = FlowMatchEulerDiscreteScheduler.from_config(STATIC).sigmas
    ours = draw_sigmas(make_flow(STATIC, distribution="uniform"))
    assert (ours[:, None] - theirs[None]).abs().min(dim=1).values.max() < 1e-5
    assert float(ours.min()) > 0
    assert float(ours.max()) <= 1


def test_training_sigmas_are_spread_as_their_distribution_says() -> None:
    unshifted = {"shift": 1.0}
    uniform = draw_sigmas(make_flow(unshifted, distribution="uniform"))
    normal = draw_sigmas(make_flow(unshifted))
    assert uniform.std() == pytest.approx(1 / math.sqrt(12), abs=0.01)
    assert torch.logit(normal.clamp(1e-6, 1 - 1e-6)).std() == pytest.approx(1.0, abs=0.05)
    assert normal.median() == pytest.approx(0.5, abs=0.02)


def test_more_latents_are_trained_with_more_noise() -> None:
    flow = make_flow(DYNAMIC)
    small, large = draw_sigmas(flow), draw_sigmas(flow, (4000, 4, 64, 64))
    shift = math.exp(1.15)  # at 4,096 tokens
    assert large.median() == pytest.approx(shift / (1 + shift), abs=0.02)
    assert large.median() > small.median() > 0.5
    assert torch.equal(draw_sigmas(make_flow(DYNAMIC, patch_side=2), (4000, 4, 128, 128)), large)


def test_what_flow_has_not_is_refused_in_a_sentence() -> None:
    flow = make_flow(STATIC)
    assert flow.choose_sampler("", is_fast=True) == flow.choose_sampler("euler", is_fast=False) == "Euler"
    with pytest.raises(BadInput) as caught:
        flow.choose_sampler("unipc", is_fast=False)
    assert caught.value.problem is JobProblem.SAMPLER_FIXED
    with pytest.raises(BadInput, match="flow matching"):
        flow.compute_snr_weights(5.0, CPU)
