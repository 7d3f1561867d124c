"""Weights on disk: kept, shared, remade when the key changes, never trusted when broken."""

import errno
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

import forked
from intriguing.attack import files
from intriguing.book import cache, settings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    """Gives every test a cache of its own."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    return tmp_path / "weights"


class Maker:
    """Counts how often it is called; each call makes other numbers."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {
            "weight": torch.arange(6.0).reshape(2, 3).T * self.calls,  # not contiguous
            "bias": torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
            "scalar": torch.tensor(self.calls, requires_grad=False),
            "empty": torch.zeros(0, 3),
        }


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, equal_nan=True)


def test_what_is_made_is_kept_and_read_back(kept):
    make = Maker()
    made = cache.load_or_make("FC10(1e-4)", {"seed": 0}, make)
    read = cache.load_or_make("FC10(1e-4)", {"seed": 0}, make)
    assert make.calls == 1
    same(made, read)
    assert made["weight"].is_contiguous()
    assert [file.name for file in kept.iterdir()] == [cache.location("FC10(1e-4)", {"seed": 0}).name]


def test_tensors_that_share_memory_or_need_gradients_are_kept_as_copies():
    weight = torch.ones(3, requires_grad=True)
    made = cache.load_or_make("tied", {}, lambda: {"one": weight, "two": weight})
    assert not made["one"].requires_grad
    made["one"].zero_()
    assert made["two"].sum() == weight.sum() == 3


def test_keys_lie_side_by_side_and_a_changed_key_remakes(kept):
    make = Maker()
    first = cache.load_or_make("net", {"seed": 0}, make)
    second = cache.load_or_make("net", {"seed": 1}, make)
    assert make.calls == 2 and len(list(kept.iterdir())) == 2
    same(first, cache.load_or_make("net", {"seed": 0}, make))
    same(second, cache.load_or_make("net", {"seed": 1}, make))
    assert make.calls == 2


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_order_of_a_key_does_not_matter(key):
    turned = dict(reversed(key.items()))
    assert files.canonical(turned) == files.canonical(key)
    assert cache.location("net", turned) == cache.location("net", key)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_a_corrupt_file_is_reported_and_made_anew(damage):
    make = Maker()
    cache.load_or_make("net", {"seed": 0}, make)
    path = cache.location("net", {"seed": 0})
    good = path.read_bytes()
    bad = {
        "cut": good[:-5],
        "bit": good[:-1] + bytes([good[-1] ^ 1]),
        "empty": b"",
        "text": b"<html>not found</html>",
    }[damage]
    path.write_bytes(bad)
    with pytest.warns(UserWarning, match="cannot be used .* made anew") as caught:
        remade = cache.load_or_make("net", {"seed": 0}, make)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert make.calls == 2
    same(remade, cache.load_or_make("net", {"seed": 0}, make))
    assert make.calls == 2


def test_a_file_of_another_key_is_not_taken(kept):
    make = Maker()
    cache.load_or_make("net", {"seed": 0}, make)
    os.replace(cache.location("net", {"seed": 0}), cache.location("net", {"seed": 1}))
    with pytest.warns(UserWarning, match="its key is another one"):
        cache.load_or_make("net", {"seed": 1}, make)


def test_a_full_disk_is_said_clearly_and_leaves_nothing(monkeypatch, kept):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="Cannot write .*: the disk is full; free some space") as caught:
        cache.load_or_make("net", {}, Maker())
    assert caught.value.errno == errno.ENOSPC
    assert list(kept.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_said_clearly(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "file"))
    make = Maker()
    with pytest.raises(OSError, match=r"got the cache folder .*file.weights, in which .*; expected .*; set INTRIGUING"):
        cache.load_or_make("net", {}, make)
    assert make.calls == 0  # hours of work are not done first and lost then


def test_a_cache_that_can_only_be_read_still_gives_what_it_keeps(monkeypatch, kept):
    make = Maker()
    made = cache.load_or_make("net", {"seed": 0}, make)

    def refuses(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuses)
    monkeypatch.setattr(cache.tempfile, "TemporaryFile", refuses)
    same(made, cache.load_or_make("net", {"seed": 0}, make))
    with pytest.raises(OSError, match="Read-only file system.*; expected .*; set INTRIGUING_CACHE"):
        cache.load_or_make("net", {"seed": 1}, make)
    assert make.calls == 1


def test_an_interrupted_write_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def fail(source, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Cannot write"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["", "../net", "a/b", ".net", "a b", "nét"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="expected letters, digits"):
        cache.location(name, {})


@pytest.mark.parametrize("key", [{"a": math.nan}, {"a": torch.ones(1)}, {"a": {1, 2}}, {(1, 2): 3}])
def test_a_key_that_is_not_json_is_refused(key):
    with pytest.raises(ValueError, match="key cannot be written as JSON"):
        cache.load_or_make("net", key, Maker())


@pytest.mark.parametrize("made", [None, [torch.ones(1)], {"a": 1.0}, {1: torch.ones(1)}])
def test_making_something_else_than_named_tensors_is_refused(made):
    with pytest.raises(TypeError, match=r"make\(\) of 'net' returned .*; expected a dict"):
        cache.load_or_make("net", {}, lambda: made)


SLOW = """
import pathlib, sys, time, torch
from intriguing.book import cache

def make():
    with open(sys.argv[1], "a") as file:
        file.write("made\\n")
    time.sleep(float(sys.argv[2]))
    return {"a": torch.ones(1)}

cache.load_or_make("net", {}, make)
"""


def slow(calls, seconds):
    script = calls.with_name("slow.py")
    script.write_text(SLOW)
    return forked.start(script, calls, seconds)


def wait_for(path, lines):
    until = time.monotonic() + 300
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < until, f"{path.name} has not got {lines} lines"
        time.sleep(0.05)


def test_two_processes_that_ask_at_once_make_once(tmp_path):
    calls = tmp_path / "calls"
    both = [slow(calls, 1) for _ in range(2)]
    assert [forked.ended(process) for process in both] == [0, 0]
    assert calls.read_text() == "made\n"


LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except OSError:
        print("taken")
"""


def test_others_are_kept_away_just_as_long_as_something_is_made(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no such locks")

    def locks():
        script = [sys.executable, "-c", LOCK, str(tmp_path / "locks")]
        return subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()

    said = []
    cache.load_or_make("net", {}, lambda: said.append(locks()) or {"a": torch.ones(1)})
    assert [*said, locks()] == ["taken", "free"]


def test_a_process_that_dies_holds_up_nobody(tmp_path):
    calls = tmp_path / "calls"
    first = slow(calls, 600)
    wait_for(calls, 1)
    second = slow(calls, 0)
    first.kill()
    assert forked.ended(first) == -signal.SIGKILL
    assert forked.ended(second) == 0
    assert calls.read_text() == "made\nmade\n"


def test_without_locks_everything_is_made_all_the_same(monkeypatch):
    make = Maker()
    monkeypatch.setattr(cache, "fcntl", None)
    cache.load_or_make("net", {}, make)
    cache.load_or_make("net", {}, make)
    assert make.calls == 1


def test_what_it_took_stands_in_the_file(monkeypatch):
    def make():
        time.sleep(0.3)
        cache.load_or_make("inner", {}, lambda: (time.sleep(0.6), {"a": torch.ones(1)})[1])
        return {"a": torch.ones(1)}

    for made in (2, 0):
        monkeypatch.setattr(settings, "_LEDGER", {})
        cache.load_or_make("outer", {}, make)
        if not made:
            cache.load_or_make("inner", {}, make)
        total = settings.computing()
        assert (total["made"], total["kept"], total["unknown"]) == (made, 2 - made, 0)
        seconds = {entry["name"].split("/")[1].split("-")[0]: entry["seconds"] for entry in settings._LEDGER.values()}
        assert seconds["outer"] >= 0.3 and seconds["inner"] >= 0.6
        assert total["devices"] == [settings.provenance()["device"]]


@pytest.mark.parametrize("name", ["~nobody-of-this-name", "x" * 300])
def test_a_cache_that_can_be_no_folder_is_refused_by_its_name(name, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", name)
    with pytest.raises(ValueError, match="got INTRIGUING_CACHE .*, which is no path here; expected"):
        files.cache_folder()


@pytest.mark.parametrize("content", [b"", b"\x08", b"x" * 100, b"\xff" * 8 + b"{}"])
def test_a_damaged_file_says_nothing_of_how_it_was_made(content):
    cache.load_or_make("net", {"seed": 0}, Maker())
    cache.location("net", {"seed": 0}).write_bytes(content)
    assert cache.provenance("net", {"seed": 0}) == {}


@pytest.mark.parametrize("about", ["[]", "null", "3", "{", "[" * 100_000])
def test_nonsense_of_how_it_was_made_is_reported(about):
    make, key = Maker(), {"seed": 0}
    cache.load_or_make("net", key, make)
    path = cache.location("net", key)
    tensors = files.plain("net", make())
    kept = {"key": files.canonical(key), "sha256": files.digest(tensors), "provenance": about}
    path.write_bytes(safetensors.torch.save(tensors, metadata=kept))
    assert cache.provenance("net", key) == {}
    with pytest.warns(UserWarning, match=r"no JSON object\) and are made anew"):
        cache.load_or_make("net", key, make)
    assert cache.provenance("net", key) != {}


def test_a_folder_in_place_of_a_file_is_said(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="remove the folder that stands in its place"):
        files.write_atomically(tmp_path / "file", b"content")


def test_meta_and_nested_tensors_have_sums():
    meta = [files.digest({"a": torch.empty(size, device="meta")}) for size in (2, 3)]
    nested = [
        files.digest({"a": torch.nested.nested_tensor([torch.ones(2), torch.full((3,), value)], layout=torch.jagged)})
        for value in (1.0, 2.0)
    ]
    assert len({*meta, *nested}) == 4
