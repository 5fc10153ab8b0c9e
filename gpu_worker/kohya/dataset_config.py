"""sd-scripts' `--dataset_config`: a TOML or JSON file of datasets and their subsets.

What is said of [general] holds for every dataset, what is said of a dataset for each of its subsets.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpu_worker.errors import BadInput
from gpu_worker.kohya.buckets import Buckets
from gpu_worker.kohya.folders import Sizing, Subset
from gpu_worker.kohya.refused import REFUSED
from gpu_worker.models.pixels import Size
from gpu_worker.training.data import CaptionRules

_SUBSET: dict[str, tuple[type, ...]] = {
    "num_repeats": (int,),
    "shuffle_caption": (bool,),
    "keep_tokens": (int,),
    "caption_separator": (str,),
    "caption_dropout_rate": (int, float),
    "caption_extension": (str,),
    "class_tokens": (str,),
    "flip_aug": (bool,),
    "alpha_mask": (bool,),
}
_ONLY_SUBSET: dict[str, tuple[type, ...]] = {
    "image_dir": (str,),
    "is_reg": (bool,),
    "conditioning_data_dir": (str,),
}
_DATASET: dict[str, tuple[type, ...]] = {
    "resolution": (int, list),
    "batch_size": (int,),
    "enable_bucket": (bool,),
    "min_bucket_reso": (int,),
    "max_bucket_reso": (int,),
    "bucket_reso_steps": (int,),
    "bucket_no_upscale": (bool,),
}
#: What a number must lie between; None: no limit.
_LIMITS: dict[str, tuple[float, float | None]] = {
    "num_repeats": (1, None),
    "batch_size": (1, None),
    "keep_tokens": (0, None),
    "caption_dropout_rate": (0, 1),
    "min_bucket_reso": (1, None),
    "max_bucket_reso": (1, None),
}
#: What only these files can say and is not supported; the flags' own reasons are in REFUSED.
_REFUSED = {
    "metadata_file": "write the captions into files beside the pictures",
    "custom_attributes": "nothing here reads them",
    "network_multiplier": "this trains one LoRA at full strength",
}


@dataclass(frozen=True)
class Defaults:
    """What the command line says where the file says nothing."""

    subset: Subset
    buckets: Buckets
    enable_bucket: bool
    batch_size: int


@dataclass(frozen=True)
class Described:
    """A file, read: subsets with the sizes of their pictures."""

    subsets: tuple[tuple[Subset, Sizing], ...]
    batch_size: int


def read(path: Path, defaults: Defaults) -> Described:
    """Read a file; BadInput names what is wrong with it."""
    told = _loaded(path)
    general = _checked(told.pop("general", {}), {**_SUBSET, **_DATASET}, "[general]")
    datasets = told.pop("datasets", None)
    if told or not _are_tables(datasets):
        raise BadInput(f"{path.name} needs [[datasets]] with [[datasets.subsets]], and may have [general].")
    subsets: list[tuple[Subset, Sizing]] = []
    batches = set()
    for dataset in datasets:
        inner = dataset.pop("subsets", None)
        if not _are_tables(inner):
            raise BadInput(f"Every dataset in {path.name} needs [[datasets.subsets]].")
        own = {**general, **_checked(dataset, {**_SUBSET, **_DATASET}, "a dataset")}
        batches.add(own.get("batch_size", defaults.batch_size))
        sizing = _sizing(own, defaults)
        subsets += [(_subset({**own, **_checked_subset(each)}, defaults.subset), sizing) for each in inner]
    if len(batches) > 1:
        raise BadInput("All datasets need the same batch_size here.")
    return Described(tuple(subsets), batches.pop())


def _loaded(path: Path) -> dict[str, Any]:
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = path.read_text("utf-8")
        told = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except FileNotFoundError:
        raise BadInput(f"The dataset file {path} does not exist.") from None
    except ValueError as error:
        raise BadInput(f"The dataset file {path.name} is no {kind}: {error}.") from error
    if not isinstance(told, dict):
        raise BadInput(f"The dataset file {path.name} must hold tables.")
    return told


def _are_tables(told: Any) -> bool:
    return isinstance(told, list) and bool(told) and all(isinstance(each, dict) for each in told)


def _checked_subset(told: dict[str, Any]) -> dict[str, Any]:
    if "image_dir" not in told:
        raise BadInput("Every subset of the dataset file needs image_dir.")
    return _checked(told, {**_SUBSET, **_ONLY_SUBSET}, "a subset")


def _checked(told: Any, known: dict[str, tuple[type, ...]], where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise BadInput(f"{where} must be a table, not {told!r}.")
    for name, value in told.items():
        if name not in known:
            raise BadInput(_about(name, known, where))
        # In Python a bool is an int; in a settings file it is a mistake.
        right = isinstance(value, known[name]) and (bool in known[name] or not isinstance(value, bool))
        if not right or not _is_within(name, value):
            raise BadInput(f"{name} in {where} cannot be {value!r}.")
    return told


def _about(name: str, known: dict[str, tuple[type, ...]], where: str) -> str:
    reason = _REFUSED.get(name) or REFUSED.get(name)
    if reason:
        return f"{name} in {where} is not supported: {reason}."
    near = difflib.get_close_matches(name, known, n=1)
    return f"{where} cannot have {name}" + (f"; did you mean {near[0]}?" if near else ".")


def _is_within(name: str, value: Any) -> bool:
    least, most = _LIMITS.get(name, (None, None))
    return (least is None or value >= least) and (most is None or value <= most)


def _sizing(told: dict[str, Any], usual: Defaults) -> Sizing:
    resolution = _size(told["resolution"]) if "resolution" in told else usual.buckets.resolution_px
    if not told.get("enable_bucket", usual.enable_bucket):
        return Sizing(resolution).settled()
    names = {
        "min_bucket_reso": "min_side_px",
        "max_bucket_reso": "max_side_px",
        "bucket_reso_steps": "step_px",
        "bucket_no_upscale": "no_upscale",
    }
    limits = {names[key]: told[key] for key in names if key in told}
    return Sizing(resolution, replace(usual.buckets, **limits)).settled()


def _size(told: Any) -> Size:
    sides = told if isinstance(told, list) else [told, told]
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise BadInput(f"The resolution must be a side or [width, height], not {told}.")
    return sides[0], sides[1]


def _subset(told: dict[str, Any], usual: Subset) -> Subset:
    rules = usual.caption_rules
    masks = told.get("conditioning_data_dir")
    return Subset(
        folder=Path(told["image_dir"]),
        repeats=told.get("num_repeats", 1),
        words=told.get("class_tokens"),
        is_regularisation=told.get("is_reg", False),
        caption_extension=told.get("caption_extension", usual.caption_extension),
        caption_rules=CaptionRules(
            shuffle=told.get("shuffle_caption", rules.shuffle),
            keep_tokens=told.get("keep_tokens", rules.keep_tokens),
            separator=told.get("caption_separator", rules.separator),
            dropout_rate=told.get("caption_dropout_rate", rules.dropout_rate),
        ),
        flip=told.get("flip_aug", usual.flip),
        masks=Path(masks) if masks else None,
        alpha_mask=told.get("alpha_mask", usual.alpha_mask),
    )
