"""From text to page: execute the chapters, stamp their outputs, and say which pages the code left behind.

A chapter is a pair of files in ``notebooks``, listed in ``_toc.yml``: the text ``topic.md``, which is the source,
and the notebook ``topic.ipynb``, which keeps the outputs of its last run at paper scale. Two kinds of stamps make those
outputs trustworthy. Each code cell carries the hashes of the source that was executed and of the outputs that
came out. The notebook carries the profile, the commit of ``src`` and the fingerprints of the definitions of the
package that it rests on. The guard in ``tests`` reads the first kind, :func:`status` the second, and of the first the
hashes of the source.

What reads and executes notebooks is imported where it is used: the answer to :func:`status` needs none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import yaml

from intriguing.book import fingerprint, settings

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

STAMP = "intriguing"
"""The metadata key of the stamps, in cells and in notebooks."""

CHECKED = "nbval-check-output"
"""The tag of the cells whose output is compared with the stored one when the chapters are tested."""

TRY = "try-it"
"""The tag of a cell in which a reader tries an answer: it stands by itself, and no other output rests on it."""

LAST = "scorecard"
"""The chapter that reads the results of others, and is executed after all of them."""

WIDGETS = "application/vnd.jupyter.widget-state+json"
"""The MIME type under which a notebook keeps the state of its widgets."""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
"""The MIME type of an output that shows a widget."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""The variables by which the libraries of arithmetic are told how many threads to use."""

ENDING = 60.0
"""Seconds that a kernel whose cells are done may take to end; after half of them it is told to, and then killed."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}(?=>)")
_STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=_|\b)")  # what pandas calls a styled table, anew in each run
_MENTION = re.compile(r"IPY_MODEL_([0-9a-f]{32})")
_KEPT_IN_TEXT = ("tags", "mystnb")
_WIDGET_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_CODE_CELL = re.compile(r"^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1[ \t]*$", re.M | re.S)
_CELL_OPTIONS = re.compile(r"(?:---\n.*?^---\n|(?::[^\n]*\n)+)?\n*", re.M | re.S)
_SHOWN = 8  # changed definitions that a line of the status names
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class ChapterFailed(Exception):
    """A cell of a chapter could not be executed; the message names the chapter, the cell and the error."""


@dataclass(frozen=True)
class PageStatus:
    """How one page stands to the code and to its own text.

    Attributes:
        page: The stem of the chapter's files, for instance ``framework``.
        stamp: The notebook's stamp, empty when the page was never run.
        changed: Names of the definitions that differ from those of the run, sorted.
        changed_cells: Numbers of the code cells, counted from 1, that have no outputs, or those of another source,
            cells for trying left out; and of those that another cell came before when they were run.
    """

    page: str
    stamp: dict
    changed: tuple[str, ...]
    changed_cells: tuple[int, ...]

    @property
    def current(self) -> bool:
        """Whether the page was run and neither its cells, those for trying aside, nor their order nor code changed."""
        return bool(self.stamp) and not self.changed and not self.changed_cells

    def __str__(self) -> str:
        """The page and its standing in one line."""
        if not self.stamp:
            return f"{self.page}: never run"
        made = f"run in profile {self.stamp.get('profile')} at {self.stamp.get('commit')}"
        notes = []
        if self.changed:
            more = len(self.changed) - _SHOWN
            names = ", ".join(self.changed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
            notes.append(f"code changed since: {names}")
        if self.changed_cells:
            notes.append(f"changed since: code cell {', '.join(map(str, self.changed_cells))}")
        return f"{self.page}: {made}; {'; '.join(notes) or 'up to date'}"


def repository() -> Path:
    """Returns the root of the checkout that holds the book.

    Raises:
        FileNotFoundError: Neither the package nor the current directory lies in a checkout of the book.
    """
    root = settings.checkout()
    if root is None or not (root / "notebooks").is_dir():
        raise FileNotFoundError(
            f"No checkout of the book was found at {Path.cwd()} or above it: change to the folder that holds "
            "_toc.yml and notebooks/."
        )
    return root


def names(root: Path) -> list[str]:
    """Returns the names of the chapters in the order of ``_toc.yml``, the scorecard last.

    Args:
        root: The root of the checkout, or of a book that was laid out by :func:`intriguing.press.building.stage`.

    Raises:
        FileNotFoundError: There is no ``_toc.yml``.
        ValueError: It is no YAML.
    """
    path = root / "_toc.yml"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: it lists the chapters, as notebooks/topic, in their order.")
    try:
        listed_files = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} cannot be read ({problem}); mend it, or restore it from git.") from problem
    files = (Path(entry) for entry in _entries(listed_files))
    listed = dict.fromkeys(file.stem for file in files if file.parent.name == "notebooks")
    return sorted(listed, key=lambda name: name == LAST)


def chapters(root: Path, chosen: Sequence[str] = ()) -> list[Path]:
    """Returns the text files of the chapters, in the order in which they are read.

    Args:
        root: The root of the checkout.
        chosen: Names, or beginnings that only one name has, for instance ``units``; none means every chapter.

    Raises:
        FileNotFoundError: There is no ``_toc.yml``, or it lists no chapter, or one that has no text.
        ValueError: A name fits no chapter, or several, or ``_toc.yml`` is no YAML.
    """
    known = names(root)
    if not known:
        raise FileNotFoundError(f"_toc.yml of {root} lists no chapter: give it an entry notebooks/topic.")
    found = [root / "notebooks" / f"{name}.md" for name in known]
    for path in found:
        if not path.is_file():
            raise FileNotFoundError(f"_toc.yml lists {path.stem}, but there is no {path}: write it or take it out.")
    wanted = set()
    for name in chosen:
        fitting = [name] if name in known else [other for other in known if other.startswith(name)]
        if len(fitting) != 1:
            raise ValueError(
                f"got {name!r}, which is the beginning of {' and '.join(fitting) or 'no chapter'}; "
                f"expected names of chapters; choose from {', '.join(known)}."
            )
        wanted.update(fitting)
    return [path for path in found if not chosen or path.stem in wanted]


def source_hash(cell: NotebookNode) -> str:
    """Returns the SHA-256, in hexadecimal digits, of the source of a cell."""
    return hashlib.sha256(cell.source.encode()).hexdigest()


def outputs_hash(cell: NotebookNode) -> str:
    """Returns the SHA-256, in hexadecimal digits, of what a code cell put out (its execution count aside)."""
    plain = [{key: value for key, value in output.items() if key != "execution_count"} for output in cell.outputs]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read(path: Path, stored: Path | None = None) -> NotebookNode:
    """Reads a chapter from its text and adds what its notebook knows: outputs, counts and stamps.

    A code cell whose source has changed keeps the outputs of the cell that it replaces together with their
    stamp, so that the guard can see that they are no longer its own; where the number of code cells is another one,
    it has none. The ids of the cells are made from the text.

    Args:
        path: The chapter's ``.md`` file.
        stored: The notebook that knows them; None takes the one beside the text. It need not exist.

    Returns:
        The notebook, in nbformat 4.5.

    Raises:
        ValueError: The notebook that knows them cannot be read.
    """
    import jupytext
    import nbformat
    from nbformat import NotebookNode

    fresh = nbformat.from_dict(jupytext.read(path, fmt="md:myst"))
    fresh.nbformat, fresh.nbformat_minor = 4, 5
    fresh.metadata = NotebookNode(kernelspec=fresh.metadata.get("kernelspec", NotebookNode(name="python3")))
    stored = path.with_suffix(".ipynb") if stored is None else stored
    with _named(stored):
        old = nbformat.read(stored, as_version=4) if stored.is_file() else nbformat.v4.new_notebook()
    fresh.metadata = NotebookNode({**old.metadata, **fresh.metadata})
    fresh.metadata.pop("jupytext", None)

    partners = _partners(
        [cell for cell in fresh.cells if cell.cell_type == "code"],
        [cell for cell in old.cells if cell.cell_type == "code"],
    )
    for cell in fresh.cells:
        cell.metadata = NotebookNode({key: cell.metadata[key] for key in _KEPT_IN_TEXT if key in cell.metadata})
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        partner = partners.get(id(cell))
        if partner is not None:
            cell.outputs, cell.execution_count = partner.outputs, partner.execution_count
            if STAMP in partner.metadata:
                cell.metadata[STAMP] = partner.metadata[STAMP]
    _name_cells(fresh)
    return fresh


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook so that the file is at every moment either the old one or the new one, complete.

    Raises:
        nbformat.ValidationError: The notebook does not follow the format; the file is left as it was.
    """
    import nbformat

    from intriguing.attack import files

    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    files.write_atomically(path, text.encode())


def sync(path: Path) -> bool:
    """Brings a chapter's notebook up to its text and keeps the stored outputs; cells for trying are run anew.

    Args:
        path: The chapter's ``.md`` file.

    Returns:
        Whether the notebook had to be written.
    """
    import nbformat

    from intriguing.press import trying

    notebook, target = read(path), path.with_suffix(".ipynb")
    trying.fill(notebook)
    if target.is_file() and nbformat.read(target, as_version=4) == notebook:
        return False
    write(notebook, target)
    return True


def execute(
    path: Path,
    profile: str,
    *,
    record: bool = False,
    progress: Callable[[int, int, NotebookNode], None] | None = None,
) -> NotebookNode:
    """Executes a chapter from its text, from first cell to last in a new kernel, and stamps the result.

    Args:
        path: The chapter's ``.md`` file. Neither it nor its notebook is written.
        profile: ``quick`` or ``paper``.
        record: Whether the chapter writes the stored results instead of comparing with them.
        progress: Called before each code cell with its number from 1, the number of code cells, and the cell.

    Returns:
        The executed notebook: counts 1 to n, no times of cells, the same widget names in every run, stamped.

    Raises:
        ChapterFailed: A cell raised an error or its kernel died.
    """
    return asyncio.run(execute_beside(path, profile, record=record, progress=progress))[0]


async def execute_beside(
    path: Path,
    profile: str,
    *,
    record: bool = False,
    progress: Callable[[int, int, NotebookNode], None] | None = None,
    threads: int | None = None,
) -> tuple[NotebookNode, dict[str, str]]:
    """Does what :func:`execute` does while other chapters are executed in kernels of their own.

    Args:
        path: As for :func:`execute`.
        profile: As for :func:`execute`.
        record: As for :func:`execute`.
        progress: As for :func:`execute`.
        threads: How many threads of arithmetic the kernel may use; None leaves that to the libraries.

    Returns:
        The executed notebook, and the results that it wrote: file -> SHA-256 of the content.

    Raises:
        ChapterFailed: A cell raised an error or its kernel died.
        asyncio.CancelledError: The caller wants no more; the kernel has been ended.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat import NotebookNode

    settings.profile(profile)
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop(STAMP, None)
    notebook.metadata.pop("widgets", None)
    # Taken before the run: these are the files that the kernel is about to import.
    stamp = {"profile": profile, "commit": settings.commit(), **reached(notebook, profile)}
    started, current = time.monotonic(), 0

    def starting(cell: NotebookNode, cell_index: int) -> None:
        nonlocal current
        if cell.cell_type == "code":
            current += 1
            if progress is not None:
                progress(current, len(code), cell)

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        startup_timeout=180,  # a busy computer takes its time
        extra_arguments=["--log-level=40"],  # the kernel's own warnings are no part of a chapter
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=starting,
    )
    with tempfile.TemporaryDirectory() as scratch:
        ledger = Path(scratch) / "ledger"
        environment = dict(os.environ, INTRIGUING_PROFILE=profile, INTRIGUING_RECORD="1" if record else "0")
        environment["INTRIGUING_LEDGER"] = str(ledger)
        if threads is not None:
            environment.update(dict.fromkeys(THREADS, str(threads)))
        try:
            await _run_cells(client, environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, CellControlSignal, RuntimeError) as error:
            raise ChapterFailed(_failure(path.stem, current, code, error)) from None
        lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else []
    entries = [json.loads(line) for line in lines]
    tidy(notebook, path.stem)
    for cell in code:
        cell.metadata[STAMP] = NotebookNode(source=source_hash(cell), outputs=outputs_hash(cell))
    notebook.metadata[STAMP] = nbformat.from_dict(
        {
            **stamp,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(time.monotonic() - started),
            "computing": settings.computing(entry for entry in entries if "wrote" not in entry),
        }
    )
    return notebook, {entry["wrote"]: entry["sha256"] for entry in entries if "wrote" in entry}


def reached(notebook: NotebookNode, profile: str) -> dict:
    """Returns the part of a notebook's stamp that says on which code of the package its outputs rest."""
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return {"definitions": stamp_definitions((cell.source for cell in code if not is_apart(cell)), profile)}


def is_apart(cell: NotebookNode) -> bool:
    """Returns whether a cell is one for trying an answer, which the stamp of its page leaves out."""
    return TRY in cell.metadata.get("tags", [])


async def _run_cells(client: NotebookClient, environment: dict[str, str]) -> None:
    """Executes all cells in a new kernel, which is ended in any case.

    The client's own ``execute`` would do, but it takes over the signals of this process, and several at once would
    take them from each other.
    """
    client.km = client.create_kernel_manager()
    client.km.shutdown_wait_time = ENDING
    finished = False
    try:
        await client.async_start_new_kernel(env=environment)
        await client.async_start_new_kernel_client()
        for index, cell in enumerate(client.nb.cells):
            await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
        client.set_widgets_metadata()
        finished = True
    finally:
        manager, channels = client.km, client.kc
        if channels is not None:
            channels.stop_channels()
        if manager is not None:
            if manager.has_kernel:
                await manager.shutdown_kernel(now=not finished)
            await manager.cleanup_resources()


def tidy(notebook: NotebookNode, name: str) -> None:
    """Removes from an executed notebook, in place, what differs from run to run without a meaning.

    Args:
        notebook: The executed notebook.
        name: A word from which the names of the widgets are made.
    """
    import nbformat
    from nbformat import NotebookNode

    count = 0
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        for place, output in enumerate(cell.outputs, 1):
            if "execution_count" in output:
                output.execution_count = count
            output.get("metadata", {}).pop("execution", None)
            _settle(output, f"{count}_{place}")
    notebook.metadata.pop("language_info", None)
    state = _living_widgets(notebook)
    if not state:
        notebook.metadata.pop("widgets", None)
        return
    notebook.metadata.widgets[WIDGETS].state = NotebookNode(state)
    names = {old: hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:32] for i, old in enumerate(state)}
    text = _WIDGET_NAME.sub(lambda match: names.get(match[0], match[0]), nbformat.writes(notebook))
    renamed = nbformat.reads(text, as_version=4)
    notebook.metadata = renamed.metadata
    for cell, other in zip(notebook.cells, renamed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = other.outputs


def _settle(output: NotebookNode, place: str) -> None:
    """Takes memory addresses out of plain texts, and gives styled tables names that stay the same."""
    data = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = _ADDRESS.sub("", data["text/plain"])
    if "text/html" in data:
        data["text/html"] = _STYLED.sub(f"T_cell{place}", data["text/html"])


def _living_widgets(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Takes progress bars out of the outputs and returns the widgets that the rest of the page needs, by name."""
    state = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    needed: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_progress(output, state)]
        views = [output.get("data", {}).get(WIDGET_VIEW) for output in cell.outputs]
        needed += [view["model_id"] for view in views if view]
    mentions = {name: set(_MENTION.findall(json.dumps(model))) for name, model in state.items()}
    kept: set[str] = set()
    while needed:
        name = needed.pop()
        if name in state and name not in kept:
            kept.add(name)
            needed += mentions[name]
        if not needed:
            # A link between two widgets is mentioned by neither; it lives where both ends do.
            links = (name for name in state if name not in kept and "Link" in state[name].get("model_name", ""))
            needed += [name for name in links if mentions[name] and mentions[name] <= kept]
    return {name: model for name, model in state.items() if name in kept}


def _is_progress(output: NotebookNode, state: dict[str, NotebookNode]) -> bool:
    """Whether an output is a progress bar, which has nothing to say once the work is done."""
    view = output.get("data", {}).get(WIDGET_VIEW)
    if not view:
        return False
    text = output.data.get("text/plain", "")
    return view["model_id"] not in state or bool(re.match(r"[^|]*\d+(%\||it \[)", text))


def stamp_definitions(sources: Iterable[str], profile: str) -> dict[str, str]:
    """Returns what the stamp of a page says of the code: each definition that its cells reach, with its hash.

    Args:
        sources: The code cells of the page, in order.
        profile: ``quick`` or ``paper``; the sizes of the other one play no part.
    """
    return fingerprint.definitions(sources, settings.unused(profile))


def code_cells(text: str) -> list[tuple[str, bool]]:
    """Finds the code cells of a chapter's text as ``jupytext`` would.

    Returns:
        For each, in order, its source, and whether it is one for trying an answer.
    """
    bodies = [found[2] for found in _CODE_CELL.finditer(text)]
    options = [_CELL_OPTIONS.match(body)[0] for body in bodies]
    tagged = re.compile(rf"^:?tags:.*\b{TRY}\b", re.M)
    return [
        (body[len(option) :].rstrip("\n"), bool(tagged.search(option)))
        for body, option in zip(bodies, options, strict=True)
    ]


def status(root: Path) -> list[PageStatus]:
    """Says of every chapter whether its stored outputs still belong to its text and to the code.

    Args:
        root: The root of the checkout.

    Returns:
        One entry for each chapter, in order.

    Raises:
        ValueError: A stored notebook cannot be read.
    """
    return [_page_status(path) for path in chapters(root)]


def _page_status(path: Path) -> PageStatus:
    """The standing of one page, from the plain text of its two files."""
    code = [SimpleNamespace(source=s, apart=apart) for s, apart in code_cells(path.read_text(encoding="utf-8"))]
    stored = path.with_suffix(".ipynb")
    with _named(stored):
        notebook = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
        stamp = notebook.get("metadata", {}).get(STAMP, {})
        if not stamp:
            return PageStatus(path.stem, {}, (), ())
        profile = settings.profile(stamp["profile"]).name
        old = [
            SimpleNamespace(
                source="".join(cell["source"]), stamp=cell["metadata"].get(STAMP, {}), count=cell["execution_count"]
            )
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        ]
    partners = _partners(code, old)
    # A cell without a count has no outputs: they were cleared.
    run = {cell: partner for cell, partner in partners.items() if partner.count is not None}
    made = [run[id(cell)].stamp.get("source") if id(cell) in run else None for cell in code]
    stale = [
        i
        for i, (cell, source) in enumerate(zip(code, made, strict=True), 1)
        if not cell.apart and source != source_hash(cell)
    ]
    stale = sorted({*stale, *_out_of_order([getattr(partners.get(id(cell)), "count", None) for cell in code])})
    now = stamp_definitions((cell.source for cell in code if not cell.apart), profile)
    return PageStatus(path.stem, stamp, tuple(fingerprint.changed(stamp.get("definitions", {}), now)), tuple(stale))


@contextlib.contextmanager
def _named(stored: Path) -> Iterator[None]:
    """Says which notebook cannot be read, whatever is wrong with it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise ValueError(
            f"The stored notebook {stored} cannot be read ({type(problem).__name__}: {reason}); restore it from git, "
            "or remove it and run the chapter again."
        ) from problem


def _out_of_order(counts: Iterable[int | None]) -> list[int]:
    """Numbers of the cells that did not run next after the one before: cells were moved, or one was taken out.

    Args:
        counts: The place of each cell in the run; None for one that has no outputs.
    """
    found, before = [], 0
    for i, count in enumerate(counts, 1):
        if count is not None:
            found += [i] if count != before + 1 else []
            before = count
    return found


def verdicts(notebook: NotebookNode) -> list[str]:
    """Returns what the checked cells of an executed notebook printed, one line each."""
    lines = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and CHECKED in cell.metadata.get("tags", []):
            text = "".join(_text(output) for output in cell.outputs)
            lines += [line.strip() for line in text.splitlines() if line.strip()]
    return lines


def _entries(node: object) -> Iterator[str]:
    """Yields the files named anywhere in a table of contents, in its order."""
    if isinstance(node, dict):
        yield from [str(node["file"])] if "file" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _entries(item)


def _partners(fresh: list[NotebookNode], old: list[NotebookNode]) -> dict[int, NotebookNode]:
    """Pairs each new code cell with the old one whose outputs it keeps: same source, else same place."""
    waiting: dict[str, list[int]] = {}
    for i, cell in enumerate(old):
        waiting.setdefault(cell.source, []).append(i)
    pairs, taken = {}, set()
    for cell in fresh:
        if waiting.get(cell.source):
            i = waiting[cell.source].pop(0)
            pairs[id(cell)] = old[i]
            taken.add(i)
    if len(fresh) == len(old):
        for i, cell in enumerate(fresh):
            if id(cell) not in pairs and i not in taken:
                pairs[id(cell)] = old[i]
    return pairs


def _name_cells(notebook: NotebookNode) -> None:
    """Gives each cell an id that depends on its text alone, so that the same text makes the same file."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        key = f"{cell.cell_type}\n{cell.source}"
        seen[key] = seen.get(key, 0) + 1
        cell.id = hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:12]


def _failure(chapter: str, number: int, code: list[NotebookNode], error: Exception) -> str:
    """Says where a chapter failed: the chapter, the cell and its source, and the end of the error."""
    source = code[number - 1].source if number else ""
    shown = source.splitlines()[:12] + (["…"] if len(source.splitlines()) > 12 else [])
    outputs = [output for output in (code[number - 1].outputs if number else []) if output.output_type == "error"]
    trace = "\n".join(outputs[-1].traceback) if outputs else str(error)
    lines = [line for line in _ESCAPES.sub("", trace).splitlines() if line.strip()]
    return "\n".join(
        [f"{chapter}: code cell {number} of {len(code)} failed."]
        + [f"    {line}" for line in shown]
        + ["  ended with:"]
        + [f"    {line}" for line in lines[-14:]]
    )


def _text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return output.text
    return output.get("data", {}).get("text/plain", "")
