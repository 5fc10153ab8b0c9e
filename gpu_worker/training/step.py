"""One training's lesson: the photos as latents, the words for them, and one optimizer step."""

from __future__ import annotations

from random import Random
from typing import Protocol

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.training import loss as training_loss
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import Dials
from gpu_worker.training.data import Example, Order
from gpu_worker.training.latents import Study
from gpu_worker.training.preservation import Preservation, Shown


class Studies(Protocol):
    """All pictures of a training; one may be encoded only when it is asked for."""

    @property
    def examples(self) -> tuple[Example, ...]:
        """What they are made from."""

    def __getitem__(self, index: int) -> Study:
        """Return a picture as the model gets it."""


class Lesson:
    """What stays the same during a training, and one step of it."""

    def __init__(self, base: BaseModel, dials: Dials, studies: Studies) -> None:
        self._base, self._dials, self._studies = base, dials, studies
        self._schedule = DDPMScheduler.from_config(base.scheduler_config)
        self._loss = training_loss.Loss(self._schedule, dials, base.device)
        self._order = Order(studies.examples, dials.batch_size, dials.seed)
        self._preservation = Preservation(base, dials)
        # A text encoder that does not learn says the same of the same words at every step.
        self._said: dict[str, Tensor] = {}

    def step(self, state: TrainingState) -> Tensor:
        """Do one optimizer step; return its loss, on the model's device, detached."""
        # Whoever ran between two steps left another adapter on, or none.
        state.adapter.activate()
        state.set_rates()
        parts = self._dials.gradient_accumulation
        total = torch.zeros((), device=self._base.device)
        with torch.enable_grad():
            for part in range(parts):
                share = self.loss(state, state.step * parts + part) / parts
                state.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
                total += share.detach()
        if self._dials.max_gradient_norm:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(state.parameters, self._dials.max_gradient_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        return total

    def loss(self, state: TrainingState, batch_number: int) -> Tensor:
        """Return how badly the model tells the noise in a batch of noisy photos."""
        chosen = [self._studies[index] for index in self._order.batch(batch_number)]
        luck = Random(f"{self._dials.seed} {batch_number}")  # noqa: S311 - training noise
        captions = tuple(study.example.words(luck) for study in chosen)
        # Drawn for every picture, so that one's setting does not change another's luck.
        mirrored = [luck.random() < 0.5 and study.mirrored is not None for study in chosen]
        clean = torch.stack([_view(study, flip) for study, flip in zip(chosen, mirrored, strict=True)])
        count = self._schedule.config.num_train_timesteps
        chance = training_loss.draw(tuple(clean.shape), self._dials, count, state.generator)
        if state.adapter.drops:
            state.adapter.draw_dropout(int(torch.randint(2**31, (), generator=state.generator)))
        clean = self._send(clean)
        chance = training_loss.Draw(self._send(chance.noise), self._send(chance.times))
        noisy = self._schedule.add_noise(clean, chance.noise, chance.times).to(self._base.dtype)
        shown = Shown(noisy, chance.times, captions)
        wanted, count = self._loss.wanted(clean, chance), len(chosen)
        masks, weights = self._masks(chosen, mirrored), self._weights(chosen)
        again = self._preservation.of(shown, [study.example for study in chosen], batch_number)
        if again is None:
            return self._loss(self._answers(shown), wanted, chance.times, masks, weights)
        state.adapter.activate()
        told = self._answers(shown + again.shown)
        photos = self._loss(told[:count], wanted, chance.times, masks, weights)
        return photos + again.weight * self._loss(told[count:], again.own, again.shown.times)

    def _answers(self, shown: Shown) -> Tensor:
        told: Tensor = self._base.unet(shown.noisy, shown.times, self._words(shown.words)).sample
        return told.float()

    def _words(self, captions: tuple[str, ...]) -> Tensor:
        if self._dials.train_text_encoder:
            return self._base.embed(list(captions), self._dials.clip_skip)
        with torch.no_grad():
            for caption in captions:
                if caption not in self._said:
                    self._said[caption] = self._base.embed([caption], self._dials.clip_skip)[0]
        return torch.stack([self._said[caption] for caption in captions])

    def _masks(self, chosen: list[Study], mirrored: list[bool]) -> Tensor | None:
        if not self._dials.masked_loss:
            return None
        masks = []
        for study, flip in zip(chosen, mirrored, strict=True):
            mask = torch.ones(1, *study.latents.shape[1:]) if study.mask is None else study.mask
            masks.append(mask.flip(-1) if flip else mask)
        return self._send(torch.stack(masks))

    def _weights(self, chosen: list[Study]) -> Tensor:
        prior = self._dials.prior_loss_weight
        return self._send(
            torch.tensor([prior if study.example.is_regularisation else 1.0 for study in chosen])
        )

    def _send(self, tensor: Tensor) -> Tensor:
        """Bring a small tensor to the card without waiting for what the card is doing."""
        if self._base.device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._base.device, non_blocking=True)


def _view(study: Study, mirrored: bool) -> Tensor:
    return study.mirrored if mirrored and study.mirrored is not None else study.latents
