"""sd-scripts' `--config_file`: flags in a TOML file, as kohya_ss' graphical front end writes them too."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_worker.errors import BadInput
from gpu_worker.kohya.refused import UNSUPPORTED_FLAGS, describe_unknown_flag

#: What a front end writes whatever was chosen, and what has no effect on a training.
_FRONT_END_SETTINGS = (
    "epoch",
    "noise_offset_type",
    "huber_c",
    "huber_scale",
    "huber_schedule",
    "wandb_run_name",
    "log_tracker_name",
)
#: Values of unsupported flags that ask for nothing else than what is done here. So does every empty value.
_NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "loss_type": ("l2",),
    "dynamo_backend": ("no", "NO"),
    "max_timestep": (1000,),
    "token_warmup_min": (1,),
    "log_with": ("tensorboard",),
}


def read_arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """Return the flags of a command line's `--config_file`; its sections have no meaning."""
    path = _find_path(argv)
    if path is None:
        return []
    path = path if path.suffix == ".toml" else path.with_name(path.name + ".toml")
    arguments: list[str] = []
    for name, value in _flatten_sections(_read_toml(path)).items():
        if not _asks_for_nothing(name, value, parser):
            arguments += _to_arguments(name, value, parser, path.name)
    return arguments


def list_flags(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of a parser's flags, without dashes."""
    return [option.removeprefix("--") for action in parser._actions for option in action.option_strings]


def _find_path(argv: Sequence[str]) -> Path | None:
    for index, argument in enumerate(argv):
        name, separator, value = argument.partition("=")
        if name == "--config_file":
            if not separator and index + 1 == len(argv):
                raise BadInput("Argument --config_file: expected one argument.")
            return Path(value if separator else argv[index + 1])
    return None


def _asks_for_nothing(name: str, value: Any, parser: argparse.ArgumentParser) -> bool:
    if name in _FRONT_END_SETTINGS:
        return True
    if name in UNSUPPORTED_FLAGS:
        return not value or value in _NEUTRAL_VALUES.get(name, ())
    return value in ("", []) and name in list_flags(parser)


def _to_arguments(name: str, value: Any, parser: argparse.ArgumentParser, file_name: str) -> list[str]:
    """Return a setting of a config file as words of a command line."""
    action = next(
        (candidate for candidate in parser._actions if f"--{name}" in candidate.option_strings), None
    )
    if action is None:
        raise BadInput(f"{file_name}: {describe_unknown_flag(name, list_flags(parser))}")
    takes_value = action.nargs != 0
    if takes_value == isinstance(value, bool):
        kind = "takes a value" if takes_value else "is true or false"
        raise BadInput(f"{name} in {file_name} {kind}, and cannot be {value!r}.")
    if not takes_value:
        return [f"--{name}"] if value else []
    # With an equals sign a value may begin with a dash; a list cannot have one.
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]


def _flatten_sections(sections: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, value in sections.items():
        settings |= value if isinstance(value, dict) else {name: value}
    return settings


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BadInput(f"The file {path} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is no TOML file: {error}.") from error
