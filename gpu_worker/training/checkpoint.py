"""What a training needs to go on elsewhere, bit for bit: one safetensors blob, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter, Dropout, LoraMatrices, fresh_matrices
from gpu_worker.models.base import BaseModel
from gpu_worker.training import optimizers
from gpu_worker.training.config import Dials

_FORMAT = "loracode-training-2"
_METADATA_KEY = "training"
_DOWN, _UP, _MEMORY = "down.", "up.", "optimizer."


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint, read: everything that moves during a training."""

    step: int
    seconds: float  #: that the training had taken
    started_at: float  #: Unix time of its first start
    fingerprint: str  #: which training this belongs to
    scaler: dict[str, float]
    optimizer: dict[str, Any]  #: its numbers and settings; its tensors are in `memory`
    matrices: dict[str, LoraMatrices] = field(repr=False)
    memory: dict[str, Tensor] = field(repr=False)
    random_state: Tensor = field(repr=False)

    def encode(self) -> bytes:
        """Return the blob."""
        tensors = {"random": self.random_state}
        tensors |= {_MEMORY + name: tensor for name, tensor in self.memory.items()}
        for name, values in self.matrices.items():
            tensors[_DOWN + name], tensors[_UP + name] = values.down, values.up
        told = {
            "format": _FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "started_at": self.started_at,
            "fingerprint": self.fingerprint,
            "scaler": self.scaler,
            "optimizer": self.optimizer,
            "alphas": {name: values.alpha for name, values in self.matrices.items()},
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
            alphas: dict[str, float] = told.pop("alphas")
            return cls(
                **told,
                matrices={
                    name: LoraMatrices(tensors[_DOWN + name], tensors[_UP + name], alpha)
                    for name, alpha in alphas.items()
                },
                memory={
                    key.removeprefix(_MEMORY): value
                    for key, value in tensors.items()
                    if key.startswith(_MEMORY)
                },
                random_state=tensors["random"],
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BadInput("The checkpoint of this training is damaged.") from error

    def is_finite(self) -> bool:
        """Tell whether the training could go on from here."""
        return all(bool(v.down.isfinite().all() and v.up.isfinite().all()) for v in self.matrices.values())


class TrainingState:
    """A training's moving parts: adapter, optimizer, its own random stream, steps done."""

    def __init__(
        self,
        base: BaseModel,
        dials: Dials,
        snapshot: Snapshot | None = None,
        start: Mapping[str, LoraMatrices] | None = None,
    ) -> None:
        """Begin, go on from a snapshot, or begin from the matrices of a finished LoRA."""
        self.step = snapshot.step if snapshot else 0
        self.generator = torch.Generator().manual_seed(dials.seed)
        fresh = fresh_matrices(_targets(base, dials), dials.rank, dials.alpha, self.generator)
        begun = fresh if start is None else _begun(fresh, start)
        dropout = Dropout(dials.dropout, dials.rank_dropout, dials.module_dropout)
        self.adapter = Adapter(base, snapshot.matrices if snapshot else begun, trains=True, dropout=dropout)
        self.parameters = self.adapter.parameters()
        self._rates = {"lora_unet_": dials.unet_rate, "lora_te_": dials.text_rate}
        groups = [
            {"params": parameters, "lr": rate}
            for prefix, rate in self._rates.items()
            if (parameters := self.adapter.parameters(prefix))
        ]
        self.optimizer = optimizers.build(dials, groups)
        self._multiplier = optimizers.rate_multiplier(dials)
        # Only fp16 gradients are so small that they vanish; elsewhere it passes everything through.
        self.scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype is torch.float16)
        if snapshot:
            self._take_up(snapshot)

    @property
    def is_learning(self) -> bool:
        """Whether gradients come out as numbers now and then; on a card it is waited for."""
        # The scaler halves the loss after each step it had to leave out. Where the true size is too large,
        # fp16 is too narrow for the gradients, or they are no numbers at any size.
        return bool(self.scaler.get_scale() >= 1.0)

    def set_rates(self) -> dict[str, float]:
        """Give the optimizer the rates of the coming step; return them, UNet and text encoder."""
        multiplier = self._multiplier(self.step)
        wanted = {prefix: rate * multiplier for prefix, rate in self._rates.items()}
        present = [rate for prefix, rate in wanted.items() if self.adapter.parameters(prefix)]
        for group, rate in zip(self.optimizer.param_groups, present, strict=True):
            if group["lr"] is not None:  # Adafactor may find its own
                group["lr"] = rate
        return wanted

    def _take_up(self, snapshot: Snapshot) -> None:
        self.generator.set_state(snapshot.random_state)
        if snapshot.scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(snapshot.scaler)
        told = _joined(snapshot.optimizer, snapshot.memory)
        own = self.optimizer.state_dict()["param_groups"]
        for group, mine in zip(told["param_groups"], own, strict=True):
            group["params"] = mine["params"]
            # JSON knows lists only, and some optimizers compare.
            group |= {key: tuple(value) for key, value in group.items() if isinstance(mine.get(key), tuple)}
        self.optimizer.load_state_dict(told)

    def snapshot(self, seconds: float, started_at: float, fingerprint: str) -> Snapshot:
        """Return copies of everything that moves."""
        told, memory = _parted(self.optimizer.state_dict())
        return Snapshot(
            step=self.step,
            seconds=seconds,
            started_at=started_at,
            fingerprint=fingerprint,
            scaler=self.scaler.state_dict(),
            optimizer=told,
            matrices=self.adapter.matrices(),
            memory=memory,
            random_state=self.generator.get_state(),
        )


def _targets(base: BaseModel, dials: Dials) -> Any:
    targets = base.unet_targets if dials.train_unet else ()
    return targets + (base.text_targets if dials.train_text_encoder else ())


def _begun(fresh: Mapping[str, LoraMatrices], start: Mapping[str, LoraMatrices]) -> dict[str, LoraMatrices]:
    """Put the matrices of a finished LoRA in the place of fresh ones; BadInput when none of it fits."""
    if not start.keys() & fresh.keys():
        raise BadInput("The LoRA to go on from was made for another kind of base model.")
    for name in start.keys() & fresh.keys():
        if start[name].down.shape != fresh[name].down.shape or start[name].up.shape != fresh[name].up.shape:
            raise BadInput("The LoRA to go on from has another rank, or was made for another base model.")
    return {name: start.get(name, matrices) for name, matrices in fresh.items()}


def _parted(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Part an optimizer's state into what JSON can say and tensors."""
    memory: dict[str, Tensor] = {}

    def plain(prefix: str, values: Mapping[Any, Any]) -> dict[str, Any]:
        told = {}
        for key, value in values.items():
            if isinstance(value, Tensor):
                memory[f"{prefix}.{key}"] = value.detach().cpu().clone()
            else:
                told[str(key)] = value
        return told

    told = {
        "state": {str(index): plain(f"state.{index}", values) for index, values in state["state"].items()},
        "param_groups": [
            plain(f"group.{number}", {key: value for key, value in group.items() if key != "params"})
            for number, group in enumerate(state["param_groups"])
        ],
    }
    return told, memory


def _joined(told: dict[str, Any], memory: Mapping[str, Tensor]) -> dict[str, Any]:
    """Put together what `_parted` parted."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in told["state"].items()}
    groups = [dict(group) for group in told["param_groups"]]
    for name, tensor in memory.items():
        kind, number, key = name.split(".", 2)
        (state[int(number)] if kind == "state" else groups[int(number)])[key] = tensor.clone()
    return {"state": state, "param_groups": groups}


def fingerprint(base: BaseModel, dials: Dials, contents: list[str]) -> str:
    """Name a training by all that must be the same for its checkpoint to fit.

    Precision and memory settings are left out: a training that shifted down a gear goes on with its numbers.
    So are the steps: more of them may be wanted.
    """
    told = {key: value for key, value in asdict(dials).items() if not key.startswith(_NOT_IDENTITY)}
    return json.dumps([base.name, told, contents], sort_keys=True)


_NOT_IDENTITY = ("steps", "gradient_checkpointing", "save_precision", "checkpoint_", "sample_")
