"""The rule that nothing here reads a pickle, as a walk over the source: what ruff's own rules leave out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: What unpickles, and what does it behind one's back, between processes or for a cache.
BANNED_MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "jsonpickle", "shelve", "marshal"),
    *("multiprocessing", "concurrent.futures.process", "torch.package", "torch.multiprocessing"),
}
BANNED_NAMES = {
    *("torch.load", "torch.jit.load", "torch.hub.load", "torch.serialization.load", "torch.export.load"),
    *("pandas.read_pickle", "concurrent.futures.ProcessPoolExecutor", "numpy.lib.format.read_array"),
}
#: Options that must be left out or be False.
BANNED_OPTIONS = {"allow_pickle", "trust_remote_code"}


def offences(source: str) -> Iterator[str]:
    """Say what in a file could read a pickle, with its line."""
    tree = ast.parse(source)
    known = dict(_imported(tree))
    for node in ast.walk(tree):
        for what in _of(node, known):
            yield f"line {getattr(node, 'lineno', 0)}: {what}"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Give the names that imports bring in, with what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _of(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names = [f"{module}{alias.name}" for alias in node.names]
        yield from (f"it imports {name}" for name in names if _is_banned(name))
    elif isinstance(node, ast.Attribute) and (name := _dotted(node, known)) is not None and _is_banned(name):
        yield f"it uses {name}"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    options = {option.arg: option.value for option in node.keywords}
    for name in BANNED_OPTIONS & options.keys():
        if not (isinstance(options[name], ast.Constant) and options[name].value is False):
            yield f"{name} is not False"
    called = node.func
    if isinstance(called, ast.Attribute) and called.attr == "from_pretrained":
        whose = ast.unparse(called.value)
        safe = options.get("use_safetensors")
        # A tokenizer has no weights.
        if not whose.endswith("Tokenizer") and not (isinstance(safe, ast.Constant) and safe.value is True):
            yield f"{whose}.from_pretrained without use_safetensors=True"


def _is_banned(name: str) -> bool:
    parts = name.split(".")
    starts = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return bool(starts & BANNED_MODULES) or name in BANNED_NAMES


def _dotted(node: ast.expr, known: dict[str, str]) -> str | None:
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, known)
        return None if before is None else f"{before}.{node.attr}"
    return known.get(node.id) if isinstance(node, ast.Name) else None
