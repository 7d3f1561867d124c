"""The small faults are those that are meant, and a kept outcome is believed while code and tests are the same."""

from __future__ import annotations

import ast
import importlib
import json
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = textwrap.dedent('''
    """A module, 1 < 2."""

    LIMIT: int = 3

    def larger(x: "1 < 2", y=True) -> int:
        """Returns 1 + 1."""
        if not x:
            raise ValueError(f"got {x + 1}; expected 2" + "3")
        return max(
            x,  # a comment
            -LIMIT,
        ) if x < LIMIT and y else "a" + "b"
''')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("mutants")


def test_the_faults_of_a_small_file(tool) -> None:
    whole = "max(x, -LIMIT) if x < LIMIT and y else 'a' + 'b'"
    turned = "'a' + 'b' if x < LIMIT and y else max(x, -LIMIT)"
    made = tool.mutants("room/file.py", SOURCE)
    assert sorted((fault.where, fault.before, fault.after) for fault in made) == sorted(
        [
            ("module", "3", "4"),
            ("larger", "True", "False"),
            ("larger", "not x", "x"),
            ("larger", whole, turned),
            ("larger", "max(x, -LIMIT)", "min(x, -LIMIT)"),
            ("larger", "-LIMIT", "LIMIT"),
            ("larger", "x < LIMIT and y", "x < LIMIT or y"),
            ("larger", "x < LIMIT", "x <= LIMIT"),
        ]
    )


def test_each_fault_is_one_change_that_can_be_run(tool) -> None:
    found = {}
    for fault in tool.mutants("room/file.py", SOURCE):
        space: dict = {}
        exec(fault.source, space)
        if fault.after != "x":  # that one raises for every number but 0
            found[fault.before, fault.after] = space["larger"](3), space["larger"](1)
    assert found["x < LIMIT", "x <= LIMIT"] == (3, 1)
    assert found["3", "4"] == (3, 1)
    assert found["x < LIMIT and y", "x < LIMIT or y"] == (3, 1)
    assert found["max(x, -LIMIT)", "min(x, -LIMIT)"] == ("ab", -3)
    assert found["-LIMIT", "LIMIT"] == ("ab", 3)


def test_the_sample_is_fixed_and_takes_from_each_file(tool) -> None:
    every = {name: tool.mutants(name, SOURCE) for name in ("a.py", "b.py")}
    first = tool.sample(every, 6)
    assert [fault.name for fault in first] == [fault.name for fault in tool.sample(every, 6)]
    assert [fault.file for fault in first] == ["a.py"] * 3 + ["b.py"] * 3
    assert {fault.file for fault in tool.sample(every, 1)} == {"a.py", "b.py"}


def _expected(tool, source: str) -> int:
    """How many faults a file has; to write each of them out would take a minute for all files."""
    places = tool._Places()
    places.visit(ast.parse(source))
    return sum(len(list(tool.changes(found[1]))) for found in places.found)


def test_faults_can_be_counted_without_being_made(tool) -> None:
    for source in (SOURCE, Path(tool.__file__).read_text()):
        assert _expected(tool, source) == len(tool.mutants("room/file.py", source)) > 0


def test_every_file_of_the_rooms_has_tests_and_enough_faults(tool) -> None:
    files = tool.targets()
    assert {file.split("/")[0] for file in files} == {"attack", "lipschitz", "data", "book", "chapters"}
    every = {file: range(_expected(tool, (ROOT / tool.PACKAGE / file).read_text())) for file in files}
    assert len(tool.sample(every, tool.COUNT)) >= 150
    for file in tool.TESTS:
        assert len(tool.tests_of(file)) == len(tool.TESTS[file]), f"{file} names tests that are not there"


def test_outcomes_are_kept_and_survivors_listed(tool, tmp_path, monkeypatch, capsys) -> None:
    asked = []

    def pretend(mutant, tests, limit):
        asked.append(mutant)
        return ("survived" if mutant is None or mutant.line % 2 else "caught"), 1.0

    monkeypatch.setattr(tool, "try_out", pretend)
    output = tmp_path / "mutants.json"
    arguments = ["book/markdown", "--count", "12", "--output", str(output)]
    assert tool.main(arguments) == 1
    content = json.loads(output.read_text())
    survived = [row for row in content["rows"] if row["outcome"] == "survived"]
    assert asked[0] is None
    assert 0 < len(survived) < len(content["rows"])
    (line,) = content["summary"]
    assert (line["room"], line["faults"], line["survived"]) == ("book", len(content["rows"]), len(survived))
    assert all(row["name"] in capsys.readouterr().out for row in survived[:1])
    asked.clear()
    monkeypatch.setattr(tool, "EXPLAINED", {row["name"]: "nobody could notice" for row in survived})
    assert tool.main(arguments) == 0
    assert asked == []
    assert tool.main([*arguments, "--again"]) == 0
    assert len(asked) == 1 + len(content["rows"])
