"""Train the net that judges the small base model's pictures.

    python kohya-scripts/train_judge.py --run /tmp/run --to gpu_worker/models/drawn/judge.safetensors

It learns from drawings and from drawings that went through the run's VAE, so that soft pictures are judged
as well. People and scenes up to the settings' `drawings` are for training; it is tested on others.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from small_base.architecture import build_vae
from small_base.settings import SmallBaseSettings
from small_base.state import TrainingState
from torch import Tensor

import drawn
from gpu_worker.models.drawn.judge import SIDE_PX, JudgeNet, labels


@dataclass(frozen=True)
class JudgeSettings:
    """How the net is taught."""

    seed: int = 21
    people: int = 3_000
    scenes: int = 4  #: of each person
    steps: int = 3_000
    people_per_batch: int = 32
    rate: float = 2e-3
    temperature: float = 0.1  #: of the contrast between people (Khosla et al. 2020)
    identity_weight: float = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the base model's run: its VAE")
    parser.add_argument("--to", type=Path, required=True, help="the weights' file")
    arguments = parser.parse_args()
    settings = JudgeSettings()
    lessons = Lessons(
        settings, first_person=0, people=settings.people, vae_path=arguments.run / "vae.safetensors"
    )
    net = teach(settings, lessons)
    unseen = Lessons(settings, SmallBaseSettings().unseen_seed, 300, arguments.run / "vae.safetensors")
    examine(net, unseen)
    save_file({name: value.half().contiguous() for name, value in net.state_dict().items()}, arguments.to)
    say(f"{arguments.to}: {arguments.to.stat().st_size / 2**20:.2f} MiB")
    return 0


class Lessons:
    """People in several scenes each: as drawn, as the VAE gives them back, and the answers."""

    def __init__(self, settings: JudgeSettings, first_person: int, people: int, vae_path: Path) -> None:
        say(f"drawing {people} people in {settings.scenes} scenes each")
        pixels, answers = [], []
        for person_seed in range(first_person, first_person + people):
            person = drawn.identity(person_seed)
            for number in range(settings.scenes):
                where = drawn.scene(person_seed * 7 + number)
                pixels.append(np.asarray(drawn.draw(person, where, SIDE_PX)).transpose(2, 0, 1))
                answers.append(labels(person, where))
        self.people, self.scenes = people, settings.scenes
        self.answers = torch.tensor(answers).view(people, settings.scenes, -1)
        clean = torch.from_numpy(np.stack(pixels)).view(people, settings.scenes, 3, SIDE_PX, SIDE_PX)
        self.variants = (clean, _round_trip(clean, vae_path))

    def batch(self, people: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return two scenes of each person, blurred, shifted and tinted a little, with the answers."""
        scenes = torch.stack([torch.randperm(self.scenes, generator=generator)[:2] for _ in people])
        soft = torch.rand(scenes.shape, generator=generator) < 0.5
        found = torch.where(
            soft[..., None, None, None],
            self.variants[1][people[:, None], scenes],
            self.variants[0][people[:, None], scenes],
        )
        pixels = found.flatten(0, 1).float() / 127.5 - 1
        return _varied(pixels, generator), self.answers[people[:, None], scenes].flatten(0, 1)


@torch.no_grad()
def _round_trip(clean: Tensor, vae_path: Path) -> Tensor:
    say("through the VAE")
    vae = build_vae(SmallBaseSettings())
    state = TrainingState(vae, rate=0.0, ema_decay=0.0)
    state.load(vae_path)
    state.use_average()
    flat, found = clean.flatten(0, 1), []
    for start in range(0, len(flat), 32):
        pixels = flat[start : start + 32].float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16):
            back = vae.decode(vae.encode(pixels).latent_dist.mean).sample
        found.append(((back.float().clamp(-1, 1) + 1) * 127.5).round().byte())
    return torch.cat(found).view(clean.shape)


def _varied(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blur some, shift by up to 3 pixels, change brightness and contrast by up to a tenth."""
    if float(torch.rand((), generator=generator)) < 0.4:
        size = int(torch.randint(32, 60, (), generator=generator))
        small = F.interpolate(pixels, size=(size, size), mode="area")
        pixels = F.interpolate(small, size=(SIDE_PX, SIDE_PX), mode="bilinear")
    padded = F.pad(pixels, (3, 3, 3, 3), mode="replicate")
    down, right = torch.randint(0, 7, (2,), generator=generator).tolist()
    moved = padded[:, :, down : down + SIDE_PX, right : right + SIDE_PX]
    luck = torch.rand(2, len(pixels), 1, 1, 1, generator=generator) * 0.2 - 0.1
    return (moved * (1 + luck[0]) + luck[1]).clamp(-1, 1)


def teach(settings: JudgeSettings, lessons: Lessons) -> JudgeNet:
    """Return the net, taught."""
    torch.manual_seed(settings.seed)
    net = JudgeNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, settings.steps)
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.steps + 1):
        people = torch.randperm(lessons.people, generator=generator)[: settings.people_per_batch]
        pixels, answers = lessons.batch(people, generator)
        told = net(pixels)
        loss = settings.identity_weight * contrast(told["identity"], settings.temperature)
        for number, question in enumerate(("place", "shirt", "hair")):
            loss = loss + F.cross_entropy(told[question], answers[:, number])
        loss = loss + F.binary_cross_entropy_with_logits(told["worn"], answers[:, 3:].float())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 250 == 0:
            say(f"judge {step}/{settings.steps} loss {float(loss):.3f}")
    return net.eval()


def contrast(identities: Tensor, temperature: float) -> Tensor:
    """Return how badly each picture is told from the others as its person's other one; pairs lie together."""
    likeness = identities @ identities.T / temperature
    likeness.fill_diagonal_(float("-inf"))
    partners = torch.arange(len(identities)) ^ 1
    return F.cross_entropy(likeness, partners)


@torch.no_grad()
def examine(net: JudgeNet, lessons: Lessons) -> None:
    """Print how often the net is right about people it has never seen."""
    for name, pixels in zip(("drawn", "through the VAE"), lessons.variants, strict=True):
        told = net(pixels.flatten(0, 1).float() / 127.5 - 1)
        answers = lessons.answers.flatten(0, 1)
        right = [
            float((told[question].argmax(1) == answers[:, number]).float().mean())
            for number, question in enumerate(("place", "shirt", "hair"))
        ]
        who = told["identity"].view(lessons.people, lessons.scenes, -1)
        same = (who[:, 0] * who[:, 1]).sum(-1)
        other = (who[:, 0] * who.roll(1, 0)[:, 1]).sum(-1)
        say(
            f"{name}: place {right[0]:.3f}, shirt {right[1]:.3f}, hair {right[2]:.3f}, "
            f"same person closer {float((same > other).float().mean()):.3f}"
        )


def say(line: str) -> None:
    """Print a line of the log with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
