"""Long runs: what is finished is never lost nor solved again, whoever is killed, and the result is that of one go."""

from __future__ import annotations

import copy
import errno
import functools
import importlib.util
import os
import re
import signal
import sys
import threading
import time
import types
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import distributed, nn

import forked
from intriguing import data
from intriguing.attack import description, files, models, runs
from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.book import cache, fingerprint, settings
from intriguing.book import runs as kept_runs
from intriguing.models import recipes
from intriguing.press import commands as __main__

# The problem and the worker are one file, imported here and run as processes: the same code on both sides.
TOY = '''
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn


folder = None  # of the run, once the work has begun


def stall():
    """The named process of a first attempt says that it stops here, and does, once enough chunks are finished."""
    here = os.environ.get("RANK", "0"), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if folder is not None and here == (os.environ.get("TOY_STALL"), "0"):
        if len(list(folder.glob("chunk-*.safetensors"))) >= int(os.environ["TOY_AFTER"]):
            Path(sys.argv[1], "stalled").write_text(str(os.getpid()))
            time.sleep(600)


class Toy(nn.Module):
    """A small network that can be slowed down, or stopped for ever, from outside."""

    def __init__(self):
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(6, 5, generator=chance))
        self.second = nn.Parameter(torch.randn(5, 3, generator=chance))

    def forward(self, images):
        time.sleep(float(os.environ.get("TOY_DELAY", "0")))
        stall()
        return torch.sigmoid(3 * images.flatten(1) @ self.first.to(images)) @ (4 * self.second.to(images))


def problem(count=12):
    images = torch.rand(count, 2, 3, generator=torch.Generator().manual_seed(1))
    model = Toy().eval()
    return model, images, (model(images).argmax(1) + 1) % 3


if __name__ == "__main__":
    from intriguing.attack import runs as longrun

    team = longrun.Team()
    run = longrun.Run(*problem(), chunk=2)
    team.agree(run)
    folder = run.folder
    made = run.finish(worker=(team.rank, team.size))
    Path(sys.argv[1], f"made-{team.rank}").write_text(" ".join(map(str, made)))
'''

# What torchrun does, but that its processes are copied instead of started.
LAUNCH = """
import os, sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
import forked

if __name__ == "__main__":
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="toy", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=1, monitor_interval=0.1, start_method="forkserver",
    )
    elastic_launch(config, forked.run)(sys.argv[1], sys.argv[2:], dict(os.environ))
"""

needs_locks = pytest.mark.skipif(runs.fcntl is None, reason="this system has no POSIX locks")


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    """A cache, and a run folder, of each test's own."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return tmp_path / "cache"


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return path


@pytest.fixture
def toy(script, monkeypatch):
    spec = importlib.util.spec_from_file_location("toy", script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "toy", module)  # where Python looks for the source of its classes
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def problem(toy):
    return toy.problem()


def same(one: Distortion, other: Distortion) -> None:
    for field, value in vars(one).items():
        torch.testing.assert_close(value, vars(other)[field], rtol=0, atol=0, equal_nan=True)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Which chunks are finished; inode and time change when one is written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("chunk-*.safetensors")}


def until(condition, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_the_result_is_that_of_one_call(problem, kept):
    found = runs.attack(*problem, chunk=5)
    same(found, minimum_distortion(*problem, chunk=5))
    assert 0 < int(found.success.sum()) < 12  # successes and failures both
    (folder,) = (kept / "runs").iterdir()
    assert sorted(state(folder)) == [
        f"chunk-{start:07d}-{stop:07d}.safetensors" for start, stop in ((0, 5), (5, 10), (10, 12))
    ]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
def test_all_images_say_of_what_kind_the_outputs_are(bounds):
    """Scores that look like chances but at one image, which is not in every chunk."""
    drawn = torch.Generator().manual_seed(3)
    lowest, highest = bounds
    images = lowest + (highest - lowest) * torch.rand(6, 6, generator=drawn)
    weight = 9 * torch.randn(6, 3, generator=drawn) / (highest - lowest)

    def model(x):
        far = (x - images[5].to(x)).square().sum(1, keepdim=True) / (highest - lowest) ** 2
        return (x @ weight.to(x)).sigmoid() * (1 + 3 * (-50 * far).exp())

    targets = (model(images).argmax(1) + 1) % 3
    assert [models.Classifier(model, part, bounds)._scores for part in images.split(2)] == ["chances"] * 2 + ["logits"]
    same(
        runs.attack(model, images, targets, chunk=2, bounds=bounds, name="f"),
        minimum_distortion(model, images, targets, chunk=2, bounds=bounds),
    )


@pytest.mark.parametrize("settings", [{"refine": True}, {"norm": "plain", "margin": 1e-3}])
def test_settings_reach_the_search(problem, settings):
    same(runs.attack(*problem, chunk=4, **settings), minimum_distortion(*problem, chunk=4, **settings))


def test_a_finished_run_is_read(problem, monkeypatch):
    run = runs.Run(*problem, chunk=5)
    assert run.finish() == [0, 1, 2]
    before = state(run.folder)
    refuse = functools.wraps(minimum_distortion)(lambda *_, **__: pytest.fail("solved twice"))
    monkeypatch.setattr(runs, "minimum_distortion", refuse)
    again = runs.Run(*problem, chunk=5)
    assert again.finish() == []
    assert state(run.folder) == before
    same(again.collect(), run.collect())
    assert "10 of 12 images reach their target, at a mean" in again.summary()


def test_no_image_is_a_run_too(problem):
    model, images, targets = problem
    found = runs.attack(model, images[:0], targets[:0])
    assert found.images.shape == (0, 2, 3)
    assert runs.Run(model, images[:0], targets[:0]).summary() == "No image."
    same(runs.attack(model, images[:1], targets[:1]), minimum_distortion(model, images[:1], targets[:1]))


def test_an_interrupted_run_goes_on_where_it_stopped(problem, monkeypatch):
    run, calls = runs.Run(*problem, chunk=4), []

    @functools.wraps(minimum_distortion)  # for its fingerprint: the run is still the same
    def stopped_in_the_second(*arguments, **settings):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return minimum_distortion(*arguments, **settings)

    monkeypatch.setattr(runs, "minimum_distortion", stopped_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    before = state(run.folder)
    assert len(before) == 1
    assert runs.Run(*problem, chunk=4).finish() == [1, 2]
    assert before.items() <= state(run.folder).items()
    same(run.collect(), minimum_distortion(*problem, chunk=4))


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut short":
        path.write_bytes(content[:-7])
    elif how == "one bit":
        path.write_bytes(content[:-7] + bytes([content[-7] ^ 1]) + content[-6:])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(path.with_name("chunk-0000000-0000004.safetensors").read_bytes())


@pytest.mark.parametrize("how", ["cut short", "one bit", "empty", "another chunk"])
def test_a_corrupt_chunk_is_reported_and_made_anew(problem, how):
    run = runs.Run(*problem, chunk=4)
    run.finish()
    before, whole = state(run.folder), run.collect()
    damage(run.path(1), how)
    with pytest.warns(UserWarning, match=f"{run.path(1).name} cannot be used"):
        assert run.finish() == [1]
    after = state(run.folder)
    assert {name for name in before if before[name] != after[name]} == {run.path(1).name}
    same(run.collect(), whole)


def test_a_chunk_that_breaks_before_it_is_collected_is_made_anew(problem):
    run = runs.Run(*problem, chunk=4)
    run.finish()
    damage(run.path(2), "one bit")
    with pytest.warns(UserWarning, match="made anew"):
        same(run.collect(), minimum_distortion(*problem, chunk=4))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_the_batch_is_halved_when_memory_runs_out(problem, error):
    model, images, targets = problem
    sizes = []

    def small_memory(x):
        sizes.append(len(x))
        if len(x) > 2:
            raise error
        return model(x)

    run = runs.Run(small_memory, images, targets, chunk=8, name="small memory")
    with pytest.warns(UserWarning) as warned:
        run.finish()
    assert [str(entry.message) for entry in warned][:2] == [
        "Out of memory with 8 images at a time; going on with 4 at a time.",
        "Out of memory with 4 images at a time; going on with 2 at a time.",
    ]
    assert [size for size in sizes if size > 3][:2] == [8, 4]  # three are tried before
    assert len(state(run.folder)) == 2
    torch.testing.assert_close(run.collect().images, minimum_distortion(model, images, targets).images)


@pytest.mark.filterwarnings("ignore:Out of memory")
def test_memory_for_not_even_one_image_is_an_error(problem):
    def no_memory(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryError, match=r"One image of shape \(2, 3\) does not fit"):
        runs.attack(no_memory, *problem[1:], name="no memory")


def test_other_errors_of_the_model_pass_through(problem):
    def broken(x):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="^broken$"):
        runs.attack(broken, *problem[1:], name="broken")


def test_a_full_disk_is_said_and_costs_nothing_that_was_finished(problem, monkeypatch):
    run, write = runs.Run(*problem, chunk=4), os.fsync
    left = [1]

    def full(handle):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        write(handle)

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", full)
        with pytest.raises(OSError, match="the disk is full; free some space"):
            run.finish()
    assert list(state(run.folder)) == [run.path(0).name]
    assert not list(run.folder.glob(".*.part"))
    assert run.finish() == [1, 2]


def test_what_a_killed_process_left_of_a_chunk_is_removed(problem):
    run = runs.Run(*problem, chunk=4)
    leftover = run.folder / f".{run.path(1).name}-abc.part"
    leftover.write_bytes(b"half a chunk")
    run.finish()
    assert leftover.exists() == (runs.fcntl is None)


def test_the_key_changes_with_all_that_determines_the_numbers(toy):
    model, images, targets = toy.problem()

    class Scaled(toy.Toy):
        def __init__(self, by):
            super().__init__()
            self.by = by

        def forward(self, images):
            return super().forward(images) * self.by

    class Other(Scaled):
        def forward(self, images):
            return super().forward(images) + self.by

    nudged = toy.Toy().eval()
    nudged.first.data[0, 0] += 1e-6
    made = [
        runs.Run(model, images, targets),
        runs.Run(nudged, images, targets),
        runs.Run(Scaled(1.0).eval(), images, targets),
        runs.Run(Scaled(2.0).eval(), images, targets),
        runs.Run(Other(2.0).eval(), images, targets),
        runs.Run(model, images.double(), targets),
        runs.Run(model, images.flip(0), targets),
        runs.Run(model, images, (targets + 1) % 3),
        runs.Run(model, images, targets, refine=True),
        runs.Run(model, images, targets, chunk=3),
        runs.Run(model.forward, images, targets, name="toy"),
        runs.Run(model.forward, images, targets, name="another"),
    ]
    assert len({run.digest for run in made}) == len(made)
    assert runs.Run(toy.Toy().eval(), images.clone(), targets.clone(), norm="squared").digest == made[0].digest


def test_images_are_hashed_in_blocks(monkeypatch):
    images = torch.rand(7, 2, 3)
    whole = files.digest({"images": images})
    monkeypatch.setattr(files, "BLOCK", 5)
    assert files.digest({"images": images}) == whole
    assert files.digest({"images": images.transpose(1, 2).contiguous().transpose(1, 2)}) == whole


def test_all_the_code_of_the_search_is_in_the_key(problem):
    assert kept_runs.Run(*problem).key["code"] == fingerprint.of(minimum_distortion)
    cell = "from intriguing.attack import distortion\ndistortion.minimum_distortion"
    assert {"MARGIN", "minimize_box", "refine", "project_polyhedron"} <= fingerprint.definitions([cell]).keys()


def test_buffers_that_a_network_does_not_save_are_in_the_key(problem):
    model, images, targets = problem
    before = runs.Run(*problem).digest
    model = copy.deepcopy(model)
    model.register_buffer("shift", torch.zeros(3), persistent=False)
    first = runs.Run(model, images, targets).digest
    model.shift[0] = 1
    assert len({before, first, runs.Run(model, images, targets).digest}) == 3


def test_a_folder_of_another_run_is_refused(problem, tmp_path):
    model, images, targets = problem
    runs.Run(model, images, targets, folder=tmp_path / "run").finish()
    with pytest.raises(ValueError, match="holds another run, which differs in images, settings; expected the same key"):
        runs.Run(model, images.flip(0), targets, folder=tmp_path / "run", refine=True)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(ValueError, match="run.json is not JSON"):
        runs.Run(model, images, targets, folder=tmp_path / "run")


def test_bad_arguments_are_refused_before_any_work(problem, kept):
    model, images, targets = problem
    refused = [
        (TypeError, "unknown setting 'colour'", (model, images, targets), {"colour": 1}),
        (ValueError, "got a chunk of 0; expected at least 1 image", (model, images, targets), {"chunk": 0}),
        (ValueError, "pixels", (model, images + 1, targets), {}),
        (TypeError, "int64", (model, images, targets.float()), {}),
        (ValueError, "expected one per image", (model, images, targets[1:]), {}),
        (ValueError, "training mode", (type(model)(), images, targets), {}),
        (
            ValueError,
            "got device 'meta' for a model on 'cpu'; expected the same",
            (model, images, targets),
            {"device": "meta"},
        ),
        (ValueError, "got a function without a name as the model", (model.forward, images, targets), {}),
    ]
    for kind, message, arguments, options in refused:
        with pytest.raises(kind, match=message):
            runs.Run(*arguments, **options)
    assert not kept.exists()
    with pytest.raises(ValueError, match="got rank 2; expected one from 0 to 1 for 2 processes"):
        runs.Run(*problem).finish(worker=(2, 2))


@pytest.mark.parametrize("locks", ["absent", "refused"])
def test_without_locks_the_work_is_done_all_the_same(problem, monkeypatch, locks):
    if locks == "absent":
        monkeypatch.setattr(runs, "fcntl", None)
    elif runs.fcntl is not None:

        def no_locks(*arguments):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(runs.fcntl, "lockf", no_locks)
    run = runs.Run(*problem, chunk=4)
    assert run.finish(worker=(1, 2)) == [1, 2, 0]  # each process begins with a share of its own
    same(run.collect(), minimum_distortion(*problem, chunk=4))


@needs_locks
def test_the_chunk_of_a_dead_process_is_taken_over(problem, script, tmp_path):
    with forked.started(script, tmp_path, TOY_STALL=0, TOY_AFTER=1) as worker:
        run = runs.Run(*problem, chunk=2)
        until((tmp_path / "stalled").exists)  # in its second chunk, which it now holds for ever
        before = state(run.folder)
        assert len(before) == 1

        def kill():
            until(lambda: len(state(run.folder)) == 5)
            time.sleep(2 * runs.POLL)
            worker.kill()

        death = threading.Thread(target=kill)
        death.start()
        assert run.finish() == [2, 3, 4, 5, 1]  # the second chunk was left to its owner until that died
        death.join()
    assert before.items() <= state(run.folder).items()
    same(run.collect(), minimum_distortion(*problem, chunk=2))


@needs_locks
@pytest.mark.skipif(not distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_two_processes_give_the_result_of_one_though_one_is_killed(problem, script, tmp_path):
    launch = tmp_path / "launch.py"
    launch.write_text(LAUNCH)
    with forked.started(launch, script, tmp_path, TOY_STALL=1, TOY_AFTER=0, TOY_DELAY=0.01) as launcher:
        run = runs.Run(*problem, chunk=2)
        until(lambda: (tmp_path / "stalled").exists() and len(state(run.folder)) >= 2)
        before = state(run.folder)
        assert run.path(3).name not in before  # what the second of two begins with
        os.kill(int((tmp_path / "stalled").read_text()), signal.SIGKILL)
        assert forked.ended(launcher) == 0
    assert before.items() <= state(run.folder).items()
    made = [*map(int, " ".join((tmp_path / f"made-{rank}").read_text() for rank in (0, 1)).split())]
    assert 3 in made
    assert len(set(made)) == len(made) <= 6 - len(before)
    assert run.finish() == []
    same(run.collect(), minimum_distortion(*problem, chunk=2))


class Second(runs.Team):
    """The second process of two, the first one being made up."""

    def __init__(self, *said):
        super().__init__()
        self.rank, self.size, self.said = 1, 2, list(said)

    def _told(self, value):
        return self.said.pop(0)


def test_processes_that_disagree_are_told_so(problem, monkeypatch):
    monkeypatch.setattr(runs, "PATIENCE", 0.1)
    run = runs.Run(*problem)
    with pytest.raises(ValueError, match="process 1 has the run .*, process 0 has 0123; expected one run"):
        Second("0123").agree(run)
    with pytest.raises(ValueError, match="process 1 does not see process 0's folder"):
        Second(run.digest, "token").agree(run)
    (run.folder / "shared").write_text("another")
    with pytest.raises(ValueError, match="process 1 does not see process 0's folder"):
        Second(run.digest, "token").agree(run)
    (run.folder / "shared").write_text("token")
    Second(run.digest, "token").agree(run)


@pytest.fixture
def untrained(monkeypatch):
    """Networks of the paper without the wait for their training."""

    class Trained:
        def __init__(self, name, images):
            self.model: nn.Module = recipes.build(name).eval()

    monkeypatch.setattr(kept_runs, "trained", Trained)


def test_the_command_solves_and_goes_on(untrained, capsys, kept):
    words = ["attack", "--model", "FC10(1e-4)", "--images", "5", "--chunk", "2", "--profile", "quick"]
    assert __main__.main(words) == 0
    said = capsys.readouterr().out
    assert "Process 1 of 1 solved 3 of 3 chunks" in said
    assert "5 of 5 images reach their target, at a mean distortion of 0.0" in said
    assert __main__.main(words) == 0
    assert "Process 1 of 1 solved 0 of 3 chunks" in capsys.readouterr().out
    assert __main__.main([*words, "--refine"]) == 0
    assert len(list((kept / "runs").iterdir())) == 2


class Watched(runs.Team):
    """A team of one that counts what it makes first."""

    asked = 0

    def first_alone(self, make):
        self.asked += 1
        return super().first_alone(make)


@pytest.mark.parametrize(("attacked", "part", "count"), [(30, "train", 30), (3000, "test", 1000)])
def test_digits_are_those_that_the_profile_attacks_or_all_there_are(untrained, monkeypatch, attacked, part, count):
    sets = data.mnist("quick")
    monkeypatch.setattr(kept_runs, "mnist", lambda: sets)
    monkeypatch.setattr(settings, "profile", lambda: replace(settings.QUICK, attack_images=attacked))
    alone, team = kept_runs.digits("FC10(1)", part=part), Watched()
    assert torch.equal(alone.images, getattr(sets, part).images[:count]) and len(alone.images) == count
    assert (alone.targets != getattr(sets, part).labels[:count]).all()
    # Where several share the run, the team decides who trains the network.
    assert kept_runs.digits("FC10(1)", part=part, team=team).digest == alone.digest and team.asked == 1


def test_a_page_rests_on_the_chunks_that_were_solved_and_found(untrained, kept, monkeypatch):
    words = ["attack", "--model", "FC10(1e-4)", "--images", "5", "--chunk", "2", "--profile", "quick"]
    for made in (3, 0):
        monkeypatch.setattr(settings, "_LEDGER", {})
        assert __main__.main(words) == 0
        total = settings.computing()
        assert (total["made"], total["kept"], total["unknown"]) == (made, 3 - made, 0)


def test_the_command_says_what_is_wrong(untrained, capsys):
    assert __main__.main(["attack", "--model", "FC10(1)", "--images", "5000"]) == 1
    assert "got 5000 images; expected 1 to 4000 in profile quick" in capsys.readouterr().out
    assert __main__.main(["attack", "--model", "FC10(1)", "--images", "2", "--chunk", "0"]) == 1
    assert "got a chunk of 0; expected at least 1 image" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        __main__.main(["attack", "--model", "FC11"])
    assert "invalid choice: 'FC11'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["attack", "--model", "FC10(1)"], ["run"], ["record"], ["paper"]])
def test_a_device_that_is_not_there_is_one_sentence(command, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("INTRIGUING_DEVICE", "cuda")
    assert __main__.main(command) == 1
    said = capsys.readouterr().out
    assert said.startswith("INTRIGUING_DEVICE is 'cuda', which PyTorch") and said.count("\n") == 1
    monkeypatch.setenv("INTRIGUING_DEVICE", "abacus")
    assert __main__.main(command) == 1
    assert "expected one of cuda, mps" in capsys.readouterr().out


def variants(how):
    """Two models that differ in one thing, which no state dict holds, and read every image differently."""

    class Net(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.register_buffer("weight", torch.randn(6, 3, generator=torch.Generator().manual_seed(3)))
            plain = {"list": [sign], "dict": {"sign": sign}, "array": np.full(2000, sign), "private": sign}
            hidden = {"closure": lambda x: sign * x, "partial": functools.partial(torch.mul, torch.tensor(sign))}
            name = "_sign" if how == "private" else "sign"
            if how in plain | hidden:
                setattr(self, name, (plain | hidden)[how])
            if how == "deep":
                self.sign = {"a": (np.zeros(3), [{"b": sign}])}
            if how == "hook":
                self.register_forward_hook(lambda module, given, answer: sign * answer)
            if how == "buffer":
                self.register_buffer("sign", torch.tensor(sign), persistent=False)

        def forward(self, x):
            return self.turned(4 * x.flatten(1) @ self.weight.to(x))

        def turned(self, y):
            if how in ("closure", "partial"):
                return self.sign(y)
            if how == "hook":
                return y
            known = {"list": lambda: self.sign[0], "dict": lambda: self.sign["sign"], "array": lambda: self.sign[0]}
            known |= {"private": lambda: self._sign, "buffer": lambda: self.sign}
            known |= {"deep": lambda: self.sign["a"][1][0]["b"]}
            return y * float(known[how]())

    return Net(1.0).eval(), Net(-1.0).eval()


def with_attribute(value):
    module = nn.Flatten()
    module.kept = value
    return description.described(module)


def test_where_an_object_lies_in_memory_does_not_describe_a_model():
    assert " at 0x" in repr(threading.Lock())
    assert with_attribute(threading.Lock()) == with_attribute(threading.Lock())


class Slotted:
    """Holds its numbers in slots."""

    __slots__ = ("sign", "size")

    def __init__(self, sign: int) -> None:
        self.sign, self.size = sign, 3


class OneSlot:
    """Holds its number in one slot, named by a text."""

    __slots__ = "sign"

    def __init__(self, sign: int) -> None:
        self.sign = sign


@pytest.mark.parametrize("kind", [Slotted, OneSlot])
def test_what_stands_in_slots_describes_a_model(kind):
    assert with_attribute(kind(1)) == with_attribute(kind(1)) != with_attribute(kind(-1))


def test_an_array_inside_of_a_tuple_counts_by_all_its_numbers():
    array, other = np.zeros(2000), np.zeros(2000)
    other[1000] = 1  # where its repr shows three dots
    assert repr((1, array)) == repr((1, other))
    assert with_attribute((1, array)) == with_attribute((1, array.copy())) != with_attribute((1, other))


class Watching(nn.Module):
    """Leads back to itself in the ways in which users' models do."""

    def __init__(self, way: str, sign: float = 1.0) -> None:
        super().__init__()
        self.first, self.sign = nn.Flatten(), [sign]
        if way == "method":
            self.first.register_forward_hook(self.watch)
        elif way == "closure":
            self.first.register_forward_hook(lambda module, given, out: self.watch(module, given, out))
        elif way == "list":
            self.all = [self]
        elif way == "owner":
            self.first.register_forward_hook(types.SimpleNamespace(network=self, hook=lambda *_: None).hook)
            self.first.owner = types.SimpleNamespace(network=self)
        elif way == "forward":
            self.forward = types.MethodType(type(self).forward, self)

    def watch(self, module, given, out) -> None:
        self.seen = out.detach()

    def forward(self, x):
        return self.sign[0] * self.first(x)[:, :3]


@pytest.mark.parametrize("way", ["method", "closure", "list", "owner", "forward"])
def test_a_model_that_leads_back_to_itself_is_described(way, kept):
    images = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1))
    targets = (images.flatten(1)[:, :3].argmax(1) + 1) % 3
    model, again, other = (Watching(way, sign).eval() for sign in (1.0, 1.0, -1.0))
    assert description.described(model) == description.described(again) != description.described(other)
    found = runs.attack(model, images, targets)
    assert torch.equal(model(found.images).argmax(1), targets) and bool(found.success.all())
    same(runs.attack(again, images, targets), found)
    assert len(list((kept / "runs").iterdir())) == 1


def test_deep_and_shared_values_are_described_at_once():
    def tower(last: int) -> list:
        value = [last]
        for _ in range(60):  # two ways at each of 60 forks; quotes in quotes would double at each
            value = [value, value]
        return value

    assert with_attribute(tower(1)) == with_attribute(tower(1)) != with_attribute(tower(2))
    assert len(description.contents(tower(1))) <= description.LONGEST
    assert description.contents("x" * 10**6) != description.contents("x" * 10**6 + "y")


def test_functions_of_other_packages_are_not_followed_to_their_ends():
    from sklearn.metrics import accuracy_score, f1_score

    ours = lambda x: accuracy_score(x, x)  # noqa: E731 - what it names is looked up when it is described
    assert with_attribute(ours) == with_attribute(ours)
    assert with_attribute(accuracy_score) == with_attribute(accuracy_score) != with_attribute(f1_score)


class Unwilling:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("not today")


def test_objects_of_other_packages_count_by_what_they_are_made_from():
    long, other = pd.Series(range(2000)), pd.Series([*range(1000), 0, *range(1001, 2000)])
    assert repr(long) == repr(other)
    for one, two in ((long, other), (Fraction(1, 3), Fraction(2, 3)), (re.compile("a"), re.compile("b"))):
        first = with_attribute(one)
        assert first == with_attribute(one) == with_attribute(copy.deepcopy(one)) != with_attribute(two)
    assert with_attribute(Unwilling()) == with_attribute(Unwilling())


@pytest.mark.parametrize("how", ["list", "dict", "array", "private", "closure", "partial", "deep", "hook", "buffer"])
def test_what_was_kept_for_another_model_is_not_returned(how, kept):
    one, other = variants(how)
    images = torch.rand(8, 2, 3, generator=torch.Generator().manual_seed(1))
    targets = (one(images).argmax(1) + 1) % 3
    runs.attack(one, images, targets)
    found = runs.attack(other, images, targets)
    assert torch.equal(other(found.images).argmax(1) == targets, found.success)
    same(found, minimum_distortion(other, images, targets, chunk=66_666))
    assert len(list((kept / "runs").iterdir())) == 2  # and neither overwrites the other


@pytest.mark.parametrize("how", ["hook", "forward"])
def test_what_a_forward_pass_writes_does_not_end_a_run(how, kept):
    """Features that hooks keep, in a dict that copies of the model share, and what the model keeps on itself."""
    feats = {}

    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Flatten(), nn.Linear(6, 3, bias=False))
            self.calls = 0

        def forward(self, x):
            h = self.inner(x)
            if how == "forward":
                self.calls, self.last = self.calls + 1, h
            return h

    torch.manual_seed(3)
    model, images = Keeps().eval(), torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
    if how == "hook":
        model.inner[1].register_forward_hook(lambda module, given, out: feats.__setitem__("a", out.detach()))
    targets = (model(images).argmax(1) + 1) % 3
    run = runs.Run(model, images, targets, chunk=2)
    model(images[1:])
    assert run.finish() == [0, 1]
    model(images)
    assert run.finish() == []
    same(run.collect(), minimum_distortion(model, images, targets, chunk=2))
    with torch.no_grad():
        model.inner[1].weight.mul_(1.5)
    with pytest.raises(ValueError, match="got a model that has changed"):
        run.finish()


def test_a_kept_chunk_is_tried_on_the_model(problem, kept):
    model, images, targets = problem
    runs.attack(lambda x: model(x), images, targets, name="f")
    with pytest.warns(UserWarning, match=r"cannot be used \(the model gives other logits .*\) and is made anew"):
        found = runs.attack(lambda x: -model(x), images, targets, name="f")  # the same name: no key can know
    assert torch.equal((-model(found.images)).argmax(1) == targets, found.success)
    same(runs.attack(lambda x: -model(x), images, targets, name="f"), found)


def test_a_model_or_images_that_change_under_a_run_are_noticed(problem):
    model, images, targets = problem
    run = runs.Run(model, images, targets, chunk=4)
    with torch.no_grad():
        model.first.mul_(1.5)
    with pytest.raises(ValueError, match="got a model that has changed since the run was made"):
        run.finish()
    run = runs.Run(model, images, targets, chunk=4)
    images.mul_(0.5)
    with pytest.raises(ValueError, match="got images or targets that were changed in place"):
        run.finish()


def test_images_that_change_before_they_are_collected_are_noticed(problem):
    run = runs.Run(*problem, chunk=4)
    problem[1].mul_(0.5)
    with pytest.raises(ValueError, match="changed in place"):
        run.collect()


def test_a_model_that_changes_before_its_chunks_are_collected_is_noticed(problem):
    run = runs.Run(*problem, chunk=4)
    with torch.no_grad():
        problem[0].first.mul_(1.5)
    with pytest.raises(ValueError, match="got a model that has changed"):
        run.collect()


def test_another_precision_is_another_model(kept):
    torch.manual_seed(0)
    model, images = torch.nn.Linear(6, 3).eval(), torch.rand(4, 6)
    targets = (model(images).argmax(1) + 1) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        runs.attack(model, images, targets)
    same(runs.attack(model, images, targets), minimum_distortion(model, images, targets, chunk=66_666))
    assert len(list((kept / "runs").iterdir())) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_coarse_model_that_is_another_one_is_told_by_its_answers(dtype):
    torch.manual_seed(0)
    model, images = torch.nn.Linear(6, 3).to(dtype).eval(), torch.rand(4, 6)
    shift = torch.tensor([0.05, 0.0, 0.0], dtype=dtype)  # a twentieth of the spread of the logits
    one, other = (lambda x: model(x.to(dtype)), lambda x: model(x.to(dtype)) + shift)
    targets = (one(images).argmax(1) + 1) % 3
    runs.attack(one, images, targets, name="f")
    with pytest.warns(UserWarning, match="made anew"):
        found = runs.attack(other, images, targets, name="f")
    same(found, minimum_distortion(other, images, targets, chunk=66_666))


def test_settings_that_stand_for_the_same_numbers_make_the_same_key(problem):
    usual = runs.Run(*problem, chunk=4, refine=True, margin=2.0**-14, max_iterations=50)
    same_settings = {
        "refine": np.bool_(True),
        "margin": np.float32(2.0**-14),
        "max_iterations": np.int64(50),
        "chunk": np.int64(4),
    }
    for bounds in (np.array([0.0, 1.0]), torch.tensor([0.0, 1.0]), range(2)):
        assert runs.Run(*problem, bounds=bounds, **same_settings).key == usual.key


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "gpu"}, ValueError, "got device 'gpu' .*; expected"),
        ({"device": ""}, ValueError, "got device '' .*; expected"),
        ({"refine": "yes"}, TypeError, "got refine 'yes'; expected True or False"),
        ({"progress": 3}, TypeError, "got progress 3; expected the title"),
        ({"folder": 123}, TypeError, "got folder of type int; expected a path"),
        ({"folder": "a\0b"}, ValueError, "which is no path here"),
        ({"folder": __file__}, ValueError, "which is a file; expected a folder"),
    ],
)
def test_options_that_are_none_are_refused_in_a_sentence(problem, options, error, message):
    with pytest.raises(error, match=message):
        runs.attack(*problem, **options)


def test_a_bar_needs_no_title(problem):
    same(runs.attack(*problem, progress=True), minimum_distortion(*problem, chunk=66_666, progress=True))


def test_a_folder_in_place_of_the_key_is_said(problem, tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OSError, match=r"run.json cannot be read .*; expected the key of a run; delete it"):
        runs.Run(*problem, folder=tmp_path)


def test_a_run_under_inference_mode(problem):
    right = minimum_distortion(*problem, chunk=4)
    with torch.inference_mode():
        same(runs.attack(*problem, chunk=4), right)
        same(runs.attack(*problem, chunk=4), right)


@pytest.mark.parametrize("how", ["rows", "field", "distortion"])
def test_a_chunk_that_is_no_result_for_its_images_is_made_anew(problem, how):
    run = runs.Run(*problem, chunk=4)
    run.finish()
    whole, path, text = run.collect(), run.path(1), run._text(1)
    tensors, about = files.read(path, text)
    if how == "rows":
        tensors = {name: value[:3] for name, value in tensors.items()}
    elif how == "field":
        tensors["evaluations"] = tensors["evaluations"][:1]
    else:
        tensors["rms"] = tensors["rms"] / 2
    files.keep(path, text, tensors, about)
    with pytest.warns(UserWarning, match="made anew"):
        same(runs.Run(*problem, chunk=4).collect(), whole)


def test_graphs_of_layers_are_described_by_their_code():
    def network(seed: int, last: torch.nn.Module) -> torch.nn.Module:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3), last).eval()

    def traced(seed: int, last: torch.nn.Module) -> dict[str, str]:
        return description.described(torch.fx.symbolic_trace(network(seed, last)))

    assert traced(0, torch.nn.ReLU()) == traced(0, torch.nn.ReLU())
    assert traced(0, torch.nn.ReLU()) != traced(1, torch.nn.ReLU())
    assert traced(0, torch.nn.ReLU()) != traced(0, torch.nn.Tanh())

    class Doubled(torch.nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * x

    one, other = (description.described(torch.fx.symbolic_trace(Doubled(factor).eval())) for factor in (2.0, 3.0))
    assert one != other
    plain, compiled = network(0, torch.nn.ReLU()), network(0, torch.nn.ReLU())
    compiled.compile(backend="eager")
    assert description.described(plain) == description.described(compiled)


class Link:
    """One of a chain."""


def test_values_deep_within_each_other_end():
    first = deep = Link()
    for _ in range(2000):
        deep.next = Link()
        deep = deep.next
    nested = functools.reduce(lambda inner, _: [inner], range(1500), 1)
    for value in (first, nested):
        assert with_attribute(value) == with_attribute(value) != with_attribute(None)
