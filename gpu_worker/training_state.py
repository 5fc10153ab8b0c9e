"""What a training needs to go on elsewhere, bit for bit: one safetensors blob, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker import lora_file
from gpu_worker.adapters import Adapter, LoraMatrices, fresh_matrices
from gpu_worker.base_model import BaseModel
from gpu_worker.dials import Dials
from gpu_worker.errors import BadInput

_FORMAT = "loracode-training-1"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_METADATA_KEY = "training"


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint, read: everything that moves during a training."""

    step: int
    seconds: float  #: that the training had taken
    started_at: float  #: Unix time of its first start
    fingerprint: str  #: which training this belongs to
    scaler: dict[str, float]
    matrices: dict[str, LoraMatrices] = field(repr=False)
    moments: dict[str, Tensor] = field(repr=False)
    random_state: Tensor = field(repr=False)

    def encode(self) -> bytes:
        """Return the blob."""
        tensors = {"random": self.random_state, **self.moments}
        for name, values in self.matrices.items():
            tensors[f"down.{name}"], tensors[f"up.{name}"] = values.down, values.up
        alpha = next(iter(self.matrices.values())).alpha
        told = {
            "format": _FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "started_at": self.started_at,
            "fingerprint": self.fingerprint,
            "scaler": self.scaler,
            "alpha": alpha,
        }
        return save(tensors, {_METADATA_KEY: json.dumps(told)})

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Read a blob; BadInput when it is damaged or of another version."""
        try:
            tensors = load(data)
            told: dict[str, Any] = json.loads(lora_file.read_metadata(data)[_METADATA_KEY])
            if told.pop("format") != _FORMAT:
                raise BadInput("The checkpoint is of another version of this program.")
            alpha = float(told.pop("alpha"))
            names = [key.removeprefix("down.") for key in tensors if key.startswith("down.")]
            return cls(
                **told,
                matrices={n: LoraMatrices(tensors[f"down.{n}"], tensors[f"up.{n}"], alpha) for n in names},
                moments={key: value for key, value in tensors.items() if key.startswith(_MOMENTS)},
                random_state=tensors["random"],
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BadInput("The checkpoint of this training is damaged.") from error


class TrainingState:
    """A training's moving parts: adapter, optimizer, its own random stream, steps done."""

    def __init__(self, base: BaseModel, dials: Dials, snapshot: Snapshot | None = None) -> None:
        self.step = snapshot.step if snapshot else 0
        self.generator = torch.Generator().manual_seed(dials.seed)
        targets = base.unet_targets + (base.text_targets if dials.train_text_encoder else ())
        fresh = fresh_matrices(targets, dials.rank, dials.alpha, self.generator)
        self.adapter = Adapter(base, snapshot.matrices if snapshot else fresh)
        self.parameters = self.adapter.parameters()
        groups = [
            {"params": self.adapter.parameters(prefix), "lr": rate}
            for prefix, rate in (("lora_unet_", dials.unet_rate), ("lora_te_", dials.text_rate))
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            betas=dials.betas,
            weight_decay=dials.weight_decay,
            fused=True,
        )
        # Only fp16 gradients are so small that they vanish; elsewhere it passes everything through.
        self.scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype is torch.float16)
        if snapshot:
            self._take_up(snapshot)

    def _take_up(self, snapshot: Snapshot) -> None:
        self.generator.set_state(snapshot.random_state)
        if snapshot.scaler:
            self.scaler.load_state_dict(snapshot.scaler)
        for index, parameter in enumerate(self.parameters):
            if f"step.{index}" in snapshot.moments:
                found = {key: snapshot.moments[f"{key}.{index}"] for key in _MOMENTS}
                self.optimizer.state[parameter] = {
                    key: moment.to(parameter.device, copy=True) for key, moment in found.items()
                }

    def snapshot(self, seconds: float, started_at: float, fingerprint: str) -> Snapshot:
        """Return copies of everything that moves."""
        # A step that overflowed in fp16 is left out, so there may be no moments yet.
        moments = {
            f"{key}.{index}": self.optimizer.state[parameter][key].detach().cpu().clone()
            for index, parameter in enumerate(self.parameters)
            if parameter in self.optimizer.state
            for key in _MOMENTS
        }
        return Snapshot(
            step=self.step,
            seconds=seconds,
            started_at=started_at,
            fingerprint=fingerprint,
            scaler=self.scaler.state_dict(),
            matrices=self.adapter.matrices(),
            moments=moments,
            random_state=self.generator.get_state(),
        )


def fingerprint(base: BaseModel, dials: Dials, contents: list[str]) -> str:
    """Name a training by all that must be the same for its checkpoint to fit."""
    return json.dumps([base.name, str(base.dtype), asdict(dials), contents], sort_keys=True)
