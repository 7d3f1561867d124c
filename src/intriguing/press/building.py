"""The executed book: laid out from what was executed, built, and not built again while nothing in it has changed."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from nbformat import NotebookNode

from intriguing.attack import files
from intriguing.press import publishing

BUILT = "built"
"""The file beside a built book that says from what it was built."""

_PARTS = ("book/**/*", "notebooks/*", "src/**/*.py", "results/**/*.json", "*.md", "_*.yml", "requirements.txt")


def stage(root: Path, folder: Path, notebooks: Mapping[str, NotebookNode]) -> None:
    """Lays out a book with the given notebooks in place of the stored ones, ready to be built.

    Args:
        root: The root of the checkout, from which the pages and the settings are taken.
        folder: Where to lay it out; pages and notebooks that were laid out there before are removed.
        notebooks: The executed notebook of each chapter by its stem. Chapters that are not among them
            are shown with their stored outputs.
    """
    for name in ("book", "notebooks"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(root / "book", folder / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (folder / "notebooks").mkdir()
    texts = publishing.chapters(root)
    for path in (*root.glob("_*.yml"), *root.glob("*.md"), *texts):  # pages include texts, and count their words
        shutil.copy2(path, folder / path.relative_to(root))
    for path in texts:
        publishing.write(notebooks.get(path.stem) or publishing.read(path), folder / "notebooks" / f"{path.stem}.ipynb")


def ingredients(root: Path, executed: Mapping[str, Path]) -> str:
    """Returns a text that changes with anything of the checkout that the built book is made from.

    Of the programs that build it, Python counts with its version and the packages as far as they are locked.

    Args:
        root: The root of the checkout.
        executed: The kept file of each executed chapter that is shown, by name.

    Returns:
        A SHA-256 sum, in hexadecimal digits.
    """
    total = hashlib.sha256(platform.python_version().encode())
    for name, path in _ingredients(root, executed):
        total.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def build(root: Path, folder: Path, notebooks: Mapping[str, NotebookNode], executed: Mapping[str, Path]) -> str | None:
    """Builds the book from what was executed, unless it lies there already.

    Args:
        root: The root of the checkout.
        folder: Where the book is laid out and built.
        notebooks: As for :func:`stage`.
        executed: As for :func:`ingredients`.

    Returns:
        What the program that builds said where it failed, an empty text where it built the book, None where the book
        was there.
    """
    stamp, now = folder / BUILT, ingredients(root, executed)
    if (folder / "_build" / "html" / "index.html").is_file() and stamp.is_file() and stamp.read_text("utf-8") == now:
        return None
    stamp.unlink(missing_ok=True)
    stage(root, folder, notebooks)
    program = str(Path(sys.executable).with_name("jupyter-book"))
    done = subprocess.run([program, "build", str(folder), "--all", "-q"], capture_output=True, text=True)
    if done.returncode:
        return done.stdout + done.stderr
    files.write_atomically(stamp, now.encode())
    return ""


def _ingredients(root: Path, executed: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for part in _PARTS:
        for path in sorted(root.glob(part)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(root)), path
    yield from sorted(executed.items())
