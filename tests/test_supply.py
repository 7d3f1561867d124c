"""Nothing that comes from outside is executed, be it by unpickling or by unpacking."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for folder in ("src", "benchmarks", "book") for path in (ROOT / folder).rglob("*.py"))
NEVER = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "pd.read_pickle", "shelve.open",
    "marshal.load", "marshal.loads", "yaml.load", "yaml.unsafe_load", "shutil.unpack_archive", "eval", "exec",
    "__import__",
}  # fmt: skip
"""Calls that may execute what they read."""

ALLOWED = {
    ("src/intriguing/press/trying.py", "exec"): "a cell of the book's own pages",
    ("src/intriguing/press/trying.py", "eval"): "likewise",
    ("benchmarks/spread_units.py", "pickle.loads"): "what the same program wrote a moment before",
}


def calls(source: str) -> list[tuple[str, ast.Call]]:
    """The calls of a file by the name of what is called."""
    return [(ast.unparse(node.func), node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def danger(name: str, call: ast.Call) -> str:
    """What makes a call dangerous, or nothing."""
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in NEVER:
        return name
    if name == "torch.load" and options.get("weights_only") != "True":
        return "torch.load without weights_only"
    if name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False":
        return "arrays of objects"
    if name.endswith((".extractall", ".extract")) and "re." not in name:
        return "unpacking to where an archive says"
    return "a shell" if options.get("shell", "False") != "False" else ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pickle.loads(x)", "pickle.loads"),
        ("torch.load(x)", "torch.load without weights_only"),
        ("torch.load(x, weights_only=False)", "torch.load without weights_only"),
        ("torch.load(x, weights_only=True)", ""),
        ("np.load(x, allow_pickle=True)", "arrays of objects"),
        ("np.load(x)", ""),
        ("archive.extractall(x)", "unpacking to where an archive says"),
        ("archive.extractfile(x)", ""),
        ("subprocess.run(x, shell=True)", "a shell"),
        ("yaml.safe_load(x)", ""),
    ],
)
def test_what_counts_as_dangerous(line, found):
    assert [danger(*call) for call in calls(line)] == [found]


def test_nothing_executes_what_it_reads():
    found = {
        (path.relative_to(ROOT).as_posix(), danger(name, call))
        for path in FILES
        for name, call in calls(path.read_text(encoding="utf-8"))
        if danger(name, call)
    }
    assert found == set(ALLOWED), "what executes is listed with its reason, and what is gone is taken off the list"
