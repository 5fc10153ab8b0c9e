"""The command line of a worker, from the settings."""

from __future__ import annotations

import sys

from bot.app.settings import Settings


def make_worker_command(settings: Settings) -> list[str]:
    """Return the command line of the local worker process."""
    command = [sys.executable, "-m", "gpu_worker", "--base-model", settings.base_model]
    if settings.base_vae:
        command += ["--base-vae", settings.base_vae]
    if settings.channels_last:
        command.append("--channels-last")
    if settings.memory != "auto":
        command += ["--memory", settings.memory]
    command += make_acceleration_arguments(settings)
    command += ["--generate-share", str(settings.generate_share)]
    if settings.train_steps is not None:
        command += ["--train-steps", str(settings.train_steps)]
    if settings.trainer == "sd-scripts":
        command += ["--trainer", settings.trainer, "--sd-scripts-dir", str(settings.sd_scripts_dir)]
        if settings.sd_scripts_python is not None:
            command += ["--sd-scripts-python", str(settings.sd_scripts_python)]
    return command


def make_acceleration_arguments(settings: Settings) -> list[str]:
    """Return what worker and doctor are told of the LoRA for fast pictures."""
    if not settings.accelerate:
        return []
    arguments = ["--accelerate", settings.accelerate]
    if settings.accelerate_recipe:
        arguments += ["--accelerate-recipe", settings.accelerate_recipe]
    return [*arguments, *(["--accelerate-non-commercial"] if settings.accelerate_non_commercial else [])]
