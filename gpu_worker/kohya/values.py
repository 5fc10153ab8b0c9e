"""Types of flag values: each parses a text, or raises with the reason."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from gpu_worker.kohya.network.args import NETWORK_MODULES
from gpu_worker.training import optimizers


def positive(text: str) -> int:
    """Parse a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number


def whole(text: str) -> int:
    """Parse a whole number from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def share(text: str) -> float:
    """Parse a number from 0 to below 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to below 1")
    return number


def rate(text: str) -> float:
    """Parse a number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return number


def warm_up(text: str) -> float:
    """Parse a number of steps, or a share of all steps: below 1, or in percent."""
    number = float(text.removesuffix("%"))
    if text.endswith("%"):
        number /= 100
        if not 0 <= number < 1:
            raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to below 100 %")
    elif number < 0 or (number >= 1 and number != int(number)):
        raise argparse.ArgumentTypeError(f"{text} is neither a whole number of steps nor a share below 1")
    return number


def seed(text: str) -> int:
    """Parse a seed; sd-scripts takes 32 bits."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {2**32 - 1}")
    return number


def optimizer(text: str) -> str:
    """Parse the name of an optimizer in any case; empty means sd-scripts' default."""
    names_by_lower = {name.lower(): name for name in optimizers.OPTIMIZER_NAMES} | {"": "AdamW"}
    if text.lower() not in names_by_lower:
        raise argparse.ArgumentTypeError(
            f"{text} is not supported; choose {', '.join(optimizers.OPTIMIZER_NAMES)}"
        )
    return names_by_lower[text.lower()]


def network_module(text: str) -> str:
    """Parse the name of a module of networks."""
    if text not in NETWORK_MODULES:
        raise argparse.ArgumentTypeError(f"{text} is not supported; choose {', '.join(NETWORK_MODULES)}")
    return text


def only(value: str, reason: str) -> Callable[[str], str]:
    """Return a parser that accepts only this value, and refuses others with a reason."""

    def read(text: str) -> str:
        if text != value:
            raise argparse.ArgumentTypeError(f"{text} is not supported, only {value}: {reason}")
        return text

    return read
