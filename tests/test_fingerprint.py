"""Fingerprints of code: blind to how it is written, awake to what it does."""

import textwrap

import pytest

from intriguing import fingerprint

CODE = textwrap.dedent(
    '''
    """A module."""
    from intriguing import data

    class A:
        """A class."""

        async def f(self, x: int = 0, *rest, key=None) -> str:
            return f"{x!r:>{key}}" "tail" f"{self=}"

    def half(x):
        """Halves."""
        with open("x") as file, file as again:
            return [x / 2, -1.5, None, "", b"a", ...]
    '''
)


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Puts a small package in the place of the real one and returns its folder."""
    modules = {
        "__init__": "__version__ = '1'",
        "base": "x = 1",
        "middle": "import intriguing.base as b\ny = b.x",
        "top": "def f():\n    from .middle import y\n    return y",
        "round": "from intriguing import other_round, base\nimport intriguing",
        "other_round": "from intriguing.round import x",
        "outside": "import numpy.linalg\nfrom intriguing import __version__\nraise RuntimeError('imported')",
    }
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(fingerprint, "_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Halves."""', '"""Divides by two."""'),
        ('    """Halves."""\n', ""),
        ('"""A class."""', "pass  # nothing yet"),
        ('"""A module."""', "# A module."),
        ("x / 2", "(x/\n  2)"),
        ('"x"', "'x'"),
        ("    async def", "\n    # asynchronous\n\n    async def"),
    ],
)
def test_writing_does_not_matter(old, new):
    assert old in CODE
    changed = CODE.replace(old, new)
    assert changed != CODE
    assert fingerprint.of_text(changed) == fingerprint.of_text(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / 2", "x / 3"),
        ("x / 2", "x // 2"),
        ("x / 2", "y / 2"),
        ("-1.5", "1.5"),
        ("None, ", ""),
        ('"", ', ""),
        ("x!r", "x!s"),
        ("{self=}", "{self}"),
        ("x: int = 0", "x: int = 1"),
        ("x: int = 0", "x: int = False"),
        ("key=None", "key"),
        ("async def", "def"),
        ("def half", "def third"),
        ('b"a"', '"a"'),
    ],
)
def test_meaning_matters(old, new):
    assert CODE.count(old) >= 1
    assert fingerprint.of_text(CODE.replace(old, new)) != fingerprint.of_text(CODE)


def test_it_is_the_same_in_every_python_version():
    # Taken with 3.11, 3.12 and 3.13: where this fails alone, the reading of the syntax tree has changed.
    assert fingerprint.of_text(CODE) == "b754bd3085f9cf5f"


def test_several_modules_have_one_fingerprint(package):
    both = fingerprint.of("intriguing.base", "intriguing.top")
    assert len(both) == 16 and int(both, 16) >= 0
    assert fingerprint.of("intriguing.top", "intriguing.base", "intriguing.base") == both
    assert fingerprint.of("intriguing.base") != both
    (package / "base.py").write_text("# a comment\nx = 1\n", encoding="utf-8")
    assert fingerprint.of("intriguing.base", "intriguing.top") == both
    (package / "base.py").write_text("x = 2\n", encoding="utf-8")
    assert fingerprint.of("intriguing.base", "intriguing.top") != both


def test_exchanged_modules_are_a_change(package):
    before = fingerprint.of("intriguing.base", "intriguing.middle")
    one, two = package / "base.py", package / "middle.py"
    first, second = one.read_text(), two.read_text()
    one.write_text(second)
    two.write_text(first)
    assert fingerprint.of("intriguing.base", "intriguing.middle") != before


def test_the_closure_follows_every_kind_of_import(package):
    assert list(fingerprint.closure(["intriguing.top"])) == [f"intriguing.{n}" for n in ("base", "middle", "top")]
    rounds = fingerprint.closure(["intriguing.round"])
    assert list(rounds) == ["intriguing.base", "intriguing.other_round", "intriguing.round"]
    assert rounds["intriguing.base"] == fingerprint.of_text("x = 1")


def test_the_closure_executes_nothing_and_stays_in_the_package(package):
    assert list(fingerprint.closure(["intriguing.outside"])) == ["intriguing.outside"]
    assert fingerprint.closure([]) == {}


@pytest.mark.parametrize("name", ["intriguing.nowhere", "numpy", "intriguing", "base", ""])
def test_an_unknown_module_is_named(name):
    with pytest.raises(ValueError, match=f"got module '{name}'; expected one of the package"):
        fingerprint.of(name)


def test_no_module_at_all_is_refused():
    with pytest.raises(ValueError, match="got no module"):
        fingerprint.of()


def test_the_real_package_has_fingerprints():
    found = fingerprint.closure(["intriguing.results"])
    assert {"intriguing.artifacts", "intriguing.results", "intriguing.scale"} <= found.keys()
    assert "intriguing" not in found
