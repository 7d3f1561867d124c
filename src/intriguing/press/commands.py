"""The commands of ``python -m intriguing``: run, paper, record, fetch, sync, status, welcome, attack, laboratory
and touch.

The Makefile calls all of them but the last three.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from intriguing.book import settings
from intriguing.press import publishing

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from intriguing.press import running

SLOW = 10.0
"""A cell that takes longer than this many seconds gets a line of its own where there is no live display."""

OF_IMAGE = ("target", "network", "confidence", "output")
OF_MODEL = ("images", "part", "profile", "refine", "norm", "chunk")
"""What ``attack`` takes beside ``--image`` alone, and beside ``--model`` alone."""

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words of the command line; None takes them from the process.

    Returns:
        The exit status: 0 when all went well, 1 when a chapter failed or the command was impossible, 130 when it was
        interrupted, and 143 when chapters were executed, or their book was built, and that was terminated.

    Raises:
        SystemExit: With 2 where the words are no command, with 0 where they ask for help.
        KeyboardInterrupt: ``attack`` or ``fetch`` was interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m intriguing", description="Run and look after the book.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in (
        ("run", "execute the chapters, build the executed book and show the score"),
        ("paper", "execute the chapters at paper scale and store outputs and results"),
        ("record", "execute the chapters and store their results, not their outputs"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("chapters", nargs="*", help="names or their beginnings, such as units (default: all)")
        command.add_argument("--jobs", type=int, help="chapters executed at a time (default: one for each core)")
        command.add_argument("--again", action="store_true", help="execute also what was kept and is still true")
        if name != "paper":
            command.add_argument("--profile", choices=("quick", "paper"), default="quick")
    text = "fetch data from their public places and check them; say how to lay out what may not be passed on"
    command = commands.add_parser("fetch", help=text, description=text)
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="mnist, usps, cifar10, alexnet, squeezenet (default: all)"
    )
    command.add_argument("--folder", type=Path, help="(default: INTRIGUING_DATA, or the cache)")
    commands.add_parser("sync", help="bring each notebook up to its text, keeping stored outputs")
    commands.add_parser("status", help="list the pages that their cells or the code have left behind")
    text = "bring README and first page up to the stored results"
    command = commands.add_parser("welcome", help=text, description=text)
    command.add_argument("--figure", action="store_true", help="draw the figure that moves anew, from trained networks")
    text = (
        "with --image, have a photograph of your own taken for another class; with --model, solve D(x, l) of many "
        "digits for one network, going on where an earlier run stopped; torchrun shares that work"
    )
    command = commands.add_parser("attack", help=text, description=text)
    kinds = command.add_mutually_exclusive_group(required=True)
    kinds.add_argument(
        "--image", type=Path, metavar="FILE", help="a JPEG or PNG of any size; its middle square is used"
    )
    recipes = _recipes(arguments)
    kinds.add_argument("--model", choices=recipes or None, metavar="NAME", help=", ".join(recipes) or "a network")
    command.add_argument("--target", metavar="CLASS", help="of the photograph: a name such as ostrich, or 0 to 999")
    command.add_argument(
        "--network", metavar="NAME",
        help="that shall take the photograph for it: efficientnet-lite0 (default), -lite1, -lite2, squeezenet, alexnet",
    )  # fmt: skip
    command.add_argument("--confidence", type=float, metavar="P", help="probability of the class (default: 0.9)")
    command.add_argument("--output", type=Path, metavar="FILE", help="a PNG (default: FILE-CLASS.png in this folder)")
    command.add_argument("--images", type=int, help="how many, from the first (default: as the profile says)")
    command.add_argument("--part", choices=("train", "test"), help="(default: train)")
    command.add_argument("--profile", choices=tuple(settings.PROFILES), help="(default: INTRIGUING_PROFILE, or quick)")
    command.add_argument("--refine", action="store_true", default=None, help="go on to a local minimum of |r|")
    command.add_argument("--norm", choices=("squared", "plain"), help="of the penalty (default: squared)")
    command.add_argument("--chunk", type=int, help="images per file and solved at a time")
    attacking = command
    text = "write the networks and digits of the page on which a reader draws, from the weights that are kept"
    command = commands.add_parser("laboratory", help=text, description=text)
    command.add_argument("--profile", choices=tuple(settings.PROFILES), help="(default: INTRIGUING_PROFILE, or quick)")
    text = "write the pictures of the figures that a reader touches, from the weights that are kept"
    command = commands.add_parser("touch", help=text, description=text)
    command.add_argument("--profile", choices=tuple(settings.PROFILES), help="(default: INTRIGUING_PROFILE, or quick)")
    options = parser.parse_args(arguments)
    if _computes(options) and settings.environment("INTRIGUING_DEVICE"):
        try:
            settings.device()
        except (ValueError, RuntimeError) as error:  # no such device here: said before anything is computed
            console.print(f"[red]{escape(str(error))}[/red]")
            return 1
    if options.command == "attack":
        kind, others = ("model", OF_IMAGE) if options.image is None else ("image", OF_MODEL)
        idle = [name for name in others if getattr(options, name) is not None]
        if idle:
            attacking.error(f"argument --{idle[0]}: not allowed with argument --{kind}")
        return _attack(options) if options.image is None else _picture(options)
    if options.command == "fetch":
        return _fetch(options)
    try:
        root = publishing.repository()
        if options.command == "laboratory":
            return _laboratory(root, options.profile)
        if options.command == "touch":
            return _touch(root, options.profile)
        if options.command == "status":
            return _status(root)
        if options.command == "sync":
            return _sync(root)
        if options.command == "welcome":
            return _welcome(root, options.figure)
        return _execute(root, options)
    except (ValueError, OSError, RuntimeError) as error:
        from intriguing.book.results import ResultError  # slow to import, and hardly ever wanted

        if not isinstance(error, (ValueError, OSError, ResultError)):
            raise
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    except KeyboardInterrupt as interruption:
        console.print("[yellow]Stopped.[/yellow] What was finished before is kept.")
        return 128 + int(interruption.args[0] if interruption.args else signal.SIGINT)


def _computes(options: argparse.Namespace) -> bool:
    """Whether a command asks for a device; a photograph is changed on the CPU."""
    if options.command == "attack":
        return options.image is None
    if options.command == "welcome":
        return options.figure
    return options.command not in ("fetch", "sync", "status")


def _recipes(arguments: list[str]) -> tuple[str, ...]:
    """Returns the names of the networks, for the one command that asks: they are slow to load."""
    if arguments[:1] != ["attack"] or any(word.split("=")[0] == "--image" for word in arguments):
        return ()
    from intriguing.models import recipes

    return tuple(recipes.RECIPES)


def _attack(options: argparse.Namespace) -> int:
    from intriguing import data
    from intriguing.book import runs

    started = time.monotonic()
    if options.profile is not None:
        os.environ["INTRIGUING_PROFILE"] = options.profile
    choices = {"refine": bool(options.refine), "norm": options.norm or "squared", "chunk": options.chunk}
    try:
        settings.seed_everything()
        team = runs.Team()
        run = runs.digits(options.model, options.images, part=options.part or "train", team=team, **choices)
        team.agree(run)
        made = run.finish(
            worker=(team.rank, team.size), progress=f"attacking {options.model}" if team.rank == 0 else None
        )
        chunks = f"{len(made)} of {len(run.ranges)} chunks"
        console.print(f"Process {team.rank + 1} of {team.size} solved {chunks} in {time.monotonic() - started:.1f} s.")
        if team.rank == 0:
            console.print(f"{options.model}: {run.summary()}\nThe chunks are kept in {escape(str(run.folder))}")
            console.print(settings.run_line(started))
    except (ValueError, OSError, MemoryError, data.DataError) as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    return 0


def _picture(options: argparse.Namespace) -> int:
    from intriguing import data
    from intriguing.chapters.photographs import own

    try:
        if options.target is None:
            raise ValueError("got no --target; expected the class that the photograph shall be taken for; name one.")
        sure = own.SURE if options.confidence is None else options.confidence
        network = options.network or "efficientnet-lite0"
        name = own.names()[own.class_of(options.target)].replace(" ", "-").replace("/", "-")
        output = options.output or Path(f"{options.image.stem}-{name}.png")
        own.outputs(output, options.image)  # what cannot be written is said before anything is computed
        found = own.fool(options.image, options.target, network_name=network, sure=sure)
        written = own.save(found, output, network_name=network)
    except (ValueError, OSError, MemoryError, data.DataError) as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    console.print(escape(str(found)))
    console.print(
        f"Written and read back: {escape(str(written[0]))}; "
        f"the difference, times {own.MAGNIFIED}: {escape(str(written[1]))}."
    )
    return 0


def _laboratory(root: Path, profile: str | None) -> int:
    from intriguing import data
    from intriguing.chapters import laboratory

    if profile is not None:
        os.environ["INTRIGUING_PROFILE"] = profile
    path = root / laboratory.PLACE
    try:
        written = laboratory.write(path)
    except data.DataError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    console.print(laboratory.summary(written))
    console.print(f"Written: {escape(str(path.relative_to(root)))}, {path.stat().st_size / 1000:.0f} kB.")
    return 0


def _touch(root: Path, profile: str | None) -> int:
    from intriguing import data
    from intriguing.press.touch import study

    if profile is not None:
        os.environ["INTRIGUING_PROFILE"] = profile
    try:
        path = study.write(root)
    except data.DataError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    console.print(f"Written: {escape(str(path.relative_to(root)))}, {path.stat().st_size / 1000:.0f} kB.")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from intriguing import data
    from intriguing.data import manifest
    from intriguing.press import fetch

    failed = 0
    try:
        folder = options.folder or manifest.looked_in("usps")[0]
        names = options.names or list(fetch.RECIPES)
        for name in names:
            if name not in fetch.RECIPES:
                raise ValueError(
                    f"got {name!r}; expected names among {', '.join(fetch.RECIPES)}; leave it out for all."
                )
        for name in names:
            try:
                made = fetch.fetch(name, folder)
                console.print(f"{fetch.RECIPES[name].title}: {escape(', '.join(map(str, made)))}")
            except data.DataError as problem:
                failed += 1
                console.print(f"[red]{fetch.RECIPES[name].title}: {escape(str(problem))}[/red]")
    except ValueError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    console.print(escape(fetch.own_imagenet()))
    return 1 if failed else 0


def _status(root: Path) -> int:
    gc.disable()  # the syntax trees of the package stay; to look through them for rubbish takes a third of the time
    try:
        entries = publishing.status(root)
    finally:
        gc.freeze()  # neither does it help to do so at the end
        gc.enable()
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


def _welcome(root: Path, figure: bool) -> int:
    from intriguing.press import welcome

    if figure:
        from intriguing.press import twins

        os.environ["INTRIGUING_PROFILE"] = welcome.PROFILE
        console.print(f"Drawn: {twins.write(root).relative_to(root)}.")
    written = welcome.refresh(root)
    console.print(f"Brought up to the stored results: {', '.join(written) or 'nothing, all said the same'}.")
    return 0


def _execute(root: Path, options: argparse.Namespace) -> int:
    from intriguing.book.results import ResultError
    from intriguing.press import running

    profile = "paper" if options.command == "paper" else options.profile
    jobs = running.usable_cores() if options.jobs is None else options.jobs
    if jobs < 1:
        raise ValueError(f"got {jobs} jobs; expected at least 1; leave --jobs out to use every core.")
    folder = root / "_build" / f"{options.command}-{profile}"
    paths = publishing.chapters(root, options.chapters)
    if min(jobs, len(paths)) > 1:
        console.print(f"Up to {min(jobs, len(paths))} chapters at a time, each with one thread of arithmetic.")
    keeper = running.Keeper(root, folder / "executed", profile, record=options.command != "run")
    started = time.monotonic()
    with _Display(profile, root / "notebooks" if options.command == "paper" else None) as display:
        outcome = running.run(paths, keeper, display, jobs=jobs, again=options.again)
    if options.command != "run" and outcome.executed:
        try:
            running.store_seconds(profile, outcome.executed)
        except ResultError as error:  # what has been executed counts all the same
            console.print(f"[red]{escape(str(error))}[/red]")
    _account(outcome, paths, keeper.folder.relative_to(root), time.monotonic() - started)
    if outcome.stopped:
        return 1 if outcome.signal is None else 128 + outcome.signal
    if options.command == "paper":
        for name, notebook in outcome.reused.items():
            publishing.write(notebook, root / "notebooks" / f"{name}.ipynb")
        if publishing.LAST in outcome.notebooks:
            _welcome(root, figure=False)
    built = options.command != "run" or _build(root, keeper, outcome)
    return 1 if outcome.failed or not built else 0


def _build(root: Path, keeper: running.Keeper, outcome: running.Outcome) -> bool:
    """Builds the book from what was executed, with the stored pages of the other chapters, and shows the score."""
    from intriguing.press import building

    folder = keeper.folder.parent
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        with console.status("Building the executed book"):
            problem = building.build(
                root, folder, outcome.notebooks, {name: keeper.path(name) for name in outcome.notebooks}
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    if problem:
        console.print(escape(problem))
        console.print("[red]The chapters ran, but the book could not be built: see the lines above.[/red]")
        return False
    _score(root, outcome.notebooks, keeper.profile)
    how = "The executed book" if problem is not None else "The executed book, built before from the same"
    console.print(f"{how}: {(folder / '_build' / 'html' / 'index.html').as_uri()}")
    return True


def _terminated(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)


class _Display:
    """A moving line for each chapter that is being executed, or plain lines where nobody watches.

    Args:
        profile: ``quick`` or ``paper``.
        publish: The folder into which each chapter is written as soon as it is done; None for nowhere.
    """

    def __init__(self, profile: str, publish: Path | None) -> None:
        self.profile, self.publish, self.watched = profile, publish, console.is_terminal
        self._tasks: dict[str, int] = {}
        self._last: dict[str, tuple[int, int, NotebookNode, float]] = {}
        columns = (
            TextColumn("{task.fields[chapter]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}"),
        )
        self._progress = Progress(*columns, console=console, disable=not self.watched)

    def __enter__(self) -> _Display:
        self._progress.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.__exit__(*error)

    def started(self, name: str, because: str) -> None:
        if self.watched:
            self._tasks[name] = self._progress.add_task("starting", total=None, chapter=name)
        else:
            console.print(f"{name}: running in profile {self.profile}{f' ({because})' if because else ''}")

    def cell(self, name: str, number: int, total: int, cell: NotebookNode) -> None:
        self._slow_cell(name)
        self._last[name] = (number, total, cell, time.monotonic())
        if self.watched:
            line = escape(_first_line(cell.source)[:40])
            self._progress.update(self._tasks[name], total=total, completed=number - 1, description=line)

    def done(self, name: str, notebook: NotebookNode) -> None:
        self._slow_cell(name)
        if self.publish is not None:
            publishing.write(notebook, self.publish / f"{name}.ipynb")
        self._ended(name, settings.duration(notebook.metadata[publishing.STAMP].wall_seconds))

    def failed(self, name: str, problem: str) -> None:
        console.print(f"[red]{escape(problem)}[/red]")
        self._ended(name, "failed")

    def _ended(self, name: str, how: str) -> None:
        if self.watched:
            self._progress.remove_task(self._tasks.pop(name))
        console.print(f"{name}: {how}")

    def _slow_cell(self, name: str) -> None:
        if name in self._last and not self.watched:
            number, total, cell, then = self._last[name]
            taken = time.monotonic() - then
            if taken >= SLOW:
                line = escape(_first_line(cell.source))
                console.print(f"  {name}, cell {number} of {total}: {taken:.0f} s, {line}")


def _first_line(source: str) -> str:
    """Returns the first line of a cell that is neither empty, nor a comment, nor an import."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    telling = (line for line in lines if not line.startswith(("#", "import ", "from ", "%")))
    return next(telling, lines[0] if lines else "")


def _account(outcome: running.Outcome, paths: list[Path], folder: Path, total: float) -> None:
    """Says in a sentence or two what was done, what is kept, and how to go on."""
    executed, reused = len(outcome.executed), len(outcome.reused)
    if outcome.stopped:
        cause = outcome.problem or f"Stopped by {signal.Signals(outcome.signal).name}."
        kept = ", ".join(path.stem for path in paths if path.stem in outcome.notebooks) or "none"
        console.print(
            f"[yellow]{escape(cause)}[/yellow] {executed + reused} of {len(paths)} chapters are done and kept in "
            f"{folder} ({kept}); the same command goes on from there."
        )
    elif executed or outcome.failed:
        console.print(
            f"Chapters executed: {executed}, in {settings.duration(total)}"
            + (f"; kept from before: {reused}." if reused else ".")
        )
    else:
        console.print(
            f"Nothing to execute: {reused} of {reused} chapters are kept in {folder} and rest on the "
            "same text, code, data and packages as now."
        )
    if outcome.failed:
        console.print(
            f"[red]Failed: {', '.join(outcome.failed)}.[/red] Stored pages and notebooks of these chapters are as they "
            "were before."
        )


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
