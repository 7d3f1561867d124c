"""The extensions of the book's build, which lie outside of the package, as modules for the tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent.parent / "book" / "_extensions"


def extension(name: str) -> ModuleType:
    """Loads one anew, whatever has been loaded before.

    Args:
        name: of its file, without the ending.
    """
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look for their module there while they are made
    sys.path.insert(0, str(FOLDER))  # one may use another
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
        if known is None:
            del sys.modules[name]
        else:
            sys.modules[name] = known
    return module
