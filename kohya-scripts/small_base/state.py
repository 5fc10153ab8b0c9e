"""Training state on disk as safetensors: a killed run resumes from the last checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


class SmallBaseState:
    """Weights, their moving average, and AdamW's state of one training stage."""

    def __init__(self, model: nn.Module, learning_rate: float, ema_decay: float) -> None:
        self.model = model
        self.step = 0
        self._ema_decay = ema_decay
        self.ema = {name: value.detach().clone() for name, value in model.named_parameters()}
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )

    def apply_gradients(self, learning_rate: float, max_grad_norm: float) -> float:
        """Take one optimizer step; return the norm of the gradients."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        # A young average follows closely, so that early samples are not of the random start.
        decay = min(self._ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.ema[name].lerp_(value, 1 - decay)
        return float(norm)

    def save(self, path: Path) -> None:
        """Write everything to one file; a crash in between leaves the old one."""
        tensors: dict[str, torch.Tensor] = {f"ema.{name}": value for name, value in self.ema.items()}
        for name, value in self.model.named_parameters():
            tensors[f"model.{name}"] = value.detach()
            for key, optimizer_tensor in self.optimizer.state.get(value, {}).items():
                tensors[f"adam.{key}.{name}"] = optimizer_tensor
        part_path = path.with_suffix(".part")
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, part_path, {"step": str(self.step)}
        )
        part_path.replace(path)

    def load(self, path: Path) -> None:
        """Load the state of a saved run, if there is one."""
        if not path.exists():
            return
        with safe_open(path, "pt") as file, torch.no_grad():
            keys = set(file.keys())
            self.step = int(file.metadata()["step"])
            for name, value in self.model.named_parameters():
                value.copy_(file.get_tensor(f"model.{name}"))
                self.ema[name].copy_(file.get_tensor(f"ema.{name}"))
                optimizer_tensors = {
                    key: file.get_tensor(f"adam.{key}.{name}")
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if f"adam.{key}.{name}" in keys
                }
                if optimizer_tensors:
                    self.optimizer.state[value] = optimizer_tensors

    def apply_ema(self) -> None:
        """Put the moving average into the model: what is shipped and sampled."""
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(self.ema[name])
