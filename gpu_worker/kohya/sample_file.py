"""The file of `--sample_prompts`: lines of text with `--n --w --h --d --l --s`, TOML or JSON."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from gpu_worker.errors import BadInput
from gpu_worker.training.config import SamplePrompt

#: Our names by those of sd-scripts.
_FIELDS = {
    "prompt": ("prompt", str),
    "negative_prompt": ("negative_prompt", str),
    "width": ("width_px", int),
    "height": ("height_px", int),
    "seed": ("seed", int),
    "sample_steps": ("steps", int),
    "scale": ("guidance_scale", float),
}
#: sd-scripts' defaults; sides default to the native size, 512 for SD 1.5.
_DEFAULT_STEPS, _DEFAULT_GUIDANCE_SCALE = 30, 7.5
_MAX_STEPS = 1000
_MIN_SIDE_PX = 64
_OPTION_KEYS = {
    "n": "negative_prompt",
    "w": "width",
    "h": "height",
    "d": "seed",
    "l": "scale",
    "s": "sample_steps",
}


def read_sample_prompts(path: Path) -> tuple[SamplePrompt, ...]:
    """Read the prompts; BadInput if the file cannot be used."""
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".toml":
            common = dict(tomllib.loads(text)["prompt"])
            entries: Any = [{**common, **subset} for subset in common.pop("subset")]
        elif path.suffix == ".json":
            entries = json.loads(text)
        else:
            lines = [line.strip() for line in text.splitlines()]
            entries = [line for line in lines if line and not line.startswith("#")]
    except FileNotFoundError:
        raise BadInput(f"The file of sample prompts {path} does not exist.") from None
    except UnicodeDecodeError:
        raise BadInput(f"The sample prompts {path.name} are not UTF-8 text; save them as UTF-8.") from None
    except KeyError:
        raise BadInput(f"The sample prompts {path.name} need [prompt] with [[prompt.subset]].") from None
    except (ValueError, TypeError) as error:
        raise BadInput(f"The sample prompts {path.name} cannot be read: {error}.") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str | dict) for entry in entries):
        raise BadInput(f"The sample prompts {path.name} must be a list of texts or tables.")
    if not entries:
        raise BadInput(f"There are no prompts in {path.name}.")
    return tuple(_build_prompt(_parse_line(entry) if isinstance(entry, str) else entry) for entry in entries)


def _parse_line(line: str) -> dict[str, Any]:
    prompt, *options = line.split(" --")
    entry: dict[str, Any] = {"prompt": prompt.strip()}
    for option in options:
        letter, _, value = option.strip().partition(" ")
        letter = letter.lower()
        if letter not in _OPTION_KEYS:
            known_options = " ".join(f"--{name}" for name in _OPTION_KEYS)
            raise BadInput(f"A sample prompt has the setting --{letter}; known are {known_options}.")
        entry[_OPTION_KEYS[letter]] = value.strip()
    return entry


def _build_prompt(entry: dict[str, Any]) -> SamplePrompt:
    unknown = set(entry) - set(_FIELDS)
    if unknown or "prompt" not in entry:
        raise BadInput(f"A sample prompt needs `prompt`, and may have {', '.join(_FIELDS)}.")
    values: dict[str, Any] = {"steps": _DEFAULT_STEPS, "guidance_scale": _DEFAULT_GUIDANCE_SCALE}
    for name, value in entry.items():
        field, convert = _FIELDS[name]
        try:
            values[field] = convert(value)
        except (TypeError, ValueError):
            raise BadInput(f"A sample prompt's {name} is no number: {value}.") from None
    for side in ("width_px", "height_px"):
        # sd-scripts rounds down as well; the latents are an eighth.
        if side in values:
            values[side] = max(_MIN_SIDE_PX, values[side] - values[side] % 8)
    values["steps"] = max(1, min(_MAX_STEPS, values["steps"]))
    values["prompt"] = re.sub(r"\s+", " ", values["prompt"])
    return SamplePrompt(**values)
