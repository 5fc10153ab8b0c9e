"""The state of a training, and its checkpoint: one safetensors blob, from which it resumes bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.device.memory_modes import NotFinite
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter, DropoutRates, LoraWeights, init_lora_weights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget
from gpu_worker.training import optimizers
from gpu_worker.training.config import TrainingConfig

_FORMAT = "loracode-training-2"
_METADATA_KEY = "training"
_DOWN, _UP, _OPTIMIZER = "down.", "up.", "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A copy of everything that changes during a training."""

    step: int
    seconds: float  #: time that the training had taken
    started_at: float  #: Unix time of its first start
    fingerprint: str  #: of the training that it belongs to
    scaler: dict[str, float]
    optimizer: dict[str, Any]  #: its plain values; its tensors are in `optimizer_tensors`
    weights: dict[str, LoraWeights] = field(repr=False)
    optimizer_tensors: dict[str, Tensor] = field(repr=False)
    rng_state: Tensor = field(repr=False)

    def encode(self) -> bytes:
        """Return the checkpoint as safetensors bytes."""
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
        """Read the bytes of a checkpoint; BadInput if they are damaged or of another version."""
        try:
            tensors = load(data)
            header: dict[str, Any] = json.loads(lora_file.read_metadata(data)[_METADATA_KEY])
            if header.pop("format") != _FORMAT:
                raise BadInput(JobProblem.CHECKPOINT_OTHER_VERSION)
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
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(JobProblem.CHECKPOINT_DAMAGED) from error


class TrainingState:
    """What changes during a training: adapter, optimizer, random generator, loss scaler, steps done."""

    def __init__(
        self,
        base: BaseModel,
        config: TrainingConfig,
        checkpoint: Checkpoint | None = None,
        initial_weights: Mapping[str, LoraWeights] | None = None,
    ) -> None:
        """Start new, from a checkpoint, or with the weights of a finished LoRA."""
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
        # Only fp16 gradients underflow; with other dtypes the scaler does nothing.
        self.scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype is torch.float16)
        if checkpoint:
            self._restore(checkpoint)

    def check_finite(self) -> None:
        """Raise NotFinite if weights are not finite, or gradients even at a scale of 1. Waits for the GPU."""
        # The scaler halves its scale after each step that it skips. Below 1 the true gradients overflow
        # fp16, or they are not finite at any scale.
        if self.scaler.get_scale() < 1.0:
            raise NotFinite("the gradients are not finite")
        # bf16 and fp32 have no scaler: a gradient that is NaN is in the weights after its step.
        if not bool(torch.stack([parameter.isfinite().all() for parameter in self.parameters]).all()):
            raise NotFinite("the weights of the LoRA are not finite")

    def set_learning_rates(self) -> dict[str, float]:
        """Set the optimizer's learning rates for the next step; return them by prefix of kohya's names."""
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
            if group["lr"] is not None:  # None: Adafactor computes its own
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
            # JSON turned tuples into lists, and some optimizers compare with tuples.
            group |= {
                key: tuple(value) for key, value in group.items() if isinstance(current_group.get(key), tuple)
            }
        self.optimizer.load_state_dict(optimizer_state)

    def to_checkpoint(self, seconds: float, started_at: float, fingerprint: str) -> Checkpoint:
        """Return a checkpoint with copies of all tensors."""
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


def _select_lora_targets(base: BaseModel, config: TrainingConfig) -> tuple[LoraTarget, ...]:
    unet_targets = base.unet_targets if config.train_unet else ()
    return unet_targets + (base.text_encoder_targets if config.train_text_encoder else ())


def _merge_initial_weights(
    fresh_weights: Mapping[str, LoraWeights], initial_weights: Mapping[str, LoraWeights]
) -> dict[str, LoraWeights]:
    """Return fresh weights, replaced by those of a finished LoRA; BadInput if it does not fit."""
    if not initial_weights.keys() & fresh_weights.keys():
        raise BadInput(JobProblem.INITIAL_LORA_OTHER_KIND)
    for name in initial_weights.keys() & fresh_weights.keys():
        if (
            initial_weights[name].down.shape != fresh_weights[name].down.shape
            or initial_weights[name].up.shape != fresh_weights[name].up.shape
        ):
            raise BadInput(JobProblem.INITIAL_LORA_OTHER_RANK)
    return {name: initial_weights.get(name, layer_weights) for name, layer_weights in fresh_weights.items()}


def _split_optimizer_state(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Split an optimizer's state into plain values for JSON, and tensors by name."""
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
    """Reverse `_split_optimizer_state`."""
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in plain_state["state"].items()
    }
    groups = [dict(group) for group in plain_state["param_groups"]]
    for name, tensor in tensors.items():
        section, number, key = name.split(".", 2)
        (state[int(number)] if section == "state" else groups[int(number)])[key] = tensor.clone()
    return {"state": state, "param_groups": groups}
