"""What a training needs to go on elsewhere, bit for bit: one safetensors blob, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter, DropoutRates, LoraWeights, init_lora_weights
from gpu_worker.models.base import BaseModel
from gpu_worker.training import optimizers
from gpu_worker.training.config import TrainingConfig

_FORMAT = "loracode-training-2"
_METADATA_KEY = "training"
_DOWN, _UP, _OPTIMIZER = "down.", "up.", "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, read: everything that moves during a training."""

    step: int
    seconds: float  #: that the training had taken
    started_at: float  #: Unix time of its first start
    fingerprint: str  #: which training this belongs to
    scaler: dict[str, float]
    optimizer: dict[str, Any]  #: its numbers and settings; its tensors are in `memory`
    weights: dict[str, LoraWeights] = field(repr=False)
    optimizer_tensors: dict[str, Tensor] = field(repr=False)
    rng_state: Tensor = field(repr=False)

    def encode(self) -> bytes:
        """Return the blob."""
        tensors = {"random": self.rng_state}
        tensors |= {_OPTIMIZER + name: tensor for name, tensor in self.optimizer_tensors.items()}
        for name, values in self.weights.items():
            tensors[_DOWN + name], tensors[_UP + name] = values.down, values.up
        header = {
            "format": _FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "started_at": self.started_at,
            "fingerprint": self.fingerprint,
            "scaler": self.scaler,
            "optimizer": self.optimizer,
            "alphas": {name: values.alpha for name, values in self.weights.items()},
        }
        return save(tensors, {_METADATA_KEY: json.dumps(header)})

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """Read a blob; BadInput when it is damaged or of another version."""
        try:
            tensors = load(data)
            header: dict[str, Any] = json.loads(lora_file.read_metadata(data)[_METADATA_KEY])
            if header.pop("format") != _FORMAT:
                raise BadInput("The checkpoint is of another version of this program.")
            alphas: dict[str, float] = header.pop("alphas")
            return cls(
                **header,
                weights={
                    name: LoraWeights(tensors[_DOWN + name], tensors[_UP + name], alpha)
                    for name, alpha in alphas.items()
                },
                optimizer_tensors={
                    key.removeprefix(_OPTIMIZER): value
                    for key, value in tensors.items()
                    if key.startswith(_OPTIMIZER)
                },
                rng_state=tensors["random"],
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BadInput("The checkpoint of this training is damaged.") from error

    def is_finite(self) -> bool:
        """Tell whether the training could go on from here."""
        return all(bool(v.down.isfinite().all() and v.up.isfinite().all()) for v in self.weights.values())


class TrainingState:
    """A training's moving parts: adapter, optimizer, its own random stream, steps done."""

    def __init__(
        self,
        base: BaseModel,
        config: TrainingConfig,
        checkpoint: Checkpoint | None = None,
        initial_weights: Mapping[str, LoraWeights] | None = None,
    ) -> None:
        """Begin, go on from a snapshot, or begin from the matrices of a finished LoRA."""
        self.step = checkpoint.step if checkpoint else 0
        self.generator = torch.Generator().manual_seed(config.seed)
        fresh_weights = init_lora_weights(
            _select_lora_targets(base, config), config.rank, config.alpha, self.generator
        )
        weights = (
            fresh_weights
            if initial_weights is None
            else _merge_initial_weights(fresh_weights, initial_weights)
        )
        dropout_rates = DropoutRates(config.dropout, config.rank_dropout, config.module_dropout)
        self.adapter = Adapter(
            base,
            checkpoint.weights if checkpoint else weights,
            is_trainable=True,
            dropout_rates=dropout_rates,
        )
        self.parameters = self.adapter.parameters()
        self._learning_rates = {"lora_unet_": config.unet_lr, "lora_te_": config.text_encoder_lr}
        param_groups = [
            {"params": parameters, "lr": learning_rate}
            for prefix, learning_rate in self._learning_rates.items()
            if (parameters := self.adapter.parameters(prefix))
        ]
        self.optimizer = optimizers.build_optimizer(config, param_groups)
        self._lr_lambda = optimizers.build_lr_lambda(config)
        # Only fp16 gradients are so small that they vanish; elsewhere it passes everything through.
        self.scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype is torch.float16)
        if checkpoint:
            self._restore(checkpoint)

    @property
    def has_finite_gradients(self) -> bool:
        """Whether gradients come out as numbers now and then; on a card it is waited for."""
        # The scaler halves the loss after each step it had to leave out. Where the true size is too large,
        # fp16 is too narrow for the gradients, or they are no numbers at any size.
        return bool(self.scaler.get_scale() >= 1.0)

    def set_learning_rates(self) -> dict[str, float]:
        """Give the optimizer the rates of the coming step; return them, UNet and text encoder."""
        multiplier = self._lr_lambda(self.step)
        learning_rates = {
            prefix: learning_rate * multiplier for prefix, learning_rate in self._learning_rates.items()
        }
        active_rates = [
            learning_rate
            for prefix, learning_rate in learning_rates.items()
            if self.adapter.parameters(prefix)
        ]
        for group, learning_rate in zip(self.optimizer.param_groups, active_rates, strict=True):
            if group["lr"] is not None:  # Adafactor may find its own
                group["lr"] = learning_rate
        return learning_rates

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.generator.set_state(checkpoint.rng_state)
        if checkpoint.scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(checkpoint.scaler)
        optimizer_state = _join_optimizer_state(checkpoint.optimizer, checkpoint.optimizer_tensors)
        current_groups = self.optimizer.state_dict()["param_groups"]
        for group, current_group in zip(optimizer_state["param_groups"], current_groups, strict=True):
            group["params"] = current_group["params"]
            # JSON knows lists only, and some optimizers compare.
            group |= {
                key: tuple(value) for key, value in group.items() if isinstance(current_group.get(key), tuple)
            }
        self.optimizer.load_state_dict(optimizer_state)

    def to_checkpoint(self, seconds: float, started_at: float, fingerprint: str) -> Checkpoint:
        """Return copies of everything that moves."""
        optimizer_state, optimizer_tensors = _split_optimizer_state(self.optimizer.state_dict())
        return Checkpoint(
            step=self.step,
            seconds=seconds,
            started_at=started_at,
            fingerprint=fingerprint,
            scaler=self.scaler.state_dict(),
            optimizer=optimizer_state,
            weights=self.adapter.copy_weights(),
            optimizer_tensors=optimizer_tensors,
            rng_state=self.generator.get_state(),
        )


def _select_lora_targets(base: BaseModel, config: TrainingConfig) -> Any:
    targets = base.unet_targets if config.train_unet else ()
    return targets + (base.text_encoder_targets if config.train_text_encoder else ())


def _merge_initial_weights(
    fresh_weights: Mapping[str, LoraWeights], initial_weights: Mapping[str, LoraWeights]
) -> dict[str, LoraWeights]:
    """Put the matrices of a finished LoRA in the place of fresh ones; BadInput when none of it fits."""
    if not initial_weights.keys() & fresh_weights.keys():
        raise BadInput("The LoRA to go on from was made for another kind of base model.")
    for name in initial_weights.keys() & fresh_weights.keys():
        if (
            initial_weights[name].down.shape != fresh_weights[name].down.shape
            or initial_weights[name].up.shape != fresh_weights[name].up.shape
        ):
            raise BadInput("The LoRA to go on from has another rank, or was made for another base model.")
    return {name: initial_weights.get(name, layer_weights) for name, layer_weights in fresh_weights.items()}


def _split_optimizer_state(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Part an optimizer's state into what JSON can say and tensors."""
    tensors: dict[str, Tensor] = {}

    def extract_plain(prefix: str, values: Mapping[Any, Any]) -> dict[str, Any]:
        plain_values = {}
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{key}"] = value.detach().cpu().clone()
            else:
                plain_values[str(key)] = value
        return plain_values

    plain_state = {
        "state": {
            str(index): extract_plain(f"state.{index}", values) for index, values in state["state"].items()
        },
        "param_groups": [
            extract_plain(f"group.{number}", {key: value for key, value in group.items() if key != "params"})
            for number, group in enumerate(state["param_groups"])
        ],
    }
    return plain_state, tensors


def _join_optimizer_state(plain_state: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Put together what `_parted` parted."""
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in plain_state["state"].items()
    }
    groups = [dict(group) for group in plain_state["param_groups"]]
    for name, tensor in tensors.items():
        section, number, key = name.split(".", 2)
        (state[int(number)] if section == "state" else groups[int(number)])[key] = tensor.clone()
    return {"state": state, "param_groups": groups}
