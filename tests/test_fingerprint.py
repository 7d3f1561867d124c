"""Fingerprints of code: blind to where and how it is written, awake to what it does."""

import functools
import json
import re
import runpy
import shutil
import sys
import textwrap
from pathlib import Path

import jupytext
import pytest

import intriguing
from intriguing.attack import distortion
from intriguing.book import fingerprint, settings, sources
from intriguing.models import recipes, training

ROOT = Path(__file__).resolve().parent.parent

TREE = {
    "__init__.py": '''
        """The front door."""
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from .attack.search import find
        __version__ = "1"

        def __getattr__(name):
            import importlib
            return getattr(importlib.import_module(".attack.search", __name__), name)
    ''',
    "attack/__init__.py": "from .search import find as find",
    "attack/search.py": '''
        """Searching."""
        from __future__ import annotations
        from collections.abc import Callable
        import numpy as np
        from ..settings import MARGIN
        from .. import tools as t

        STEPS, UNUSED = 10, 20
        ALIAS = t.halve

        def find(x: float, steps: int = STEPS) -> float:
            """Finds."""
            # near
            return _one(x, steps) - MARGIN

        def _one(x, steps):
            return np.linalg.norm(t.halve(x)) * steps

        def unreached(x):
            return x + 1

        def through(x):
            return ALIAS(x)
    ''',
    "settings.py": "MARGIN = 0.5\nOTHER = 1",
    "tools/__init__.py": "from .numbers import halve, double",
    "tools/numbers.py": """
        def halve(x):
            return x / 2

        def double(x, times=[1]):
            return x * 2

        class Counter:
            size: int = 3

            def count(self):
                return self.start() + 1

            def start(self):
                return 0
    """,
    "book/plots.py": """
        import functools
        from pathlib import Path

        def styled(draw):
            @functools.wraps(draw)
            def inside(*arguments):
                return open(Path(__file__).parent / "book.style").read(), draw(*arguments)
            return inside

        @styled
        def line(x):
            return "line", x

        @styled
        def dot(x):
            return "dot", x
    """,
    "book/book.style": "blue",
    "chapters/units/study.py": """
        from ... import attack
        from ...attack.search import find as search
        from ...tools.numbers import Counter, double, halve

        TABLE = {"halve": halve, "double": double}
        COUNT = 4

        def study(name):
            return TABLE[name](search(1.0))

        def counted():
            return Counter().count()

        def shadowing(x):
            COUNT = 1
            double = [halve for halve in x]
            return COUNT, double

        def by_name(name):
            return getattr(attack, name)

        def late():
            from ... import registry
            return registry.table()
    """,
    "registry.py": """
        KNOWN = {}

        def register(made):
            KNOWN[made.__name__] = made
            return made

        def table():
            return KNOWN

        def one():
            return 1

        @register
        def two():
            return 2

        def quiet():
            return 0

        KNOWN["one"] = one
    """,
}


class Tree:
    """A small package on disk whose files a test edits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in TREE.items():
            self.write(name, textwrap.dedent(text))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert text.count(old) >= 1, (name, old)
        self.write(name, text.replace(old, new))

    def move(self, name: str, new: str) -> None:
        self.write(new, (self.folder / name).read_text(encoding="utf-8"))
        (self.folder / name).unlink()


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """Puts a small package in the place of the real one."""
    monkeypatch.setattr(sources, "_FOLDER", tmp_path)
    return Tree(tmp_path)


FIND = "from intriguing.attack.search import find\nfind(1)"
STUDY = "from intriguing.chapters.units import study\nstudy.study('halve')"
PLOT = "from intriguing.book import plots as p\np.line(1)"


def reach(*cells: str) -> dict[str, str]:
    return fingerprint.definitions(cells)


def test_a_cell_reaches_what_it_calls_and_what_that_calls(tree):
    assert list(reach(FIND)) == ["MARGIN", "STEPS", "_one", "find", "halve"]
    assert list(reach(STUDY)) == ["MARGIN", "STEPS", "TABLE", "_one", "double", "find", "halve", "study"]
    assert list(reach(PLOT)) == ["book.style", "line", "styled"]
    assert all(re.fullmatch("[0-9a-f]{10}", value) for value in reach(STUDY).values())
    assert len(set(reach(STUDY).values())) == len(reach(STUDY))
    assert reach("import numpy\nnumpy.zeros(3)") == reach() == {}


@pytest.mark.parametrize(
    "cell",
    [
        "from intriguing.attack import find\nfind(1)",
        "from intriguing import find\nfind(1)",
        "from intriguing import attack as a\na.find(1)",
        "import intriguing\nintriguing.find(1)",
        "import intriguing.attack.search\nintriguing.attack.search.find(1)",
        "import intriguing.attack.search as s\ng = s.find\ng(1)",
        "def f():\n    from intriguing.attack.search import find as g\n    return g(1)",
        "%matplotlib inline\n!ls\n    # a comment\nfrom intriguing.attack.search import *\nfind(1)",
        "try:\n    from intriguing.attack import find\nexcept ImportError:\n    find = None\nfind(2)",
    ],
)
def test_every_way_of_importing_is_followed(tree, cell):
    assert reach(cell) == reach(FIND)


def test_names_of_earlier_cells_are_known(tree):
    assert reach("from intriguing import attack", "def f(x):\n    return attack.find(x)", "f(1)") == reach(FIND)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("attack/search.py", '"""Finds."""', '"""Finds it."""'),
        ("attack/search.py", "    # near\n", "\n\n"),
        ("attack/search.py", "x: float, steps: int", "x, steps: Callable"),
        ("attack/search.py", " -> float", ""),
        ("attack/search.py", "import numpy as np", "import numpy"),
        ("attack/search.py", "x + 1", "x + 2"),  # not reached
        ("attack/search.py", "UNUSED = 10, 20", "UNUSED = 10, 30"),
        ("attack/search.py", "STEPS, UNUSED = 10, 20", "STEPS: int = 10\nUNUSED = 20"),
        ("attack/search.py", "from ..settings import MARGIN", "from intriguing.settings import *"),
        ("settings.py", "OTHER = 1", "OTHER = 2"),
        ("__init__.py", '__version__ = "1"', '__version__ = "2"'),
        ("registry.py", "return 1", "return 3"),
    ],
)
def test_what_changes_no_result_makes_nothing_stale(tree, file, old, new):
    before = reach(STUDY)
    tree.edit(file, old, new)
    if new == "import numpy":
        tree.edit(file, "np.linalg", "numpy.linalg")
    assert reach(STUDY) == before


def test_local_imports_are_only_another_way_to_write_it(tree):
    before = reach(STUDY)
    tree.edit("attack/search.py", "import numpy as np\n", "")
    tree.edit("attack/search.py", "    return np.linalg.norm(", "    from numpy.linalg import norm\n    return norm(")
    assert reach(STUDY) == before


@pytest.mark.parametrize(
    ("cell", "file", "old", "new", "names"),
    [
        (STUDY, "settings.py", "MARGIN = 0.5", "MARGIN = 0.25", ["MARGIN"]),
        (STUDY, "attack/search.py", "STEPS, UNUSED = 10", "STEPS, UNUSED = 11", ["STEPS"]),
        (STUDY, "tools/numbers.py", "x / 2", "x / 3", ["halve"]),  # two calls away
        (STUDY, "tools/numbers.py", "x * 2", "x * 3", ["double"]),  # in a table of functions
        (STUDY, "tools/numbers.py", "times=[1]", "times=[2]", ["double"]),
        (STUDY, "attack/search.py", "steps: int = STEPS", "steps: int = 3", ["STEPS", "find"]),
        (STUDY, "attack/search.py", "import numpy as np", "import cupy as np", ["_one"]),
        (STUDY, "attack/search.py", "return _one(x, steps) - MARGIN", "return x", ["MARGIN", "STEPS", "_one", "find"]),
        (PLOT, "book/plots.py", '"line", x', '"line", x, x', ["line"]),
        (PLOT, "book/plots.py", "draw(*arguments)\n", "draw(*arguments), 1\n", ["styled"]),
        (PLOT, "book/book.style", "blue", "green", ["book.style"]),
    ],
)
def test_what_changes_a_result_is_named(tree, cell, file, old, new, names):
    before = reach(cell)
    tree.edit(file, old, new)
    if names == ["MARGIN", "STEPS", "_one", "find"]:
        names = ["MARGIN", "_one", "find"]  # the default argument remains
    assert fingerprint.changed(before, reach(cell)) == names


def test_an_alias_leads_to_what_it_names(tree):
    cell = "from intriguing.attack.search import through\nthrough(2)"
    before = reach(cell)
    assert list(before) == ["ALIAS", "halve", "through"]
    tree.edit("tools/numbers.py", "x / 2", "x / 3")
    assert fingerprint.changed(before, reach(cell)) == ["halve"]


def test_a_method_counts_with_its_class(tree):
    cell = "from intriguing.chapters.units.study import counted\ncounted()"
    before = reach(cell)
    assert list(before) == ["Counter", "counted"]
    tree.edit("tools/numbers.py", "return 0", "return 1")
    assert fingerprint.changed(before, reach(cell)) == ["Counter"]


def test_fields_of_a_class_keep_what_their_annotations_mean(tree):
    cell = "from intriguing.tools.numbers import Counter\nCounter"
    before = reach(cell)
    tree.edit("tools/numbers.py", "size: int = 3", "size: float = 3")
    assert reach(cell) == before
    tree.edit("tools/numbers.py", "size: float = 3", "size: ClassVar[float] = 3")
    assert reach(cell) != before
    tree.edit("tools/numbers.py", "size: ClassVar[float] = 3", "size = 3")
    assert reach(cell) != before


def test_local_names_hide_global_ones(tree):
    assert list(reach("from intriguing.chapters.units.study import shadowing\nshadowing([])")) == ["shadowing"]
    tree.write("hidden.py", "def f(x):\n    y = [MARGIN for MARGIN in x]\n    return MARGIN, y\n\nMARGIN = 3\n")
    assert list(reach("from intriguing.hidden import f\nf([])")) == ["MARGIN", "f"]
    tree.write("hidden.py", "def f():\n    global MARGIN\n    MARGIN += 1\n\nMARGIN = 3\n")
    assert list(reach("from intriguing.hidden import f\nf()")) == ["MARGIN", "f"]
    tree.write("hidden.py", "class A:\n    size = 2\n    def f(self):\n        return size\n\nsize = 3\n")
    assert list(reach("from intriguing.hidden import A\nA()")) == ["A", "size"]


def test_a_moved_function_makes_nothing_stale(tree):
    before = reach(FIND, STUDY)
    text = "def halve(x):\n    return x / 2\n"
    tree.edit("tools/numbers.py", text, "from .parts import halve\n")
    tree.write("tools/parts.py", text)
    assert reach(FIND, STUDY) == before
    tree.edit("tools/__init__.py", "import halve, double", "import double\nfrom intriguing.tools.parts import halve")
    tree.edit("chapters/units/study.py", "double, halve", "double\nfrom ...tools.parts import halve")
    assert reach(FIND, STUDY) == before


def test_a_renamed_module_makes_nothing_stale(tree):
    before, moved = reach(FIND, STUDY), STUDY.replace("chapters.units", "rooms")
    tree.move("settings.py", "book/deep/er/numbers.py")
    tree.edit("attack/search.py", "..settings", "..book.deep.er.numbers")
    tree.move("chapters/units/study.py", "rooms/study.py")
    tree.edit("rooms/study.py", "from ...", "from ..")
    tree.edit("rooms/study.py", "from .. import attack", "import intriguing.attack as attack")
    assert reach(FIND, moved) == before


def test_two_definitions_of_one_name_are_told_apart(tree):
    tree.write("one.py", "def f():\n    return _g()\n\ndef _g():\n    return 1\n")
    tree.write("two.py", "def f():\n    return _g()\n\ndef _g():\n    return 2\n")
    cell = "from intriguing import one, two\na = one.f(), two.f()"
    before = reach(cell)
    assert [len(value.split()) for value in before.values()] == [2, 2]
    tree.write("both.py", "from .one import f as one\nfrom .two import f as two\n\ndef h(x):\n    return one(two(x))\n")
    both = reach("from intriguing.both import h\nh(1)")
    tree.edit("both.py", "one(two(x))", "two(one(x))")
    assert fingerprint.changed(both, reach("from intriguing.both import h\nh(1)")) == ["h"]
    tree.edit("two.py", "return 2", "return 1")  # now they are the same, and so one
    assert [len(value.split()) for value in reach(cell).values()] == [1, 1]


def test_statements_of_a_module_run_when_anything_imports_it(tree):
    cell = "from intriguing.chapters.units.study import late\nlate()"
    before = reach(cell)
    assert list(before) == ["KNOWN", "late", "one", "register", "statements", "table", "two"]
    tree.edit("registry.py", "return 2", "return 3")
    assert fingerprint.changed(before, reach(cell)) == ["two"]
    tree.edit("registry.py", 'KNOWN["one"] = one', 'KNOWN["first"] = one')
    assert fingerprint.changed(before, reach(cell)) == ["statements", "two"]
    tree.write("plain.py", "from intriguing import registry\n\ndef f():\n    return 1\n")
    assert {"one", "two", "statements"} <= reach("from intriguing.plain import f\nf()").keys()
    tree.write("plain.py", "def f():\n    import intriguing.registry\n    return 1\n")
    assert {"one", "two", "statements"} <= reach("from intriguing.plain import f\nf()").keys()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("class A:\n    def __init_subclass__(cls):\n        ALL.append(cls)\n\nclass B(A):\n    x = 1\n", ["A", "B"]),
        ("def r(f):\n    ALL.append(f)\n    return f\n\ndef g(): pass\n\nh = r(g)\n", ["g", "h", "r"]),
        ("def r(f):\n    ALL.append(f)\n    return f\n\nclass B:\n    @r\n    def f(self): pass\n", ["B", "r"]),
        ("L = None\n\ndef r(f):\n    global L\n    L = f\n    return f\n\n@r\ndef g(): pass\n", ["g", "r"]),
        ("def r(f):\n    return [f]\n\nh = r(1)\nk = h.append(2)\n", ["h", "k", "r"]),
        ("try:\n    import fcntl as f\nexcept ImportError:\n    f = None\n", []),
        ("for i in range(3):\n    ALL.append(i)\n", ["i", "statements"]),
        ("ALL += [1]\n", ["statements"]),
        ("del ALL[0]\n", ["statements"]),
        ("if ALL:\n    import json as f\nelse:\n    f = None\n", ["statements"]),
        ("if __name__ == '__main__':\n    ALL.append(1)\n", []),
        ("from functools import wraps\n\ndef w(f):\n    @wraps(f)\n    def g(): f()\n    return g\n@w\ndef h(): 1", []),
    ],
)
def test_what_may_register_itself_counts_with_its_module(tree, source, names):
    tree.write("loaded.py", f"ALL = []\n\n{source}\n\ndef plain():\n    return ALL\n")
    assert list(reach("from intriguing.loaded import plain\nplain()")) == sorted({*names, "ALL", "plain"})


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("from intriguing.chapters.units.study import by_name\nby_name('x')", {"find", "_one", "by_name"}),
        ("import importlib\nm = importlib.import_module('intriguing.registry')", {"one", "quiet", "table"}),
        ("import importlib\nm = importlib.import_module('intriguing.' + 'registry')", {"quiet", "Counter", "line"}),
        ("text = 'intriguing.registry'", {"quiet", "table"}),
        ("eval('1')", {"quiet", "Counter", "line"}),
        ("from builtins import exec as run\nrun('1')", {"quiet", "Counter", "line"}),
        ("import sys\nsys.modules['intriguing']", {"quiet", "Counter", "line"}),
        ("from intriguing import nobody_knows\nnobody_knows()", {"__getattr__", "find"}),
        ("this is not Python (", {"quiet", "Counter", "line"}),
    ],
)
def test_what_cannot_be_followed_counts_as_reached(tree, cell, names):
    assert names <= reach(cell).keys()


def test_globals_reach_the_whole_module(tree):
    tree.write("names.py", "def f(name):\n    return globals()[name]\n\ndef g():\n    return 1\n")
    assert list(reach("from intriguing.names import f\nf('g')")) == ["f", "g"]
    tree.write("names.py", "def f(globals):\n    return globals()\n\ndef g():\n    return 1\n")
    assert list(reach("from intriguing.names import f\nf('g')")) == ["f"]


def test_constants_can_be_left_out(tree):
    without = fingerprint.definitions([FIND], without=["MARGIN"])
    assert without == {name: value for name, value in reach(FIND).items() if name != "MARGIN"}


def test_it_is_the_same_in_every_python_version(tree):
    # Taken with 3.11, 3.12 and 3.13: where this fails alone, the reading of the syntax tree has changed.
    text = """
    class A:
        async def f(self, x=0, *rest, key=None):
            return f"{x!r:>{key}}" "tail" f"{self=}"

    def half(x):
        with open("x") as file, file as again:
            return [x / 2, -1.5, None, "", b"a", ...], lambda *, k=1: {**x}, not again
    """
    tree.write("syntax.py", textwrap.dedent(text))
    assert reach("from intriguing.syntax import *\nA, half") == {"A": "3b6d4cb749", "half": "749eff36b2"}


def test_one_fingerprint_of_several_definitions():
    both = fingerprint.of(training.trained, distortion.minimum_distortion)
    assert re.fullmatch("[0-9a-f]{16}", both)
    assert fingerprint.of(distortion.minimum_distortion, training.trained) == both
    assert fingerprint.of(training.trained) != both
    assert fingerprint.of(recipes.build) != fingerprint.of(recipes.recipe)


def test_methods_partial_and_wrapped_functions_are_found():
    plain = fingerprint.of(recipes.Recipe)
    assert fingerprint.of(recipes.Recipe.__init__) == plain
    cached = functools.lru_cache(recipes.build)
    assert fingerprint.of(cached) == fingerprint.of(recipes.build)
    assert fingerprint.of(functools.partial(recipes.build, seed=1)) != fingerprint.of(recipes.build)
    assert fingerprint.of(functools.partial(recipes.build, seed=1)) != fingerprint.of(
        functools.partial(recipes.build, seed=2)
    )


def _outside(x):
    return recipes.build(x), _OFFSET, _helper()


_OFFSET = 1


def _helper():
    return distortion.MARGIN


def test_a_function_from_outside_counts_with_its_source(monkeypatch):
    before = fingerprint.of(_outside)
    assert fingerprint.of(_outside) == before != fingerprint.of(recipes.build)
    monkeypatch.setattr(sys.modules[__name__], "_OFFSET", 2)
    assert fingerprint.of(_outside) != before
    monkeypatch.setattr(sys.modules[__name__], "_OFFSET", 1)
    monkeypatch.setattr(sys.modules[__name__], "_helper", _outside)
    assert fingerprint.of(_outside) != before


def test_what_other_packages_do_is_not_seen(monkeypatch, tmp_path):
    def told(result):
        file = tmp_path / f"returns_{result}.py"
        file.write_text(f"def helper():\n    return {result}\n")
        monkeypatch.setattr(sys.modules[__name__], "_helper", runpy.run_path(str(file))["helper"])
        return fingerprint.of(_outside)

    assert told(1) != told(2)
    monkeypatch.setattr(fingerprint.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    assert told(1) == told(2)
    monkeypatch.setattr(sys.modules[__name__], "_helper", dict)  # whose source nobody could read
    assert re.fullmatch("[0-9a-f]{16}", fingerprint.of(_outside))


@pytest.mark.parametrize("thing", [len, eval("lambda: 1"), 3, "intriguing.models.recipes", recipes.build("FC10(1)")])
def test_what_has_no_source_is_refused(thing):
    with pytest.raises(ValueError, match="expected a function or class"):
        fingerprint.of(thing)


def test_nothing_at_all_is_refused():
    with pytest.raises(ValueError, match="got nothing; expected functions or classes"):
        fingerprint.of()


def test_the_other_profile_does_not_count(monkeypatch, tmp_path):
    folder = tmp_path / "intriguing"
    shutil.copytree(Path(intriguing.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_FOLDER", folder)
    cell = "from intriguing.book import settings\nsettings.profile()"
    page = fingerprint.definitions([cell], settings.unused("paper"))
    assert "PAPER" in page and "QUICK" not in page
    before = fingerprint.of(settings.profile)
    path = folder / "book" / "settings.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("attack_images=1000,", "attack_images=1001,"), encoding="utf-8")
    assert fingerprint.definitions([cell], settings.unused("paper")) == page
    assert fingerprint.of(settings.profile) != before  # this process runs in the quick profile
    path.write_text(text.replace("attack_images=60000,", "attack_images=60001,"), encoding="utf-8")
    assert fingerprint.of(settings.profile) == before
    assert fingerprint.changed(page, fingerprint.definitions([cell], settings.unused("paper"))) == ["PAPER"]


OBVIOUS = {
    "framework": {"mnist", "minimum_distortion", "book.mplstyle"},
    "scorecard": {"TABLE1", "Verdict"},
    "disjoint_sets": {"HALVES", "trained"},
    "protocol": {"coarse_search", "Protocol"},
    "back_feeding": {"Bank", "fresh"},
    "density": {"surroundings", "exit_along"},
    "minimum": {"plane", "minimize_box"},
    "units": {"features"},
    "spectral": {"conv_norm", "global_certificate"},
    "tilting": {"path"},
    "bounded": {"bounded", "STRENGTHS"},
}


@pytest.mark.parametrize("page", sorted((ROOT / "notebooks").glob("*.md")), ids=lambda path: path.stem)
def test_a_real_page_reaches_what_it_is_about_and_no_command(page):
    cells = [cell.source for cell in jupytext.read(page, fmt="md:myst").cells if cell.cell_type == "code"]
    found = fingerprint.definitions(cells)
    assert {"PAPER", "run_line"} | OBVIOUS.get(page.stem, set()) <= found.keys()
    commands = fingerprint.definitions(["from intriguing.press import commands as m\nm._status, m._run"]).keys()
    assert not found.keys() & {"main", "_status", "PageStatus", "ChapterFailed"}
    assert "PageStatus" in commands
    assert json.loads(json.dumps(found)) == found


def test_the_sizes_have_names_that_nothing_else_has():
    package = sources.read_package()
    names = [name for module in package.sources for name in package.module(module).definitions]
    assert names.count("PAPER") == names.count("QUICK") == 1


def test_the_words_of_an_error_do_not_count_but_its_kind_and_its_reason_do(tree):
    def guarded(condition: str, error: str) -> dict[str, str]:
        start = (tree.folder / "attack/search.py").read_text(encoding="utf-8")
        line = "return _one(x, steps) - MARGIN"
        tree.edit("attack/search.py", line, f"if {condition}:\n        raise {error}\n    {line}")
        found = reach(FIND)
        tree.write("attack/search.py", start)
        return found

    before = guarded("x < 0", 'ValueError(f"got {x}")')
    assert guarded("x < 0", 'ValueError(f"got {x}; expected at least 0, not {t.double(1)}.") from None') == before
    assert guarded("x < 1", 'ValueError(f"got {x}")') != before
    assert guarded("x < 0", 'TypeError(f"got {x}")') != before
    assert guarded("x < 0", "StopIteration(t.halve(x))") != guarded("x < 0", "StopIteration(t.double(x))")
    tree.edit("attack/search.py", "STEPS, UNUSED", "class ValueError(Exception):\n    pass\n\nSTEPS, UNUSED")
    assert guarded("x < 0", 'ValueError("a")') != guarded("x < 0", 'ValueError("b")')
