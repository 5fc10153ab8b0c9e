"""A pair of the hub: what both have is downloaded once, and how much it is said before."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import files
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.pairs import PAIRS, count_missing_bytes, locate_pair
from gpu_worker.models.sources.hub import RESERVED_BYTES, Hub
from tests.support.model_hub import SmallHub, small_hub

PAIR = PAIRS["klein-4b"]
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
WEIGHTS = {
    TRANSFORMER: b"transformer " * 2000,
    "vae/diffusion_pytorch_model.safetensors": b"vae " * 500,
    "text_encoder/model-00001-of-00002.safetensors": b"text " * 1000,
    "text_encoder/model-00002-of-00002.safetensors": b"more text " * 800,
}
CONFIGS = {
    "model_index.json": b'{"_class_name": "Flux2KleinPipeline"}',
    **{f"{folder}/config.json": b"{}" for folder in ("transformer", "vae", "text_encoder")},
    "scheduler/scheduler_config.json": b'{"shift": 3.0}',
    "tokenizer/tokenizer.json": b"{}",
    "tokenizer/merges.txt": b"",
}
#: What repositories have and nobody here needs.
OTHERS = {"README.md": b"# klein", "flux-2-klein-4b.safetensors": b"all " * 9000, "teaser.jpg": b"jpg"}
OF_TWIN = {name for name in {**WEIGHTS, **CONFIGS} if name.startswith(("transformer/", "scheduler/"))}


@pytest.fixture
def hub() -> Iterator[SmallHub]:
    with small_hub() as opened:
        opened.others = {name: {**WEIGHTS, **CONFIGS, **OTHERS} for name in (PAIR.base, PAIR.twin)}
        yield opened


def open_cache(hub: SmallHub, tmp_path: Path) -> Hub:
    return Hub(endpoint=hub.url, cache_dir=tmp_path / "models", timeout_s=5.0, retry_delay_s=0.0)


def silent(_: str) -> None:
    """Hear nothing."""


def test_of_the_twin_its_transformer_and_scheduler_alone_are_downloaded(
    hub: SmallHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gpu_worker")
    cache = open_cache(hub, tmp_path)
    base, twin = locate_pair(PAIR, KLEIN, cache, silent)
    assert set(list_files(base)) == {*WEIGHTS, *CONFIGS}
    assert set(list_files(twin)) == OF_TWIN
    asked = {name for name, _ in hub.asked}
    assert {
        name.removeprefix(f"{PAIR.twin}/") for name in asked if name.startswith(f"{PAIR.twin}/")
    } == OF_TWIN
    assert caplog.messages[0] == "FLUX.2 klein 4B, licence Apache-2.0: 0.0 GB are downloaded"

    again = Hub(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "models")
    assert count_missing_bytes(PAIR, again) == 0
    assert locate_pair(PAIR, KLEIN, again, silent) == (base, twin)  # without the hub


def list_files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_the_size_of_both_is_told_before_and_each_file_counts_once(hub: SmallHub, tmp_path: Path) -> None:
    cache = open_cache(hub, tmp_path)
    all_files = {**WEIGHTS, **CONFIGS}
    expected = sum(map(len, all_files.values())) + sum(len(all_files[name]) for name in OF_TWIN)
    assert count_missing_bytes(PAIR, cache) == expected
    verdict, detail, _ = files.inspect_model("klein-4b", cache)
    assert verdict == "ok"
    assert f"{PAIR.base}, 0.0 GB are downloaded at the first start; {PAIR.twin}, 0.0 GB" in detail
    assert detail.endswith("; 0.0 GB in all")
    assert not any(name.endswith(".safetensors") for name, _ in hub.asked)


def test_a_disk_with_room_for_one_of_both_is_refused_before_the_first(hub: SmallHub, tmp_path: Path) -> None:
    cache = open_cache(hub, tmp_path)
    hub.claimed_bytes = {TRANSFORMER: int(0.6 * (shutil.disk_usage(tmp_path).free - RESERVED_BYTES))}
    cache.ensure_room(PAIR.base, cache.count_missing_bytes(PAIR.base, True))
    with pytest.raises(BaseModelError) as caught:
        locate_pair(PAIR, KLEIN, cache, silent)
    assert caught.value.problem is JobProblem.BASE_MODEL_NO_DISK_SPACE
    assert hub.asked == []
