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
from gpu_worker.kohya.dataset import files
from gpu_worker.kohya.dataset.buckets import BucketConfig
from gpu_worker.kohya.dataset.folders import ResolutionRules, Subset
from gpu_worker.kohya.refused import UNSUPPORTED_FLAGS
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.training.data import CaptionRules

_SUBSET_TYPES: dict[str, tuple[type, ...]] = {
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
_SUBSET_ONLY_TYPES: dict[str, tuple[type, ...]] = {
    "image_dir": (str,),
    "is_reg": (bool,),
    "conditioning_data_dir": (str,),
}
_DATASET_TYPES: dict[str, tuple[type, ...]] = {
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
_UNSUPPORTED = {
    "metadata_file": "write the captions into files beside the pictures",
    "custom_attributes": "nothing here reads them",
    "network_multiplier": "this trains one LoRA at full strength",
}


@dataclass(frozen=True)
class DatasetDefaults:
    """The command line's settings, used where the file has none."""

    subset: Subset
    buckets: BucketConfig
    enable_bucket: bool
    batch_size: int


@dataclass(frozen=True)
class DatasetSpec:
    """The contents of a file: subsets with the sizes of their images."""

    subsets: tuple[tuple[Subset, ResolutionRules], ...]
    batch_size: int


def read_dataset_config(path: Path, defaults: DatasetDefaults) -> DatasetSpec:
    """Read a file; BadInput names the mistake."""
    document = _load_document(path)
    general = _check_table(document.pop("general", {}), {**_SUBSET_TYPES, **_DATASET_TYPES}, "[general]")
    datasets = document.pop("datasets", None)
    if document or not _is_table_list(datasets):
        raise BadInput(f"{path.name} needs [[datasets]] with [[datasets.subsets]], and may have [general].")
    subsets: list[tuple[Subset, ResolutionRules]] = []
    batch_sizes = set()
    for dataset in datasets:
        subset_tables = dataset.pop("subsets", None)
        if not _is_table_list(subset_tables):
            raise BadInput(f"Every dataset in {path.name} needs [[datasets.subsets]].")
        settings = {**general, **_check_table(dataset, {**_SUBSET_TYPES, **_DATASET_TYPES}, "a dataset")}
        batch_sizes.add(settings.get("batch_size", defaults.batch_size))
        resolution_rules = _build_resolution_rules(settings, defaults)
        subsets += [
            (_build_subset({**settings, **_check_subset(subset_table)}, defaults.subset), resolution_rules)
            for subset_table in subset_tables
        ]
    if len(batch_sizes) > 1:
        raise BadInput("All datasets need the same batch_size here.")
    return DatasetSpec(tuple(subsets), batch_sizes.pop())


def _load_document(path: Path) -> dict[str, Any]:
    format_name = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = path.read_text("utf-8")
        document = json.loads(text) if format_name == "JSON" else tomllib.loads(text)
    except FileNotFoundError:
        raise BadInput(f"The dataset file {path} does not exist.") from None
    except ValueError as error:
        raise BadInput(f"The dataset file {path.name} is no {format_name}: {error}.") from error
    if not isinstance(document, dict):
        raise BadInput(f"The dataset file {path.name} must hold tables.")
    return document


def _is_table_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _check_subset(table: dict[str, Any]) -> dict[str, Any]:
    if "image_dir" not in table:
        raise BadInput("Every subset of the dataset file needs image_dir.")
    return _check_table(table, {**_SUBSET_TYPES, **_SUBSET_ONLY_TYPES}, "a subset")


def _check_table(table: Any, allowed_types: dict[str, tuple[type, ...]], location: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise BadInput(f"{location} must be a table, not {table!r}.")
    for name, value in table.items():
        if name not in allowed_types:
            raise BadInput(_describe_unknown_key(name, allowed_types, location))
        # In Python a bool is an int; in a settings file it is a mistake.
        is_valid_type = isinstance(value, allowed_types[name]) and (
            bool in allowed_types[name] or not isinstance(value, bool)
        )
        if not is_valid_type or not _is_within(name, value):
            raise BadInput(f"{name} in {location} cannot be {value!r}.")
    return table


def _describe_unknown_key(name: str, allowed_types: dict[str, tuple[type, ...]], location: str) -> str:
    reason = _UNSUPPORTED.get(name) or UNSUPPORTED_FLAGS.get(name)
    if reason:
        return f"{name} in {location} is not supported: {reason}."
    close_matches = difflib.get_close_matches(name, allowed_types, n=1)
    return f"{location} cannot have {name}" + (
        f"; did you mean {close_matches[0]}?" if close_matches else "."
    )


def _is_within(name: str, value: Any) -> bool:
    minimum, maximum = _LIMITS.get(name, (None, None))
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _build_resolution_rules(settings: dict[str, Any], defaults: DatasetDefaults) -> ResolutionRules:
    resolution = (
        _parse_resolution(settings["resolution"])
        if "resolution" in settings
        else defaults.buckets.resolution_px
    )
    if not settings.get("enable_bucket", defaults.enable_bucket):
        return ResolutionRules(resolution).resolve()
    field_names = {
        "min_bucket_reso": "min_side_px",
        "max_bucket_reso": "max_side_px",
        "bucket_reso_steps": "step_px",
        "bucket_no_upscale": "no_upscale",
    }
    limits = {field_names[key]: settings[key] for key in field_names if key in settings}
    return ResolutionRules(resolution, replace(defaults.buckets, **limits)).resolve()


def _parse_resolution(value: Any) -> Size:
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise BadInput(f"The resolution must be a side or [width, height], not {value}.")
    return sides[0], sides[1]


def _build_subset(settings: dict[str, Any], defaults: Subset) -> Subset:
    rules = defaults.caption_rules
    mask_dir = settings.get("conditioning_data_dir")
    return Subset(
        folder=Path(settings["image_dir"]),
        repeats=settings.get("num_repeats", 1),
        default_caption=settings.get("class_tokens"),
        is_regularisation=settings.get("is_reg", False),
        caption_extension=files.normalize_caption_extension(
            settings.get("caption_extension", defaults.caption_extension)
        ),
        caption_rules=CaptionRules(
            shuffle=settings.get("shuffle_caption", rules.shuffle),
            keep_tokens=settings.get("keep_tokens", rules.keep_tokens),
            separator=settings.get("caption_separator", rules.separator),
            dropout_rate=settings.get("caption_dropout_rate", rules.dropout_rate),
        ),
        flip=settings.get("flip_aug", defaults.flip),
        mask_dir=Path(mask_dir) if mask_dir else None,
        alpha_mask=settings.get("alpha_mask", defaults.alpha_mask),
    )
