"""A base model comes once, whole and checked, from where it stopped; what is wrong with it is one line."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.errors import BaseModelError
from gpu_worker.models import files
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.models.sources.download import MAX_FAILED_TRIES
from gpu_worker.models.sources.hub import Hub, is_complete
from tests.support.model_hub import MODEL, UNET, WEIGHTS, SmallHub, sha256, small_hub


@pytest.fixture
def hub() -> Iterator[SmallHub]:
    with small_hub() as opened:
        yield opened


def door(hub: SmallHub, tmp_path: Path) -> Hub:
    return Hub(endpoint=hub.url, cache_dir=tmp_path / "models", timeout_s=5.0, retry_delay_s=0.0)


def part(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / f"models--{MODEL.replace('/', '--')}" / "blobs"
    return folder / f"{sha256(WEIGHTS[UNET])}.part"


def silent(_: str) -> None:
    """Hear nothing."""


def test_a_model_comes_whole_and_is_asked_for_once(hub: SmallHub, tmp_path: Path) -> None:
    progress: list[str] = []

    folder = door(hub, tmp_path).get_folder(MODEL, True, progress.append)

    assert (folder / UNET).read_bytes() == WEIGHTS[UNET]
    assert progress[-2].startswith("downloading, 100 %") and progress[-1] == ""
    percents = [int(line.split()[1]) for line in progress[:-1]]
    assert percents == sorted(percents) and len(set(percents)) > 2

    asked = list(hub.asked)
    again = Hub(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "models").get_folder(MODEL, True, silent)
    assert again == folder and hub.asked == asked  # without the hub


def test_broken_download_resumes_at_its_last_byte(hub: SmallHub, tmp_path: Path) -> None:
    hub.breaks[UNET] = [50_000, 60_000]

    folder = door(hub, tmp_path).get_folder(MODEL, True, silent)

    assert hub.starts(UNET) == [0, 50_000, 110_000]
    assert (folder / UNET).read_bytes() == WEIGHTS[UNET]


def test_bytes_downloaded_before_a_kill_are_not_downloaded_again(hub: SmallHub, tmp_path: Path) -> None:
    hub.breaks[UNET] = [70_000] + [0] * MAX_FAILED_TRIES
    with pytest.raises(BaseModelError, match="tried again with the next job or start"):
        door(hub, tmp_path).get_folder(MODEL, True, silent)
    assert part(tmp_path).stat().st_size == 70_000
    progress: list[str] = []

    folder = door(hub, tmp_path).get_folder(MODEL, True, progress.append)

    assert hub.starts(UNET)[-1] == 70_000
    assert (folder / UNET).read_bytes() == WEIGHTS[UNET]
    assert not part(tmp_path).exists()
    total = sum(len(content) for content in hub.files.values())
    assert int(progress[1].split()[1]) == 100 * 70_000 // total  # what is here counts at once


def test_download_from_a_server_without_ranges_starts_over_with_its_count(
    hub: SmallHub, tmp_path: Path
) -> None:
    hub.breaks[UNET] = [50_000]
    hub.whole_only = True
    progress: list[str] = []

    folder = door(hub, tmp_path).get_folder(MODEL, True, progress.append)

    assert (folder / UNET).read_bytes() == WEIGHTS[UNET]
    assert progress[-2].startswith("downloading, 100 %")


def test_damaged_file_is_reported_deleted_and_downloaded_again(
    hub: SmallHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.damaged[UNET] = b"!" * len(WEIGHTS[UNET])
    with pytest.raises(BaseModelError, match="arrived damaged and was deleted"):
        door(hub, tmp_path).get_folder(MODEL, True, silent)
    assert not part(tmp_path).exists()
    hub.damaged.clear()
    caplog.set_level(logging.INFO, logger="gpu_worker")

    folder = door(hub, tmp_path).get_folder(MODEL, True, silent)

    assert (folder / UNET).read_bytes() == WEIGHTS[UNET]
    assert f"sha256 {sha256(WEIGHTS[UNET])} matches the hub" in caplog.text


def test_two_workers_started_at_once_download_once(hub: SmallHub, tmp_path: Path) -> None:
    folders: list[Path] = []
    both = [
        threading.Thread(target=lambda: folders.append(door(hub, tmp_path).get_folder(MODEL, True, silent)))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert len(folders) == 2 and folders[0] == folders[1]
    assert hub.starts(UNET) == [0]


def test_gated_model_is_refused_in_one_line_with_what_to_do(hub: SmallHub, tmp_path: Path) -> None:
    hub.gated = True
    with pytest.raises(BaseModelError) as progress:
        door(hub, tmp_path).get_folder(MODEL, True, silent)
    assert "is gated: accept its terms" in str(progress.value) and "\n" not in str(progress.value)


def test_a_wrong_id_is_one_line(hub: SmallHub, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError) as progress:
        door(hub, tmp_path).get_folder("somebody/nothing", True, silent)
    assert str(progress.value) == ("somebody/nothing is not on the hub, or it is private: check its name.")


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    gone = Hub(endpoint="http://127.0.0.1:9", cache_dir=tmp_path, timeout_s=5.0)
    with pytest.raises(BaseModelError) as progress:
        gone.get_folder(MODEL, True, silent)
    assert "can be neither found nor downloaded" in str(progress.value) and "\n" not in str(progress.value)


def test_a_model_without_safetensors_is_refused(hub: SmallHub, tmp_path: Path) -> None:
    del hub.files[UNET]
    hub.files["unet/diffusion_pytorch_model.bin"] = b"a pickle"
    with pytest.raises(BaseModelError, match="has no safetensors"):
        door(hub, tmp_path).get_folder(MODEL, True, silent)
    assert hub.asked == []


def test_doctor_says_how_much_will_be_downloaded(hub: SmallHub, tmp_path: Path) -> None:
    verdict, line, _ = files.inspect_model(MODEL, door(hub, tmp_path))
    assert verdict == "ok" and "are downloaded at the first start" in line
    door(hub, tmp_path).get_folder(MODEL, True, silent)
    assert files.inspect_model(MODEL, door(hub, tmp_path)) == ("ok", f"{MODEL}, downloaded", "")


def test_of_an_sdxl_only_what_is_used_is_downloaded_and_its_family_is_known_before(
    hub: SmallHub, tmp_path: Path
) -> None:
    second = {
        "text_encoder_2/config.json": b"{}",
        "text_encoder_2/model.fp16.safetensors": WEIGHTS["text_encoder/model.fp16.safetensors"],
        "tokenizer_2/vocab.json": b"{}",
    }
    used = {*hub.files, *second}
    hub.files |= {
        **second,
        "sd_xl_base_1.0.safetensors": b"all of it once more",
        "unet/diffusion_pytorch_model.safetensors": b"in fp32",
        "text_encoder_2/model.safetensors": b"in fp32",
        "text_encoder_2/model.onnx": b"for another program",
        "text_encoder_2/flax_model.msgpack": b"for another program",
        "vae_1_0/diffusion_pytorch_model.safetensors": b"an older one",
        "vae_decoder/config.json": b"{}",
    }

    assert files.recognise_family(MODEL, door(hub, tmp_path)) is SDXL
    assert hub.asked == []
    folder = door(hub, tmp_path).get_folder(MODEL, True, silent)

    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == used
    assert is_complete(folder)
