"""Profiles, devices, seeds, folders and provenance."""

import json
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

import intriguing
from intriguing import data
from intriguing.attack import files
from intriguing.book import results, settings
from intriguing.chapters import minimum
from intriguing.chapters.back_feeding import findings
from intriguing.chapters.protocol import hunt


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Starts every test without the variables and measurements, whatever they are outside."""
    for name in ("PROFILE", "DATA", "CACHE", "DEVICE", "RECORD"):
        monkeypatch.delenv(f"INTRIGUING_{name}", raising=False)
    monkeypatch.setattr(settings, "_MEASURED", {})


def test_quick_is_the_default_profile():
    assert settings.profile() is settings.PROFILES["quick"]


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_a_profile_is_chosen_by_name_or_by_the_variable(name, monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", name)
    assert settings.profile() is settings.profile(name) is settings.PROFILES[name]
    assert settings.profile(name).name == name


def test_an_unknown_profile_is_named(monkeypatch):
    with pytest.raises(ValueError, match="^profile is 'fast'; expected one of quick, paper"):
        settings.profile("fast")
    monkeypatch.setenv("INTRIGUING_PROFILE", "Paper")
    with pytest.raises(ValueError, match="^INTRIGUING_PROFILE is 'Paper'; expected one of quick, paper"):
        settings.profile()


def test_the_quick_profile_treats_fewer_images():
    quick, paper = (vars(settings.PROFILES[name]) for name in ("quick", "paper"))
    assert quick.keys() == paper.keys()
    assert all(0 < quick[size] < paper[size] for size in quick if size.endswith("_images"))


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_the_stored_runs_have_the_sizes_of_their_profile(name):
    sizes = settings.PROFILES[name]
    tables = ("seeds_table1", "bounded_ReLU", "table1_convolutional", "table4")
    anew, bounded, convolutional, halves = (results.load(table, name).meta for table in tables)
    assert anew["repetitions"] == bounded["seeds"] == sizes.table_seeds
    assert anew["data"].endswith(f", first {sizes.seed_images}")
    assert convolutional["images"] == sizes.convolutional_images
    assert halves["images"] == min(sizes.attack_images, 10_000)  # all test images there are


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_best_device_is_the_default(cuda, mps, best, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert settings.device() == torch.device(best)
    monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")
    assert settings.device() == torch.device("cpu")


def test_an_unknown_device_is_named(monkeypatch):
    monkeypatch.setenv("INTRIGUING_DEVICE", "gpu")
    with pytest.raises(ValueError, match="INTRIGUING_DEVICE is 'gpu'; expected one of cuda, mps, cpu"):
        settings.device()


def test_an_absent_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("INTRIGUING_DEVICE", "cuda")
    with pytest.raises(RuntimeError, match="INTRIGUING_DEVICE is 'cuda', which PyTorch .* does not find"):
        settings.device()


def test_the_same_seed_gives_the_same_numbers():
    def draw():
        generator = settings.seed_everything(3)
        numpys = np.random.random()  # noqa: NPY002 - the global generator is what is tested
        return random.random(), numpys, torch.rand(1).item(), torch.rand(1, generator=generator).item()

    first = draw()
    assert draw() == first
    assert torch.are_deterministic_algorithms_enabled() or settings.device().type == "mps"


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="expected an integer from 0 to"):
        settings.seed_everything(seed)


def test_the_data_folder_is_optional(monkeypatch, tmp_path):
    assert data.data_folder() is None
    monkeypatch.setenv("INTRIGUING_DATA", "  ")
    assert data.data_folder() is None
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    assert data.data_folder() == tmp_path
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="got INTRIGUING_DATA '.*nowhere', which is not a folder"):
        data.data_folder()


def test_the_cache_can_be_placed(monkeypatch, tmp_path):
    assert "intriguing" in str(files.cache_folder())
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "later"))
    assert files.cache_folder() == tmp_path / "later"
    assert not (tmp_path / "later").exists()


def test_recording_is_off_unless_asked_for(monkeypatch):
    assert not settings.recording()
    for value, expected in (("0", False), ("1", True), ("", False)):
        monkeypatch.setenv("INTRIGUING_RECORD", value)
        assert settings.recording() is expected
    monkeypatch.setenv("INTRIGUING_RECORD", "yes")
    with pytest.raises(ValueError, match="INTRIGUING_RECORD is 'yes'; expected 0 or 1"):
        settings.recording()


def test_the_checkout_is_the_package_s_own_or_above_the_current_folder(monkeypatch, tmp_path):
    own = Path(intriguing.__file__).resolve().parent
    if own.parent.name == "src":
        assert settings.checkout() == own.parent.parent
    monkeypatch.setattr(intriguing, "__file__", str(tmp_path / "site-packages" / "intriguing" / "__init__.py"))
    inside = tmp_path / "book" / "notebooks"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert settings.checkout() is None
    source = tmp_path / "book" / "src" / "intriguing" / "__init__.py"
    source.parent.mkdir(parents=True)
    source.touch()
    assert settings.checkout() == tmp_path / "book"


def test_provenance_describes_the_run(monkeypatch):
    about = settings.provenance()
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    assert list(about) == ["profile", "seed", "device", "versions", "wall_seconds", "created", "commit"]
    assert about["profile"] == "quick"
    assert about["device"].startswith(settings.device().type)
    assert set(about["versions"]) == {"python", "torch", "torchvision", "numpy", "scipy", "intriguing"}
    assert about["wall_seconds"] > 0
    assert abs((datetime.now(UTC) - datetime.fromisoformat(about["created"])).total_seconds()) < 60
    assert about["commit"] is None or re.fullmatch(r"[0-9a-f]+( \+ changes)?", about["commit"])
    monkeypatch.setattr(settings.time, "monotonic", lambda: 1000.0)
    assert settings.provenance(998.5)["wall_seconds"] == 1.5


def test_provenance_has_no_commit_outside_git(monkeypatch, tmp_path):
    source = tmp_path / "src" / "intriguing" / "__init__.py"
    monkeypatch.setattr(intriguing, "__file__", str(source))
    assert settings.provenance()["commit"] is None
    (tmp_path / ".git").mkdir()  # there, but no repository
    assert settings.provenance()["commit"] is None
    monkeypatch.setenv("PATH", "")  # nor is git itself there
    assert settings.provenance()["commit"] is None


def test_the_run_line_says_the_provenance_in_one_sentence(monkeypatch):
    monkeypatch.setattr(settings, "_LEDGER", {})
    monkeypatch.setattr(settings, "_GUARDED", {})
    now = 1000.0
    monkeypatch.setattr(settings.time, "monotonic", lambda: now)
    line = settings.run_line(now - 125)
    about = settings.provenance()
    assert line.startswith(f"Run in profile quick on {about['device']} in 2 min 5 s, {about['created'][:10]} ")
    assert all(f"{name} {version}" in line for name, version in about["versions"].items())
    assert "\n" not in line and line.endswith(".")
    monkeypatch.setattr(settings, "commit", lambda: "abc1234 + changes")
    assert settings.run_line().endswith("code: commit abc1234 + changes.")
    monkeypatch.setattr(settings, "commit", lambda: None)
    assert settings.run_line(now).endswith("code: no commit known.")
    assert " in 0 s, " in settings.run_line(now)
    settings.rests_on("weights/a", 3700.0, "cuda (H100)", made=False)
    settings.rests_on("weights/b", None, None, made=True)
    assert settings.run_line().endswith(
        "known. It rests on 2 kept computations (1 made now and 1 kept from before), 1 h 1 min of computing on "
        "cuda (H100); what 1 of them took was not written down."
    )


def test_the_run_line_says_how_many_entries_are_held_loosely(monkeypatch):
    monkeypatch.setattr(settings, "_GUARDED", {})
    assert settings.guard_line() == ""
    settings.guarded("table1", 12, 0)
    line = "Entries compared with the stored run: 12; none may differ from it by more than half its size."
    assert settings.run_line().endswith(f". {line}")
    settings.guarded("table2", 30, 4)
    settings.guarded("table4", 8, 1)
    settings.guarded("table2", 30, 3)  # the same once more
    assert settings.run_line().endswith(
        ". Entries compared with the stored run: 50; 4 of them may differ by more than half their size "
        "(3 in table2, 1 in table4)."
    )


def test_the_run_line_says_which_stored_measurements_it_reads(monkeypatch):
    monkeypatch.setattr(settings, "_GUARDED", {})
    assert settings.measured_line() == ""
    settings.measured("norms", 7.7)
    settings.measured("other", None)
    settings.measured("norms", 3725.0)
    assert settings.run_line().endswith(
        ". It reads stored measurements, not counted above; they took at least: "
        "norms (1 h 2 min), other (its file does not say)."
    )


def test_measurements_of_several_runs_count_more_than_the_last(monkeypatch):
    last = {name: results.last_run(results.measured(name)) for name in ("photographs", "back_feeding", "protocol")}
    assert last == settings._MEASURED
    minimum.measured(), findings.stored(), hunt.stored()
    assert all(settings._MEASURED[name] > 2 * seconds for name, seconds in last.items())
    assert settings._MEASURED["growth"] == results.measured("growth")["meta"]["wall_seconds"]
    told = findings.stored()
    parts = sum(findings.seconds(told[part]) for part in ("selection", "final", "layers", "searched"))
    assert settings._MEASURED["back_feeding"] == pytest.approx(last["back_feeding"] + parts)


def test_one_thread_is_one_device_however_it_was_written(monkeypatch):
    monkeypatch.setattr(settings, "_LEDGER", {})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")
    now = settings.provenance()["device"]
    assert now.endswith(", 1 thread)")
    settings.rests_on("new", 1.0, now, made=True)
    settings.rests_on("old", 1.0, now.replace("1 thread", "1 threads"), made=False)
    assert settings.computing()["devices"] == [now]


def test_the_kept_computing_is_counted_once_and_apart(monkeypatch, tmp_path):
    clock = iter(range(100))
    monkeypatch.setattr(settings.time, "monotonic", lambda: next(clock))
    with settings.own_seconds() as outer:  # 0
        with settings.counted_apart(), settings.own_seconds() as inner:  # 1, 2
            assert inner() == 1  # 3
        # until 4
        assert outer() == 2  # 5: five, less the three inside
    monkeypatch.undo()
    monkeypatch.setattr(settings, "_LEDGER", {})
    monkeypatch.setenv("INTRIGUING_LEDGER", str(tmp_path / "ledger"))
    assert settings.computing_line(settings.computing()) == ""
    for _ in range(2):
        settings.rests_on("a", 2.0, "cpu", made=True)
    settings.rests_on("b", 3.0, "cuda", made=False)
    expected = {"seconds": 5.0, "devices": ["cpu", "cuda"], "made": 1, "kept": 1, "unknown": 0}
    assert settings.computing() == expected
    entries = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert settings.computing(entries) == expected


def test_importing_the_package_and_its_settings_is_cheap_and_changes_nothing():
    code = (
        "import os, sys; before = dict(os.environ); import intriguing; from intriguing.book import settings, cache\n"
        "slow = {'torch', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not slow, slow; assert dict(os.environ) == before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
