"""Files that run code when they are unpickled, in every wrapping that model files come in."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Trap:
    """Unpickled, it makes a folder: whoever finds that knows that code was run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._folder),)


def payloads(trap: Path) -> dict[str, bytes]:
    """Give the files by what they are."""
    plain = pickle.dumps(Trap(trap))
    header = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    table = io.BytesIO()
    np.save(table, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    return {
        "a pickle": plain,
        "an old pickle": pickle.dumps(Trap(trap), protocol=0),
        "a checkpoint of torch": _torch_file(trap, zipped=True),
        "an old checkpoint of torch": _torch_file(trap, zipped=False),
        "a zip": _zip({"archive/data.pkl": plain, "archive/version": b"3\n"}),
        "a zip that leads out of its folder": _zip({"../../../data.pkl": plain, "/etc/data.pkl": plain}),
        "a zip with a safetensors name in it": _zip({"model.safetensors": plain}),
        "an array of objects": table.getvalue(),
        "a pickle behind safetensors": _length(header) + header + bytes(4) + plain,
        "a pickle for a header": _length(plain) + plain,
        "a pickle after a header that lies": _length(header) + header + plain,
        "a header longer than the file": b"\xff" * 8 + plain,
        "a checkpoint of torch behind a header": _length(b"{}") + b"{}" + _torch_file(trap, zipped=True),
    }


def _torch_file(trap: Path, *, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": Trap(trap)}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, data in files.items():
            writer.writestr(name, data)
    return archive.getvalue()


def _length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little")
