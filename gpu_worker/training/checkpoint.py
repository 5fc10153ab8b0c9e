"""The state of a training, and its checkpoint: one safetensors blob, from which it resumes bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gpu_worker.device.memory_modes import NotFinite
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.config import get_block_index, get_block_lr_weight
from gpu_worker.lora.dropout import DropoutRates
from gpu_worker.lora.layers import Adapter
from gpu_worker.lora.network import init_weights, select_targets
from gpu_worker.lora.weights import DOWN, SUFFIXES, UP, ModuleWeights, read_weights
from gpu_worker.models.base import BaseModel
from gpu_worker.training import optimizers
from gpu_worker.training.config import TrainingConfig

_FORMAT = "loracode-training-2"
_METADATA_KEY = "training"
#: A name before a module's: its first format had only these two, and a checkpoint of it still resumes.
_PREFIXES = {DOWN: "down.", UP: "up."}
_OTHER_TENSOR, _OPTIMIZER = "weights.", "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A copy of everything that changes during a training."""

    step: int
    seconds: float  #: time that the training had taken
    started_at: float  #: Unix time of its first start
    fingerprint: str  #: of the training that it belongs to
    scaler: dict[str, float]
    optimizer: dict[str, Any]  #: its plain values; its tensors are in `optimizer_tensors`
    weights: dict[str, ModuleWeights] = field(repr=False)
    optimizer_tensors: dict[str, Tensor] = field(repr=False)
    rng_state: Tensor = field(repr=False)
    storage: WeightStorage = WeightStorage.WHOLE  #: of the base model's weights

    def encode(self) -> bytes:
        """Return the checkpoint as safetensors bytes."""
        tensors = {"random": self.rng_state}
        tensors |= {_OPTIMIZER + name: tensor for name, tensor in self.optimizer_tensors.items()}
        for name, values in self.weights.items():
            for suffix, tensor in values.tensors().items():
                tensors[_name_prefix(suffix) + name] = tensor
        header = {
            "format": _FORMAT,
            "step": self.step,
            "seconds": self.seconds,
            "started_at": self.started_at,
            "fingerprint": self.fingerprint,
            "scaler": self.scaler,
            "optimizer": self.optimizer,
            "alphas": {name: values.alpha for name, values in self.weights.items()},
            **({} if self.storage is WeightStorage.WHOLE else {"storage": self.storage}),
        }
        return lora_file.save_tensors(tensors, {_METADATA_KEY: json.dumps(header)})

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
                storage=WeightStorage(header.pop("storage", WeightStorage.WHOLE)),
                **header,
                weights=_read_modules(tensors, alphas),
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
        initial_weights: Mapping[str, ModuleWeights] | None = None,
    ) -> None:
        """Start new, from a checkpoint, or with the weights of a finished LoRA."""
        self.step = checkpoint.step if checkpoint else 0
        self.generator = torch.Generator().manual_seed(config.seed)
        targets = select_targets(base, config.network, config.is_trained)
        fresh_weights = init_weights(targets, config.network, config.rank, config.alpha, self.generator)
        weights = (
            fresh_weights
            if initial_weights is None
            else _merge_initial_weights(base, fresh_weights, _fit_known(base, initial_weights), config)
        )
        dropout_rates = DropoutRates(config.dropout, config.rank_dropout, config.module_dropout)
        self.adapter = Adapter(
            base,
            checkpoint.weights if checkpoint else weights,
            is_trainable=True,
            dropout_rates=dropout_rates,
        )
        self.parameters = self.adapter.parameters()
        self._initial_rates, param_groups = _group_parameters(base, self.adapter, config)
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

    def learning_rates(self, step: int) -> dict[str, float]:
        """Return the learning rates after so many steps, by the name of their parameters."""
        multiplier = self._lr_lambda(step)
        return {name: rate * multiplier for name, rate in self._initial_rates.items()}

    def adapt_rates(self, learning_rates: Mapping[str, float]) -> dict[str, float]:
        """Return the rates times the factor that the optimizer found; empty if it finds none."""
        groups = zip(learning_rates.items(), self.optimizer.param_groups, strict=True)
        return {name: rate * float(group["d"]) for (name, rate), group in groups if "d" in group}

    def set_learning_rates(self) -> None:
        """Set the optimizer's learning rates for the next step."""
        learning_rates = self.learning_rates(self.step).values()
        for group, learning_rate in zip(self.optimizer.param_groups, learning_rates, strict=True):
            if group["lr"] is not None:  # None: Adafactor computes its own
                group["lr"] = learning_rate

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


def _group_parameters(
    base: BaseModel, adapter: Adapter, config: TrainingConfig
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the learning rates by the name of their parameters, and the optimizer's groups.

    The names are sd-scripts': a group for the UNet or, with rates of their own, for each of its blocks.
    """
    rates: dict[str, float] = {}
    parameters: dict[str, list[torch.nn.Parameter]] = {}
    for kohya_name in adapter.module_names:
        group = base.targets_by_name[kohya_name].group
        name, rate = group.log_name, config.learning_rate(group)
        if not group.is_text_encoder:
            rate *= get_block_lr_weight(config.network, kohya_name)
            if config.network.block_lr_weights:
                block_index = get_block_index(kohya_name)
                name = f"{group.log_name}_block{-1 if block_index is None else block_index}"
        rates[name] = rate
        parameters.setdefault(name, []).extend(adapter.parameters(kohya_name))
    return rates, [{"params": parameters[name], "lr": rate} for name, rate in rates.items()]


def _merge_initial_weights(
    base: BaseModel,
    fresh_weights: Mapping[str, ModuleWeights],
    initial_weights: Mapping[str, ModuleWeights],
    config: TrainingConfig,
) -> dict[str, ModuleWeights]:
    """Return fresh weights, replaced by those of a finished LoRA; BadInput if it does not fit."""
    if config.shape_from_initial:
        targets = base.targets_by_name
        trained = {
            name: values
            for name, values in initial_weights.items()
            if name in targets and config.is_trained(targets[name].group)
        }
        if not trained:
            raise BadInput(JobProblem.INITIAL_LORA_OTHER_KIND)
        return trained
    if not initial_weights.keys() & fresh_weights.keys():
        raise BadInput(JobProblem.INITIAL_LORA_OTHER_KIND)
    for name in sorted(initial_weights.keys() & fresh_weights.keys()):
        kind, trained_kind = initial_weights[name].kind, fresh_weights[name].kind
        if kind != trained_kind:
            raise BadInput(JobProblem.INITIAL_LORA_OTHER_ALGORITHM, kind=kind, trained_kind=trained_kind)
        if _list_shapes(initial_weights[name]) != _list_shapes(fresh_weights[name]):
            raise BadInput(JobProblem.INITIAL_LORA_OTHER_RANK)
    return {name: initial_weights.get(name, layer_weights) for name, layer_weights in fresh_weights.items()}


def _fit_known(base: BaseModel, weights: Mapping[str, ModuleWeights]) -> dict[str, ModuleWeights]:
    """Return weights in the shapes for the base model's modules, those that do not fit as they are."""
    targets = base.targets_by_name
    return {
        name: (values.fit(targets[name].weight_shape) or values) if name in targets else values
        for name, values in weights.items()
    }


def _list_shapes(values: ModuleWeights) -> dict[str, torch.Size]:
    return {suffix: tensor.shape for suffix, tensor in values.tensors().items()}


def _name_prefix(suffix: str) -> str:
    """Return what stands before a module's name in the name of one of its tensors."""
    return _PREFIXES.get(suffix, f"{_OTHER_TENSOR}{suffix}.")


def _read_modules(tensors: Mapping[str, Tensor], alphas: Mapping[str, float]) -> dict[str, ModuleWeights]:
    """Return the modules' weights from the tensors of a checkpoint."""
    suffixes_by_prefix = {_name_prefix(suffix): suffix for suffix in SUFFIXES}
    modules: dict[str, dict[str, Tensor]] = {name: {} for name in alphas}
    for key, tensor in tensors.items():
        prefix, _, name = key.rpartition(".")
        if f"{prefix}." in suffixes_by_prefix:
            modules[name][suffixes_by_prefix[f"{prefix}."]] = tensor
    return {name: read_weights(modules[name], alpha) for name, alpha in alphas.items()}


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
