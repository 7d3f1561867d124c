"""The small faults are those that are meant, and a kept outcome is believed while code and tests are the same."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
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


def test_the_tests_that_reach_the_broken_lines_are_asked_the_quickest_first(tool) -> None:
    (fault,) = (fault for fault in tool.mutants("room/file.py", SOURCE) if fault.before == "-LIMIT")
    first, last = fault.lines
    assert SOURCE.splitlines()[first - 1].strip() == "return max("
    assert SOURCE.splitlines()[last - 1].startswith("    ) if x < LIMIT")
    lines = {first: ["slow", "quick"], last: ["slow", "middle"], last + 1: ["elsewhere"]}
    each = {"slow": 3.0, "middle": 2.0, "quick": 1.0, "elsewhere": 0.1}
    assert tool.Reach("survived", 6.1, lines, each).tests(fault) == ["quick", "middle", "slow"]
    imported = {**lines, first: ["", "quick"]}
    assert tool.Reach("survived", 6.1, imported, each).tests(fault) == []


def test_a_fault_is_caught_stopped_or_survives(tool, tmp_path) -> None:
    """In forks of a small process, as the whole is too large to be loaded for a test."""
    program = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(ROOT / "benchmarks")!r})
        import pathlib, time, mutants
        folder = pathlib.Path({str(tmp_path)!r})
        told = lambda work, limit=30: mutants._outcome(mutants._forked(work, folder, limit))
        print(told(lambda: 0), told(lambda: 1), told(lambda: 5), told(lambda: time.sleep(60), 0.2), told(lambda: 1 / 0))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["survived", "caught", "not", "run", "stopped", "not", "run"], done.stderr
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


def test_outcomes_are_kept_and_survivors_listed(tool, tmp_path, monkeypatch, capsys) -> None:
    asked = []

    def pretend(mutant, tests, limit, kept):
        asked.append(mutant)
        return ("survived" if mutant.line % 2 else "caught"), 1.0

    def measured(path, kept):
        asked.append(None)
        return {"outcome": "survived", "seconds": 1.0, "lines": {}, "each": {}}

    monkeypatch.setattr(tool, "try_out", pretend)
    monkeypatch.setattr(tool, "measure", measured)
    monkeypatch.setattr(tool, "KEPT", tmp_path)
    monkeypatch.setattr(tool, "targets", lambda: ["book/markdown.py", "book/verdicts.py"])
    monkeypatch.setattr(tool, "LOADED", ())
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
