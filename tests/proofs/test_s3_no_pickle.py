"""S3: no pickle anywhere. Nothing here reads one, and files that are one are refused at every door."""

from __future__ import annotations

import itertools
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bot.app.settings import Settings
from bot.core.errors import SettingsError
from bot.core.photos import PhotoRefused
from bot.media import lora_files
from bot.media.decoding import decode_photo
from gpu_worker.errors import BadInput, BaseModelError
from gpu_worker.kohya.external.trainer import resolve_base_model
from gpu_worker.lora import file as lora_file
from gpu_worker.models.registry import load_base_model
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.latents import LatentCache, LatentKey
from tests.gpu_worker.models.test_base_model import save_folder
from tests.proofs.pickle_lint import offences
from tests.proofs.pickle_payloads import payloads
from tests.proofs.verdict import Proof, forms

SEED = 20261123
ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "gpu_worker", "drawn", "kohya-scripts", "benchmarks")
SUFFIXES = (".ckpt", ".CKPT", ".pt", ".pth", ".bin", ".pkl")
WEIGHTS = ("unet", "vae", "text_encoder")

#: Where a file's bytes come in, and how each says no.
BYTES_DOORS: dict[str, tuple[Callable[[bytes], object], type[Exception]]] = {
    "a LoRA for a picture": (lora_file.read, BadInput),
    "a LoRA from a worker": (lora_files.validate_lora, ValueError),
    "a training's checkpoint": (Checkpoint.decode, BadInput),
    "a person's photo": (decode_photo, PhotoRefused),
}


@dataclass(frozen=True)
class Knock:
    """One try to bring a pickle in."""

    name: str
    door: Callable[[], object]
    refusal: type[Exception]


@forms("mutants", short=0, long=2000)
def test_s3_no_door_opens_to_a_pickle(proof: Proof, tmp_path: Path, mutants: int) -> None:
    trap = tmp_path / "sprung"
    knocks, shortfalls = 0, []
    for knock in itertools.chain(knocks_at(tmp_path, trap), damaged(trap, mutants)):
        knocks += 1
        shortfalls += answered(knock)
        if trap.exists():
            shortfalls.append(f"{knock.name} ran code")
            trap.rmdir()
    files = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    for path in files:
        found = offences(path.read_text(encoding="utf-8"))
        shortfalls += [f"{path.relative_to(ROOT)} {offence}" for offence in found]
    proof.concludes(f"{knocks} pickles refused, none ran; {len(files)} source files read none", shortfalls)


def answered(knock: Knock) -> list[str]:
    try:
        knock.door()
    except knock.refusal:
        return []
    except Exception as error:
        return [f"{knock.name} was answered with {type(error).__name__}"]
    return [f"{knock.name} was let in"]


def knocks_at(folder: Path, trap: Path) -> Iterator[Knock]:
    for what, data in payloads(trap).items():
        for where, (door, refusal) in BYTES_DOORS.items():
            yield Knock(f"{what} as {where}", lambda d=door, x=data: d(x), refusal)
        yield from as_base_model(what, data, folder / "names" / what.replace(" ", "-"))
        yield as_latents(what, data, folder / "latents" / what.replace(" ", "-"))
    yield from in_folders(payloads(trap)["a checkpoint of torch"], folder / "folders")
    for suffix in SUFFIXES:
        yield Knock(
            f"the setting model{suffix}",
            lambda s=suffix: Settings.from_environ({"BASE_MODEL": f"/models/model{s}"}),
            SettingsError,
        )


def damaged(trap: Path, count: int) -> Iterator[Knock]:
    """Each payload cut short or with some bytes changed, so often: a header that lies in another way."""
    luck = random.Random(SEED)
    for what, data in payloads(trap).items():
        for number in range(count):
            changed = bytearray(data[: luck.randrange(1, len(data) + 1)] if number % 3 == 0 else data)
            for _ in range(luck.randrange(1, 9)):
                changed[luck.randrange(min(len(changed), 200))] = luck.randrange(256)
            for where, (door, refusal) in BYTES_DOORS.items():
                yield Knock(
                    f"{what}, damaged ({number}), as {where}", lambda d=door, x=bytes(changed): d(x), refusal
                )


def as_base_model(what: str, data: bytes, folder: Path) -> Iterator[Knock]:
    """A file under every name that a model may have, and under some that hide what it is."""
    folder.mkdir(parents=True)
    names = [f"model{suffix}" for suffix in (*SUFFIXES, ".safetensors", ".zip", "")]
    names += ["model.ckpt.safetensors", "model.safetensors.ckpt", ".safetensors"]
    for name in names:
        (folder / name).write_bytes(data)
    (folder / "link.safetensors").symlink_to(folder / "model.ckpt")
    tricks = ["link.safetensors", "model.ckpt/.", "./model.ckpt", "../" + folder.name + "/model.bin"]
    tricks += ["model.ckpt ", "model.ckpt\0.safetensors", "model.safetensors/../model.ckpt"]
    for name in [*names, *tricks]:
        path = f"{folder}/{name}"
        yield Knock(
            f"{what} as the base model {name!r}",
            lambda p=path: load_base_model(p, torch.float32),
            BaseModelError,
        )
    for name in set(names) - {"model.safetensors", "model.ckpt.safetensors"}:
        path = f"{folder}/{name}"
        yield Knock(f"{what} to sd-scripts as {name}", lambda p=path: resolve_base_model(p), BaseModelError)
    link = f"{folder}/link.safetensors"
    yield Knock(f"{what} to sd-scripts by a link", lambda: resolve_base_model(link), BaseModelError)


def as_latents(what: str, data: bytes, folder: Path) -> Knock:
    """A file in the folder of latents, which is made again when it cannot be read."""
    cache, key = LatentCache(folder), LatentKey("0" * 64, (64, 64), is_flipped=False, model="tiny")
    (folder / key.file_name).write_bytes(data)

    def look() -> None:
        if cache.get(key) is None and not (folder / key.file_name).exists():
            raise FileNotFoundError(key.file_name)

    return Knock(f"{what} as latents", look, FileNotFoundError)


def in_folders(data: bytes, folder: Path) -> Iterator[Knock]:
    """A sound model's folder, with the weights of one part in a pickle."""
    sound = save_folder(load_base_model("tiny"), folder / "sound")
    load_base_model(str(sound), torch.float32)  # so that it is the pickle that is refused
    for part in WEIGHTS:
        (weights,) = (sound / part).glob("*.safetensors")
        for trick in ("instead", "renamed", "linked", "indexed"):
            model = shutil.copytree(sound, folder / f"{trick}-{part}")
            place = model / part / weights.name
            place.unlink()
            outside = folder / f"{trick}-{part}.bin"
            outside.write_bytes(data)
            if trick == "instead":
                for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt"):
                    (model / part / name).write_bytes(data)
            elif trick == "renamed":
                place.write_bytes(data)
            elif trick == "linked":
                place.symlink_to(outside)
            else:
                index = '{"weight_map": {"conv_in.weight": "../../' + outside.name + '"}}'
                (model / part / f"{weights.name}.index.json").write_text(index)
                (model / part / f"{weights.stem}.bin.index.json").write_text(index)
            where = str(model)
            yield Knock(
                f"a pickle {trick} in {part}",
                lambda w=where: load_base_model(w, torch.float32),
                BaseModelError,
            )
            if trick in ("instead", "indexed"):
                yield Knock(
                    f"a pickle {trick} in {part} to sd-scripts",
                    lambda w=where: resolve_base_model(w),
                    BaseModelError,
                )


def test_the_traps_are_real(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    found = payloads(trap)
    pickle.loads(found["a pickle"])  # noqa: S301 - our own
    assert trap.is_dir()
    for name in ("a checkpoint of torch", "an old checkpoint of torch"):
        trap.rmdir()
        (tmp_path / "model.ckpt").write_bytes(found[name])
        torch.load(tmp_path / "model.ckpt", weights_only=False)
        assert trap.is_dir()


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import _pickle",
        "import shelve, json",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
        "import torch\ntorch.load('model.ckpt')",
        "import torch as t\nt.load('model.ckpt', weights_only=True)",
        "from torch import load as read",
        "import torch\nread = torch.jit.load",
        "import torch.package",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "AutoModel.from_pretrained(name, use_safetensors=True, trust_remote_code=True)",
        "UNet2DConditionModel.from_pretrained(name)",
        "UNet2DConditionModel.from_pretrained(name, use_safetensors=False)",
    ],
)
def test_the_rule_sees_what_reads_a_pickle(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        "from safetensors.torch import load\nload(data)",
        "import json\njson.load(file)",
        "import numpy as np\nnp.load(path, mmap_mode='r')\nnp.load(path, allow_pickle=False)",
        "from concurrent.futures import ThreadPoolExecutor",
        "CLIPTokenizer.from_pretrained(name)",
        "UNet2DConditionModel.from_pretrained(name, use_safetensors=True)",
        "state.load(path)",
        "# import pickle\ntext = 'torch.load(x)'",
    ],
)
def test_the_rule_leaves_the_rest_alone(line: str) -> None:
    assert not list(offences(line))
