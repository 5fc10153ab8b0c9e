"""Writes the generated diagrams of the pages: `make docs`; with `--check` it compares them with the code.

The layers come from the imports of `bot/` and `gpu_worker/`, the tables from the migrations.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.db.sqlite.migrate import migrate, read_migrations

ROOT = Path(__file__).parents[1]
PAGES = {"layers": "docs/architecture.md", "tables": "docs/database.md"}


def read_layer_imports(process: str) -> dict[str, set[str]]:
    """Return which folder of a process imports which other one."""
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / process).rglob("*.py")):
        layer = path.relative_to(ROOT / process).parts[0].removesuffix(".py")
        if layer in ("__init__", "__main__"):
            continue
        imported = graph.setdefault(layer, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                imported |= {name.split(".")[1] for name in names if name.startswith(process + ".")}
        imported.discard(layer)
    return graph


def remove_implied_edges(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph without edges that a longer way implies, which is what a reader needs."""

    def reachable(start: str) -> set[str]:
        found: set[str] = set()
        waiting = list(graph.get(start, ()))
        while waiting:
            folder = waiting.pop()
            if folder not in found:
                found.add(folder)
                waiting.extend(graph.get(folder, ()))
        return found

    return {
        folder: {
            target
            for target in targets
            if not any(target in reachable(other) for other in targets if other != target)
        }
        for folder, targets in graph.items()
    }


def render_layers() -> str:
    """Return the layers of both processes as one mermaid diagram, higher ones first."""
    lines = ["```mermaid", "flowchart TD"]
    for process in ("bot", "gpu_worker"):
        graph = remove_implied_edges(read_layer_imports(process))
        lines.append(f"  subgraph {process}")
        for folder in sorted(graph):
            lines += [f"    {process}_{folder}[{folder}]"]
            lines += [f"    {process}_{folder} --> {process}_{target}" for target in sorted(graph[folder])]
        lines.append("  end")
    return "\n".join([*lines, "  bot_core -.-> gpu_worker_protocol", "```"])


def render_tables() -> str:
    """Return the tables and their references as a mermaid diagram."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, read_migrations())
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    tables = [name for (name,) in connection.execute(query) if name != "migrations"]
    lines = ["```mermaid", "erDiagram"]
    for table in tables:
        keys = connection.execute(f"SELECT * FROM pragma_foreign_key_list('{table}')")  # noqa: S608 - ours
        references = sorted({(row[2], row[3]) for row in keys})
        lines += [f"  {parent} ||--o{{ {table} : {column}" for parent, column in references]
        lines += [] if references else [f"  {table}"]
    connection.close()
    return "\n".join([*lines, "```"])


RENDERERS = {"layers": render_layers, "tables": render_tables}


def update_page(text: str, name: str, block: str) -> str:
    """Return a page with the block between its two markers replaced.

    Raise ValueError when the page has no such markers.
    """
    start, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the page has no {start} … {end}")
    return pattern.sub(lambda _: f"{start}\n{block}\n{end}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the diagrams, or with `--check` compare them; return 1 when one is out of date."""
    status = 0
    for name, page in PAGES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        updated = update_page(text, name, RENDERERS[name]())
        if "--check" in arguments and updated != text:
            sys.stderr.write(f"{page}: {name} are not as the code is: make docs\n")
            status = 1
        elif updated != text:
            path.write_text(updated, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
