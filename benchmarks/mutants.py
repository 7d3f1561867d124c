"""Breaks the code in small ways, one at a time, and sees whether the unit tests notice.

``python benchmarks/mutants.py`` takes a fixed sample of small faults: a comparison that is turned, a plus for a minus,
a constant one larger, a condition negated, a least for a largest. Each is made in a copy of the package, and one of the
unit tests of that file has to fail: those that reach the broken lines are asked, the quickest first. They run in a fork
of this process, which has loaded PyTorch and the like, but nothing of the package, once and for all. What survives is
listed; a fault that changes nothing that anybody could see is explained in ``EXPLAINED``. The outcomes go to
results/benchmarks/mutants.json; an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("src") / "intriguing"
RESULT = ROOT / "results" / "benchmarks" / "mutants.json"
KEPT = ROOT / "_build" / "mutants"
SEED, COUNT, FEWEST = 0, 180, 3
PATIENCE, LEAST = 5.0, 60.0  # a fault may take so many times as long as the tests do without it; seconds at least
MOST = 1500.0  # seconds for the tests of one file without a fault
LOADED = ("pytest", "hypothesis", "coverage", "numpy", "scipy.optimize", "scipy.stats", "pandas", "sklearn.svm",
          "torch", "safetensors.torch", "torchvision", "matplotlib.pyplot", "IPython.display")  # fmt: skip
"""What the tests need and takes long to import."""

PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")
ROOMS = ("attack", "lipschitz", "data", "book")
CHAPTERS = ("chapters/transfer.py", "chapters/framework.py")

TESTS: Mapping[str, tuple[str, ...]] = {
    "attack/penalty.py": ("distortion", "minimum", "protocol_study"),
    "attack/perturbations.py": ("amplification", "distortion", "transfer", "density_noise", "bad_inputs"),
    "attack/checks.py": ("distortion", "boundary", "certificates", "bad_inputs"),
    "attack/models.py": ("models", "distortion", "refinement"),
    "attack/readiness.py": ("models", "runs"),
    "attack/files.py": ("cache", "runs"),
    "attack/description.py": ("runs", "cache"),
    "lipschitz/network.py": ("network", "modules"),
    "data/digits.py": ("data", "bad_inputs"),
    "data/manifest.py": ("data",),
    "data/rows.py": ("data", "photographs"),
    "book/coherence.py": ("coherence", "units_study"),
    "book/plots.py": ("plots", "narrow"),
    "book/runs.py": ("disjoint_sets_study", "runs"),
    "book/scores.py": ("results", "scorecard"),
    "book/sources.py": ("fingerprint",),
    "book/unfinished.py": ("back_feeding_long",),
    "book/verdicts.py": ("results",),
    "chapters/transfer.py": ("transfer_chapter", "transfer"),
}
"""The unit tests of a file, by their names without ``test_``, where they are not simply named as the file."""

EXPLAINED: Mapping[str, str] = {
    "attack/boundary.py, _exits: 0.0 -> 1.0": "stands in for rows without a way out, whose result is NaN either way",
    "attack/lbfgsb.py, _advance: 64 -> 65": "how far a step is stretched that rounding swallowed",
    "attack/lbfgsb.py, _take_bounds_exactly: gradient < 0 -> gradient <= 0": "one more try where nothing can move",
    "attack/models.py, Classifier._try: mine.shape[1] < 2 -> mine.shape[1] <= 2": "a second look that two classes pass",
    "attack/penalty.py, Search.run: twice & ~works -> twice | ~works": "a secant rule that ends at the same c",
    "attack/penalty.py, grid_distortion: norm == 'squared' -> norm != 'squared'": "a guess of the first step's length",
    "attack/penalty.py, grid_distortion (3): 1 -> 2": "a guess of the first step's length",
    "attack/polyhedron.py, module: 200 -> 201": "a limit of steps that no search comes near",
    "attack/polyhedron.py, module: 3.0 -> 4.0": "how soon the damping is eased, on the way to the same point",
    "attack/polyhedron.py, module: 0.75 -> 1.75": "when rows that are done are dropped, which the others do not notice",
    "attack/polyhedron.py, project_polyhedron (2): 1.0 -> 2.0": "divides a row of zeros",
    "attack/refinement.py, _linearise: j + 1 -> j - 1": "a graph that is kept for one pass longer",
    "attack/runs.py, _answers: 2 -> 3": "the size of the parts where memory runs out",
    "book/cache.py, _alone: 420 -> 421": "who may run a file that holds nothing but locks",
    "book/coherence.py, _batch: 1 -> 2": "how many resamples are drawn at a time where all are too many for one",
    "book/markdown.py, table (2): True -> False": "the names of rows and the rows, as many of each",
    "book/plots.py, among (3): 1 -> 2": "the width of a line, a matter of taste",
    "book/plots.py, among (3): 4 -> 5": "how many numbers an axis bears at most, a matter of taste",
    "book/plots.py, histograms (6): 1 -> 2": "how far below the top a number stands, a matter of taste",
    "book/plots.py, histograms: 3 -> 4": "how far beside its line a number stands, a matter of taste",
    "book/plots.py, histograms: 7.5 -> 8.5": "the size of small letters, a matter of taste",
    "book/plots.py, ink_over: 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 -> "
    "1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05": "a shade on which both inks are read equally well",
    "book/plots.py, lines: 3.1 -> 4.1": "the height of a figure, a matter of taste",
    "book/plots.py, module (3): 0 -> 1": "where in its pattern a dashed curve begins",
    "book/plots.py, mosaic: 7.5 -> 8.5": "the size of small letters, a matter of taste",
    "book/results.py, Table.from_frame: True -> False": "the names of rows and the rows, as many of each",
    "book/sliders.py, module: 120 -> 121": "how sharp a picture behind a slider is: taste",
    "book/unfinished.py, Saved.offer: time.monotonic() - self.last > EVERY -> time.monotonic() - self.last >= EVERY": (
        "a clock that stands at two minutes to the last digit"
    ),
    "chapters/transfer.py, claims (4): 1 -> 2": "a set's own network, whose error is above that of any noise",
    "chapters/transfer.py, claims: distortion.drop('FC10(1)') < 0.1 -> distortion.drop('FC10(1)') <= 0.1": (
        "a mean distortion that is 0.1 to its last digit"
    ),
    "data/digits.py, _full: False -> True": "a download of what was found on this computer before",
    "lipschitz/certificates.py, _march: spent >= margins -> spent > margins": "two sums that would be equal",
    "lipschitz/certificates.py, local_certificate: True -> False": "fields of one length, which zip need not compare",
    "lipschitz/norms.py, _largest: 1e-09 -> 1.000000001": "what Lanczos misses is told by Cholesky and sought anew",
    "lipschitz/norms.py, _lanczos: 0 -> 1": "another vector that ARPACK starts from, which ends at the same value",
    "lipschitz/norms.py, _lanczos: 24 -> 25": "vectors kept by ARPACK, which ends at the same value",
    "lipschitz/norms.py, frequency_grid: True -> False": "pairs of two, which zip need not compare",
}
"""Name of a fault that survives -> why nobody could notice it."""

_COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}  # fmt: skip
_NAMED = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmin": "argmax", "argmax": "argmin",
          "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One small fault.

    Attributes:
        file: relative to the package.
        where: the function or class, and which of several like it.
        line: in the file.
        before: the expression as it is.
        after: the expression with the fault.
        source: the whole file with the fault.
        lines: first and last one of the statement that holds the expression.
    """

    file: str
    where: str
    line: int
    before: str
    after: str
    source: str
    lines: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """What the fault is called; it stays when other lines move."""
        return f"{self.file}, {self.where}: {self.before} -> {self.after}"


def changes(node: ast.expr) -> Iterator[ast.expr]:
    """Returns what an expression may be replaced by."""
    changed = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARED:
        changed.ops = [_COMPARED[type(node.ops[0])]()]
        yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED and not _is_text(node):
        changed.op = _COMPUTED[type(node.op)]()
        yield changed
    elif isinstance(node, ast.BoolOp):
        changed.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield changed.operand
    elif isinstance(node, ast.IfExp):
        changed.body, changed.orelse = changed.orelse, changed.body
        yield changed
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Call):
        function = changed.func
        if isinstance(function, ast.Attribute) and function.attr in _NAMED:
            function.attr = _NAMED[function.attr]
            yield changed
        elif isinstance(function, ast.Name) and function.id in _NAMED:
            function.id = _NAMED[function.id]
            yield changed


def _is_text(node: ast.AST) -> bool:
    inner = (part for part in ast.walk(node) if isinstance(part, ast.Constant | ast.JoinedStr))
    return any(isinstance(part, ast.JoinedStr) or isinstance(part.value, str) for part in inner)


class _Places(ast.NodeVisitor):
    """The expressions of a module that mean something to the computer, each with the name of its function or class.

    Docstrings, annotations, messages of errors and what stands at the top for type checkers only are left out.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, ast.expr, tuple[int, int]]] = []
        self._inside: list[str] = []
        self._lines = (0, 0)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr):
            return
        if isinstance(node, ast.stmt):
            compound = isinstance(getattr(node, "body", None), list)
            self._lines = (node.lineno, node.lineno if compound else node.end_lineno)
        if isinstance(node, ast.expr):
            self.found.append((".".join(self._inside) or "module", node, self._lines))
        named = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        self._inside += [node.name] if named else []
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)
        if named:
            self._inside.pop()


def mutants(file: str, source: str) -> list[Mutant]:
    """Returns every small fault of a file.

    Args:
        file: its name relative to the package.
        source: its text.
    """
    tree = ast.parse(source)
    places = _Places()
    places.visit(tree)
    tops = [(node.lineno - len(getattr(node, "decorator_list", ())), node.end_lineno) for node in tree.body]
    starts = [0]
    encoded = source.encode()
    for line in encoded.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    made: list[Mutant] = []
    seen: dict[str, int] = defaultdict(int)
    for where, node, lines in places.found:
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        for changed in changes(node):
            before, after = ast.unparse(node), ast.unparse(changed)
            whole = (encoded[:begin] + f"({after})".encode() + encoded[end:]).decode()
            top = next((top for top in tops if top[0] <= node.lineno <= top[1]), (1, len(starts) - 1))
            until = starts[min(top[1], len(starts) - 1)]
            try:
                ast.parse(encoded[starts[top[0] - 1] : begin] + f"({after})".encode() + encoded[end:until])
            except SyntaxError:  # a pattern or a default that takes no bracket
                continue
            seen[where, before, after] += 1
            again = seen[where, before, after]
            name = where if again == 1 else f"{where} ({again})"
            made.append(
                Mutant(
                    file,
                    name,
                    node.lineno,
                    before,
                    after,
                    whole,
                    (min(lines[0], node.lineno), max(lines[1], node.end_lineno)),
                )
            )
    return made


def sample(every: Mapping[str, list[Mutant]], count: int) -> list[Mutant]:
    """Returns a fixed sample that takes from each file as much as it has of the whole, and ``FEWEST`` at least.

    Args:
        every: file -> its faults.
        count: how many in all, about.
    """
    total = sum(map(len, every.values()))
    chosen = []
    for file, some in every.items():
        share = min(len(some), max(FEWEST, round(count * len(some) / total)))
        chosen += random.Random(f"{SEED} {file}").sample(some, share) if some else []
    return chosen


def tests_of(file: str) -> list[Path]:
    """Returns the files with the unit tests of a file."""
    paths = (ROOT / "tests" / f"test_{name}.py" for name in TESTS.get(file, (Path(file).stem,)))
    return [path for path in paths if path.is_file()]


def targets() -> list[str]:
    """Returns the files that are broken: all of four rooms, and two chapters.

    Raises:
        ValueError: A file has no unit tests that are known here.
    """
    folder = ROOT / PACKAGE
    found = [path.relative_to(folder).as_posix() for room in ROOMS for path in sorted((folder / room).glob("*.py"))]
    found = [file for file in (*found, *CHAPTERS) if not file.endswith("__init__.py")]
    without = [file for file in found if not tests_of(file)]
    if without:
        raise ValueError(f"got no unit tests for {', '.join(without)}; expected some; name them in TESTS.")
    return found


@dataclass(frozen=True)
class Reach:
    """What the tests of a file do without a fault.

    Attributes:
        outcome: as of ``try_out``.
        seconds: of all of them.
        lines: line of the file -> the tests that run it; ``""`` stands for an import.
        each: test -> its seconds.
    """

    outcome: str
    seconds: float
    lines: Mapping[int, list[str]]
    each: Mapping[str, float]

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run the broken lines, the quickest first; none where they run while the file is imported."""
        found: set[str] = set()
        for line in range(mutant.lines[0], mutant.lines[1] + 1):
            found.update(self.lines.get(line, ()))
        return [] if "" in found else sorted(found, key=lambda test: self.each.get(test, 0.0))


def reach(file: str, kept: Path) -> Reach:
    """Puts together what the files of tests of a file do without any fault.

    Args:
        file: relative to the package.
        kept: a folder for what several runs share.
    """
    lines: dict[int, list[str]] = defaultdict(list)
    each: dict[str, float] = {}
    seconds, outcome = 0.0, "survived"
    for path in tests_of(file):
        found = measure(path, kept)
        outcome = outcome if found["outcome"] == "survived" else found["outcome"]
        seconds += found["seconds"]
        each |= found["each"]
        for line, tests in found["lines"].get(file, {}).items():
            lines[int(line)] += tests
    return Reach(outcome, seconds, lines, each)


class _Kept:
    """A plugin of pytest: gives every run the networks that a first one trained, and notes how long tests take.

    The networks are kept by the code that trains them: a fault in there trains its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.seconds = folder, defaultdict(float)

    def pytest_sessionstart(self, session: Any) -> None:
        if self.folder.exists():
            shutil.copytree(self.folder, session.config._tmp_path_factory.getbasetemp() / "brief")  # noqa: SLF001

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self, session: Any) -> None:
        made = session.config._tmp_path_factory.getbasetemp() / "brief"  # noqa: SLF001
        if made.exists() and not self.folder.exists():
            shutil.copytree(made, self.folder)


@contextlib.contextmanager
def _checkout(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the package, with a fault, in what the package takes for a checkout: the rest is behind links."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
        for path in ROOT.iterdir():
            if path.name not in ("src", ".git", "_build"):
                (folder / path.name).symlink_to(path)
        if mutant is not None:
            (folder / "src" / "intriguing" / mutant.file).write_text(mutant.source)
        yield folder


def _forked(work: Callable[[], int], folder: Path, limit: float) -> int | None:
    """Runs a function in a fork of this process that has a copy of the package; None where it took too long."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.chdir(ROOT)
            source = str(folder / "src")
            os.environ |= {
                "PYTHONPATH": source,
                "INTRIGUING_CACHE": str(folder / "cache"),
                "INTRIGUING_PROFILE": "quick",
                "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            }
            sys.path[:] = [source, *(path for path in sys.path if Path(path) != ROOT / "src")]
            code = int(work())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _outcome(code: int | None) -> str:
    if code is None:
        return "stopped"
    # 1: a test failed; 2: none could be collected, which a fault at the top of a file causes; below 0: a signal.
    return {0: "survived", 1: "caught", 2: "caught"}.get(code, "not run" if code > 0 else "caught")


def measure(path: Path, kept: Path) -> dict[str, Any]:
    """Runs a file of tests without any fault and notes which of them reach which line, unless that is known.

    Args:
        path: the file of tests.
        kept: a folder for what several runs share.

    Returns:
        ``outcome``, ``seconds``, ``lines`` (file of the package -> line -> tests) and ``each`` (test -> seconds).
    """
    total = hashlib.sha256(path.read_bytes())
    for source in sorted((ROOT / "src").rglob("*.py")):
        total.update(source.read_bytes())
    told = kept / f"{path.stem}-{total.hexdigest()[:16]}.json"
    if told.exists():
        return json.loads(told.read_text())
    started = time.monotonic()
    with _checkout(None) as folder:
        package = folder / "src" / "intriguing"

        def work() -> int:
            import coverage
            import pytest

            plugin = _Kept(kept / "brief")
            watch = coverage.Coverage(data_file=None, source=[str(package)], config_file=False)
            watch.start()
            code = pytest.main([*PYTEST, str(path)], plugins=[plugin, _Contexts(watch)])
            watch.stop()
            data = watch.get_data()
            lines = {
                Path(name).relative_to(package).as_posix(): data.contexts_by_lineno(name)
                for name in data.measured_files()
            }
            (folder / "told").write_text(json.dumps({"lines": lines, "each": plugin.seconds}))
            return code

        outcome = _outcome(_forked(work, folder, MOST))
        content = {"outcome": outcome, "seconds": time.monotonic() - started, "lines": {}, "each": {}}
        if (folder / "told").exists():
            content |= json.loads((folder / "told").read_text())
        if outcome == "survived":
            write_text(told, json.dumps(content))
        else:
            print((folder / "log").read_text()[-2000:], file=sys.stderr)
    return content


class _Contexts:
    """A plugin of pytest: tells coverage which test is running."""

    def __init__(self, watch: Any) -> None:
        self.watch = watch

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.watch.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self.watch.switch_context("")


def try_out(mutant: Mutant, tests: Iterable[str], limit: float, kept: Path) -> tuple[str, float]:
    """Runs tests with a copy of the package that has a fault.

    Args:
        mutant: the fault.
        tests: what is run: names of tests, or files.
        limit: seconds after which it is stopped.
        kept: the folder that ``measure`` filled.

    Returns:
        ``"caught"`` when a test failed, ``"stopped"`` when it took too long, which counts as caught, ``"survived"``
        when all passed, ``"not run"`` when pytest could not begin; and the seconds it took.
    """
    started = time.monotonic()

    def work() -> int:
        import pytest

        return pytest.main([*PYTEST, *tests], plugins=[_Kept(kept / "brief")])

    with _checkout(mutant) as folder:
        return _outcome(_forked(work, folder, limit)), time.monotonic() - started


def key(mutant: Mutant) -> str:
    """Returns a sum of the fault and of the tests, by which a kept outcome is known to be true still."""
    total = hashlib.sha256(mutant.source.encode())
    for path in tests_of(mutant.file):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns how many faults of each room were caught."""
    rooms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        rooms[row["file"].split("/")[0]].append(row)
    return [
        {
            "room": room,
            "faults": len(some),
            "caught": sum(row["outcome"] in ("caught", "stopped") for row in some),
            "explained": sum(row["outcome"] == "survived" and row["name"] in EXPLAINED for row in some),
            "survived": sum(row["outcome"] == "survived" and row["name"] not in EXPLAINED for row in some),
        }
        for room, some in rooms.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Tries the sample and writes the file.

    Returns:
        0 when at least 95 of 100 faults were caught or explained, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="beginnings of names such as attack or data/digits.py (default: all)")
    parser.add_argument("--count", type=int, default=COUNT, help="faults in all, about")
    parser.add_argument("--again", action="store_true", help="try also what was kept")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    every = {file: mutants(file, (ROOT / PACKAGE / file).read_text()) for file in targets()}
    chosen = sample(every, options.count)
    kept: dict[str, dict] = {}
    if options.output.exists() and not options.again:
        kept = {row["key"]: row for row in json.loads(options.output.read_text())["rows"]}
    rows = [kept[key(mutant)] for mutant in chosen if key(mutant) in kept]
    asked = tuple(options.files) or ("",)
    todo = [mutant for mutant in chosen if key(mutant) not in kept and mutant.file.startswith(asked)]
    print(f"{len(chosen)} of {sum(map(len, every.values()))} faults; {len(rows)} were tried before.", flush=True)

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in LOADED if todo else ():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    KEPT.mkdir(parents=True, exist_ok=True)
    for file in dict.fromkeys(mutant.file for mutant in todo):
        without = reach(file, KEPT)
        if without.outcome != "survived":
            print(f"The tests of {file} fail without any fault; mend them first.", file=sys.stderr)
            return 1
        limit, whole = max(LEAST, PATIENCE * without.seconds), [str(path) for path in tests_of(file)]
        for mutant in (mutant for mutant in todo if mutant.file == file):
            outcome, seconds = try_out(mutant, without.tests(mutant) or whole, limit, KEPT)
            if outcome == "not run":
                outcome, seconds = try_out(mutant, whole, limit, KEPT)
            about = {"name": mutant.name, "file": mutant.file, "line": mutant.line, "before": mutant.before}
            about |= {"after": mutant.after, "outcome": outcome, "seconds": round(seconds, 1), "key": key(mutant)}
            rows.append(about)
            print(f"{outcome:9} {seconds:5.1f} s  {mutant.name}", flush=True)
            write(options.output, rows)
    write(options.output, rows)
    for line in summary(rows):
        print("{room}: {caught} of {faults} caught, {explained} explained, {survived} survived".format(**line))
    for row in rows:
        if row["outcome"] == "survived":
            print(f"  {row['name']}  {EXPLAINED.get(row['name'], '')}".rstrip())
    good = sum(line["caught"] + line["explained"] for line in summary(rows))
    return 0 if good >= 0.95 * len(rows) else 1


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes the outcomes in the order of their names."""
    content = {"name": "mutants", "meta": {"seed": SEED}, "summary": summary(rows)}
    content["rows"] = sorted(rows, key=lambda row: (row["file"], row["line"], row["name"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
