"""The commands: ``python -m intriguing run | paper | record | sync | status | attack``; the Makefile calls them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from nbformat import NotebookNode
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from intriguing import data, longrun, models, publishing, scale

SLOW = 10.0
"""A cell that takes longer than this many seconds gets a line of its own where there is no live display."""

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words of the command line; None takes them from the process.

    Returns:
        The exit status: 0 when all went well, 1 when a chapter failed or the command was impossible.
    """
    parser = argparse.ArgumentParser(prog="python -m intriguing", description="Run and look after the book.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in (
        ("run", "execute the chapters, build the executed book and show the score"),
        ("paper", "execute the chapters at paper scale and store outputs and results"),
        ("record", "execute the chapters and store their results, not their outputs"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("chapters", nargs="*", help="names or their beginnings, such as units (default: all)")
        if name != "paper":
            command.add_argument("--profile", choices=("quick", "paper"), default="quick")
    commands.add_parser("sync", help="bring each notebook up to its text, keeping stored outputs")
    commands.add_parser("status", help="list the pages that their code or text has left behind")
    text = "solve D(x, l) of many digits for one network; go on where an earlier run stopped; torchrun shares the work"
    command = commands.add_parser("attack", help=text, description=text)
    command.add_argument("--model", required=True, choices=tuple(models.RECIPES), metavar="NAME", help="%(choices)s")
    command.add_argument("--images", type=int, help="how many, from the first (default: as the profile says)")
    command.add_argument("--part", choices=("train", "test"), default="train")
    command.add_argument("--profile", choices=tuple(scale.PROFILES), help="(default: INTRIGUING_PROFILE, or quick)")
    command.add_argument("--refine", action="store_true", help="go on to the true minimum of |r|")
    command.add_argument("--norm", choices=("squared", "plain"), default="squared", help="of the penalty")
    command.add_argument("--chunk", type=int, help="images per file and solved at a time")
    options = parser.parse_args(arguments)
    if options.command == "attack":
        return _attack(options)
    try:
        root = publishing.repository()
        if options.command == "status":
            return _status(root)
        if options.command == "sync":
            return _sync(root)
        return _execute(root, options)
    except (ValueError, FileNotFoundError) as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1


def _attack(options: argparse.Namespace) -> int:
    started = time.monotonic()
    if options.profile is not None:
        os.environ["INTRIGUING_PROFILE"] = options.profile
    settings = {"refine": options.refine, "norm": options.norm, "chunk": options.chunk}
    try:
        scale.seed_everything()
        team = longrun.Team()
        run = longrun.digits(options.model, options.images, part=options.part, team=team, **settings)
        team.agree(run)
        made = run.finish(
            worker=(team.rank, team.size), progress=f"attacking {options.model}" if team.rank == 0 else None
        )
        chunks = f"{len(made)} of {len(run.ranges)} chunks"
        console.print(f"Process {team.rank + 1} of {team.size} solved {chunks} in {time.monotonic() - started:.1f} s.")
        if team.rank == 0:
            console.print(f"{options.model}: {run.summary()}\nThe chunks are kept in {escape(str(run.folder))}")
            console.print(scale.run_line(started))
    except (ValueError, OSError, MemoryError, data.DataError) as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    return 0


def _status(root: Path) -> int:
    entries = publishing.status(root)
    for entry in entries:
        console.print(f"[{'green' if entry.current else 'yellow'}]{escape(str(entry))}[/]")
    behind = [entry.page for entry in entries if not entry.current]
    console.print(
        f"{len(entries) - len(behind)} of {len(entries)} pages are up to date."
        + (f' `make paper CHAPTERS="{" ".join(behind)}"` runs the others again.' if behind else "")
    )
    return 0


def _sync(root: Path) -> int:
    written = [path.stem for path in publishing.chapters(root) if publishing.sync(path)]
    console.print(f"Brought up to the text: {', '.join(written) or 'nothing, all pairs were in sync'}.")
    return 0


def _execute(root: Path, options: argparse.Namespace) -> int:
    profile = "paper" if options.command == "paper" else options.profile
    folder = root / "_build" / f"{options.command}-{profile}"
    executed: dict[str, NotebookNode] = {}
    failed: list[str] = []
    paths = publishing.chapters(root, options.chapters)
    if not paths:
        raise FileNotFoundError(f"There is no chapter in {root / 'notebooks'}: a chapter is a file NN-topic.md.")
    started = time.monotonic()
    for path in paths:
        try:
            notebook = _chapter(path, profile, record=options.command != "run")
        except publishing.ChapterFailed as error:
            console.print(f"[red]{escape(str(error))}[/red]")
            failed.append(path.stem)
            continue
        executed[path.stem] = notebook
        target = path.parent if options.command == "paper" else folder / "notebooks"
        publishing.write(notebook, target / f"{path.stem}.ipynb")
    _times(executed, time.monotonic() - started)
    if failed:
        console.print(f"[red]Failed: {', '.join(failed)}.[/red] The files of these chapters are as they were before.")
        return 1
    if options.command != "run":
        return 0
    publishing.stage(root, folder, executed)
    console.print("Building the executed book")
    build = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(folder), "--all", "-q"]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode:
        console.print(escape(done.stdout + done.stderr))
        console.print("[red]The chapters ran, but the book could not be built: see the lines above.[/red]")
        return 1
    _score(root, executed, profile)
    console.print(f"The executed book: {(folder / '_build' / 'html' / 'index.html').as_uri()}")
    return 0


def _chapter(path: Path, profile: str, record: bool) -> NotebookNode:
    """Executes one chapter under a moving bar, or with plain lines where nobody watches."""
    watched = console.is_terminal
    last: list = []

    def slow_cell() -> None:
        if last and time.monotonic() - last[3] >= SLOW and not watched:
            number, total, cell, then = last
            taken, line = time.monotonic() - then, escape(_first_line(cell.source))
            console.print(f"  cell {number} of {total}: {taken:.0f} s, {line}")

    columns = (
        TextColumn("{task.fields[chapter]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.description}"),
    )
    with Progress(*columns, console=console, disable=not watched) as display:
        task = display.add_task("starting", total=None, chapter=path.stem)

        def progress(number: int, total: int, cell: NotebookNode) -> None:
            slow_cell()
            last[:] = [number, total, cell, time.monotonic()]
            display.update(task, total=total, completed=number - 1, description=escape(_first_line(cell.source)[:40]))

        if not watched:
            console.print(f"{path.stem}: running in profile {profile}")
        notebook = publishing.execute(path, profile, record=record, progress=progress)
        slow_cell()
        display.update(task, completed=last[1] if last else 0, total=last[1] if last else 0, description="done")
    return notebook


def _first_line(source: str) -> str:
    """Returns the first line of a cell that is neither empty, nor a comment, nor an import."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    telling = (line for line in lines if not line.startswith(("#", "import ", "from ", "%")))
    return next(telling, lines[0] if lines else "")


def _times(executed: dict[str, NotebookNode], total: float) -> None:
    for name, notebook in executed.items():
        console.print(f"  {name}: {_duration(notebook.metadata[publishing.STAMP].wall_seconds)}")
    console.print(f"Chapters executed: {len(executed)}, in {_duration(total)}.")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _score(root: Path, executed: dict[str, NotebookNode], profile: str) -> None:
    """Prints what the checked cells of this run said, marked by whether the stored pages say the same."""
    agreeing = total = 0
    console.print(f"\n[bold]Scorecard[/bold] of this run in profile {profile}, against the stored pages")
    for name, notebook in executed.items():
        stored = publishing.verdicts(publishing.read(root / "notebooks" / f"{name}.md"))
        for line in publishing.verdicts(notebook):
            same = line in stored
            agreeing, total = agreeing + same, total + 1
            console.print(f"  {'[green]✓[/]' if same else '[red]✗[/]'} {name}  {escape(line)}")
    console.print(f"{agreeing} of {total} verdicts agree.\n")


if __name__ == "__main__":
    sys.exit(main())
