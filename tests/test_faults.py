"""The script that breaks things tells a sound end from an unsound one."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

import forked

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("fcntl", reason="forks and locks are those of POSIX")


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("faults")


def test_what_is_half_written_is_found(faults, tmp_path) -> None:
    (tmp_path / "whole.json").write_text("{}")
    (tmp_path / "half.json").write_text('{"a": ')
    (tmp_path / "half.safetensors").write_bytes(b"\x08\x00\x00\x00")
    assert faults.remains(tmp_path) == ["half.json", "half.safetensors"]


@pytest.mark.parametrize(
    ("code", "said", "left", "sound"),
    [
        (1, "Error: the disk is full; free some", [], 1),
        (0, "Error: the disk is full; free some", [], 0),
        (1, "Segmentation fault", [], 0),
        (1, "Error: the disk is full; free some", ["half"], 0),
    ],
)
def test_a_fault_has_to_be_told_and_to_leave_nothing(faults, code, said, left, sound) -> None:
    row = faults.refused("work", "full disk", faults.Ended(code, 1.0, said, None), "disk is full", left)
    assert row["sound"] == sound and bool(row["wrong"]) != bool(sound)


def test_killed_work_that_ends_otherwise_is_seen(faults, tmp_path, monkeypatch) -> None:
    ended = [faults.Ended(0, 0.0, "", "right")]
    for value in ("right", "wrong"):
        ended += [faults.Ended(-9, 0.0, "", None), faults.Ended(0, 0.0, "", value)]
    monkeypatch.setattr(faults, "begin", lambda work, folder: 1)
    monkeypatch.setattr(faults, "wait", lambda child, folder, kill_after=None: ended.pop(0))
    row = faults.killed("work", lambda at: None, tmp_path, 2, lambda value: value)
    assert (row["tries"], row["hit"], row["sound"]) == (2, 2, 1)
    assert row["wrong"] == ["another result: wrong"]


def test_downloads_that_are_none_are_told(tmp_path) -> None:
    output = tmp_path / "faults.json"
    process = forked.start(ROOT / "benchmarks" / "faults.py", "networks", "--output", output)
    assert forked.ended(process, 600) == 0
    rows = json.loads(output.read_text())["rows"]
    assert len(rows) == 8
    assert all(row["sound"] == row["tries"] == 1 for row in rows)


def test_the_stored_table_is_sound(faults) -> None:
    rows = json.loads(faults.RESULT.read_text())["rows"]
    assert {"resumption", "disks", "networks", "altered"} <= {row["group"] for row in rows} <= set(faults.GROUPS)
    assert all(row["sound"] == row["tries"] > 0 for row in rows)
