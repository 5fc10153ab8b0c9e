"""A hub of models on this machine: it speaks what the hub's library asks, and breaks lines when told to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "a" * 40
MODEL = "somebody/small-diffusion"

WEIGHTS = {
    f"{folder}/{stem}.fp16.safetensors": (folder.encode() + b" weights ") * 20_000
    for folder, stem in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    )
}
TEXTS = {
    **{f"{folder}/config.json": b"{}" for folder in ("unet", "vae", "text_encoder")},
    "tokenizer/vocab.json": b"{}",
    "scheduler/scheduler_config.json": b"{}",
}
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"


_ID, _RESOLVE = r"[^/]+/[^/]+", f"/resolve/{REVISION}/"


@dataclass
class SmallHub:
    """What it has, what it does wrong, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {**WEIGHTS, **TEXTS})
    #: Of other models, by their ids; `asked` names theirs with the id.
    others: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: It says that these have so many bytes.
    claimed_bytes: dict[str, int] = field(default_factory=dict)
    #: An answer to a GET of these ends after so many bytes, each time one is left.
    breaks: dict[str, list[int]] = field(default_factory=dict)
    #: An answer to a GET of these waits after so many bytes until the event is set.
    holds: dict[str, tuple[int, threading.Event]] = field(default_factory=dict)
    #: Its files are refused: their owner asks for terms to be accepted.
    gated: bool = False
    #: It forgets what a range is.
    whole_only: bool = False
    #: A GET gives these bytes, whatever the checksum says.
    damaged: dict[str, bytes] = field(default_factory=dict)
    #: GETs of files, as (name, first byte).
    asked: list[tuple[str, int]] = field(default_factory=list)

    def starts(self, name: str) -> list[int]:
        """Tell from which bytes on a file was asked for."""
        return [first for asked, first in self.asked if asked == name]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def small_hub() -> Iterator[SmallHub]:
    """Open a hub; give what it is told and what it heard."""
    hub = SmallHub()

    class Door(_Door):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Door(BaseHTTPRequestHandler):
    state: SmallHub

    def do_HEAD(self) -> None:
        self._answer(is_head=True)

    def do_GET(self) -> None:
        self._answer(is_head=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, is_head: bool) -> None:
        path = self.path.partition("?")[0]
        if (model := re.fullmatch(rf"/api/models/({_ID})", path)) and model[1] in self._files_by_id:
            return self._say(200, json.dumps(self._model(model[1])).encode(), {})
        file = re.fullmatch(rf"/({_ID})/resolve/{REVISION}/(.+)", path)
        name = file[2] if file and file[1] == MODEL else path.removeprefix("/").replace(_RESOLVE, "/")
        if name not in self._contents:
            return self._say(404, b"", {"X-Error-Code": "RepoNotFound"})
        if self.state.gated:
            return self._say(401, b"", {"X-Error-Code": "GatedRepo"})
        return self._head(name) if is_head else self._file(name)

    @property
    def _files_by_id(self) -> dict[str, dict[str, bytes]]:
        return {MODEL: self.state.files, **self.state.others}

    @property
    def _contents(self) -> dict[str, bytes]:
        others = self.state.others.items()
        return {
            **self.state.files,
            **{f"{model}/{name}": content for model, files in others for name, content in files.items()},
        }

    def _model(self, model: str) -> dict[str, object]:
        siblings: list[dict[str, object]] = []
        for name, content in self._files_by_id[model].items():
            size = self.state.claimed_bytes.get(name, len(content))
            sibling: dict[str, object] = {"rfilename": name, "size": size, "blobId": "b" * 40}
            if name.endswith(".safetensors"):
                sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        return {"id": model, "sha": REVISION, "siblings": siblings, "private": False, "tags": []}

    def _head(self, name: str) -> None:
        content = self._contents[name]
        self.send_response(200)
        for header, value in (
            ("X-Repo-Commit", REVISION),
            ("ETag", f'"{sha256(content)}"'),
            ("Content-Length", str(len(content))),
        ):
            self.send_header(header, value)
        self.end_headers()

    def _file(self, name: str) -> None:
        content = self.state.damaged.get(name, self._contents[name])
        match = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        first = int(match[1]) if match and not self.state.whole_only else 0
        self.state.asked.append((name, int(match[1]) if match else 0))
        breaks = self.state.breaks.get(name)
        rest = content[first:]
        sent = rest[: breaks.pop(0)] if breaks else rest
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.close_connection = True
        hold_at, go_on = self.state.holds.get(name, (0, None))
        if go_on is not None and first < hold_at:
            self.wfile.write(sent[: hold_at - first])
            go_on.wait(60)
            sent = sent[hold_at - first :]
        with contextlib.suppress(ConnectionError):  # who asked may be gone
            self.wfile.write(sent)

    def _say(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)
