"""Programs of this checkout that are in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def loaded(path: Path) -> ModuleType:
    """Load a program, once, without running it."""
    name = f"program_{path.stem}"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # a program finds its own packages beside itself
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # its dataclasses look for themselves there
        spec.loader.exec_module(module)
    return sys.modules[name]
