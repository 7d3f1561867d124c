"""The bookkeeping of the benchmarks on toy attacks. Nothing here depends on how long anything takes."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import attacks
import floor
import growth
import harness
import large
import peers
import penalty
import photographs
import references

from intriguing.attack import refinement
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.oracles import exact_linear_distortion
from intriguing.models import recipes


def toy_case(count: int = 4) -> harness.Case:
    """An untrained linear network, random images, and each image's starting point in the corner of its target."""
    generator = torch.Generator().manual_seed(1)
    model = recipes.build("FC10(1e-4)").eval().requires_grad_(False)
    images = torch.rand(count, 1, 28, 28, generator=generator)
    targets = (model(images).argmax(1) + 1) % 10
    starts = (model[1].weight[targets] > 0).float().view(images.shape)
    return harness.Case("FC10(1e-4)", model, images, targets, starts)


def test_a_case_survives_the_way_to_another_process(tmp_path):
    case = toy_case()
    case.save(tmp_path / "case.safetensors")
    loaded = harness.Case.load(tmp_path / "case.safetensors", recipes.build)
    assert loaded.name == case.name
    assert not loaded.model.training
    assert torch.equal(loaded.model(case.images), case.model(case.images))
    for field in ("images", "targets", "starts"):
        assert torch.equal(getattr(loaded, field), getattr(case, field))


def test_measure_counts_passes_calls_and_the_yardstick():
    case = toy_case()
    counted, seen = harness.Counted(case.model), []

    def attack(images, targets, starts):
        seen.append(len(images))
        for _ in range(3):
            counted(images)
        return starts

    measured = harness.measure(attack, counted, case, 4, yardstick=lambda x, t, s: s, repeats=2, budget=math.inf)
    assert seen == [2, 4, 4]  # the first call is not timed
    assert measured.passes == 3
    assert len(measured.cpu) == len(measured.wall) == len(measured.yardstick) == 2
    assert torch.equal(measured.found, case.starts)


def test_no_call_is_begun_after_the_budget():
    case = toy_case()
    measured = harness.measure(lambda x, t, s: s, harness.Counted(case.model), case, 4, repeats=5, budget=-1.0)
    assert len(measured.cpu) == 1
    assert measured.time_ratio is None


def test_seconds_are_those_of_the_fastest_call_per_image():
    measured = harness.Measured(torch.zeros(4, 1), [8.0, 2.0], [9.0, 3.0], 1.0, [4.0, 5.0])
    assert measured.seconds == 0.5
    assert measured.time_ratio == 0.5


def test_an_attack_that_changes_the_shape_is_told():
    case = toy_case()
    with pytest.raises(ValueError, match="got images of shape"):
        harness.measure(lambda x, t, s: s.flatten(1), harness.Counted(case.model), case, 4)


def test_an_attack_cannot_spoil_the_images_of_the_next():
    case = toy_case()
    before = case.images.clone()
    harness.measure(lambda x, t, s: x.zero_(), harness.Counted(case.model), case, 4, repeats=1)
    assert torch.equal(case.images, before)


def test_copies_of_a_model_share_its_count():
    counted = harness.Counted(toy_case().model)
    copy.deepcopy(counted).double()(torch.zeros(5, 1, 28, 28, dtype=torch.float64))
    assert counted.tally.images == 5


def test_the_judge_believes_nothing():
    case = toy_case()
    double = recipes.build("FC10(1e-4)").double()
    double.load_state_dict(case.model.state_dict())
    found = case.starts.clone()
    found[1] = case.images[1]  # unchanged: not the target
    found[2, 0, 0, 0] = math.nan
    found[3, 0, 0, 0] = 1.01  # outside the box
    verdict = harness.judge(case, double, found)
    assert verdict.success32.tolist() == verdict.success64.tolist() == [True, False, False, False]
    summary = verdict.summary(verdict.rms / 2)
    assert summary["success_float32"] == 0.25
    assert summary["rms"] == pytest.approx(float(verdict.rms[0]))
    assert summary["ratio"] == pytest.approx(2)


def test_a_tie_with_another_class_is_no_success():
    class Tied(nn.Module):
        def forward(self, x):
            return x.new_zeros(len(x), 3)

    case = harness.Case("tied", Tied(), torch.zeros(1, 1, 2, 2), torch.tensor([0]), torch.zeros(1, 1, 2, 2))
    verdict = harness.judge(case, Tied(), case.images)
    assert not verdict.success32.any()
    assert verdict.summary(torch.ones(1, dtype=torch.float64))["ratio"] is None


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Traceback\nImportError: no 'x' (/home/a/lib/b.py)\n\n", 1, "ImportError: no 'x' (b.py)"),
        ("", 3, "exit status 3"),
        ("anything", -9, "killed by signal 9"),
        ("", None, "stopped: it took too long"),
    ],
)
def test_a_failure_is_told_in_one_line_without_folders(text, code, expected):
    assert harness.reason(text, code) == expected


def test_json_is_rounded_and_finite(tmp_path):
    path = tmp_path / "deep" / "result.json"
    harness.write_json(path, {"a": 1 / 3, "b": [math.nan, 2], "c": {"d": math.inf, "e": "text"}})
    assert json.loads(path.read_text()) == {"a": 0.333333, "b": [None, 2], "c": {"d": None, "e": "text"}}
    assert [entry.name for entry in path.parent.iterdir()] == ["result.json"]


def test_the_table_aligns_and_shows_what_is_missing():
    lines = harness.render(["name", "value"], [["a", 1.23456], ["longer", None]]).splitlines()
    assert lines == ["name    value", "-------------", "a       1.235", "longer      -"]


def test_a_failed_method_keeps_a_row_with_its_reason(tmp_path, monkeypatch):
    case = toy_case()
    toy = {
        "good": attacks.Method("good", "none", lambda model: lambda x, t, s: s),
        "bad": attacks.Method("bad", "none", lambda model: None),
    }
    monkeypatch.setattr(peers, "METHODS", toy)
    monkeypatch.setattr(peers, "YARDSTICK", "good")
    case.save(tmp_path / "case-0.safetensors")
    (tmp_path / "plan.json").write_text(json.dumps({"sizes": {"small": 3, "large": 4}, "cases": 1}))
    peers.work("good", tmp_path)
    sizes = {"small": 3, "large": 4}
    rows, reference = peers.judge_case(case, 0, tmp_path, list(toy), sizes, {"good": "", "bad": "ImportError: gone"})
    assert [row["key"] for row in rows] == ["good", "bad"]
    good, bad = rows
    assert good["batch"] == 3 and good["success_float32"] == 1 and good["ratio"] > 1 and good["time_ratio"] == 1
    assert bad["failed"] == "ImportError: gone"
    assert reference["largest_relative_duality_gap"] < 1e-6
    assert "bad: ImportError: gone" in peers.table({"references": [reference], "rows": rows})


def test_a_process_that_dies_is_told(tmp_path, monkeypatch):
    class Done:
        returncode, stderr = -11, ""

    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: Done())
    assert peers.run_worker("ddn-100", tmp_path, Path(sys.executable), 1.0) == "killed by signal 11"

    def late(*args, **kwargs):
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(subprocess, "run", late)
    assert peers.run_worker("ddn-100", tmp_path, Path(sys.executable), 1.0) == "stopped: it took too long"


def test_the_batched_exact_reference_is_that_of_one_image():
    case = toy_case()
    assert references.is_linear(case.model)
    assert not references.is_linear(recipes.build("FC100-100-10"))
    rms, gap = references.exact(case)
    (layer,) = recipes.weight_layers(case.model)
    one = exact_linear_distortion(layer.weight, layer.bias, case.images[0], int(case.targets[0]))
    assert float(rms[0]) == pytest.approx(one.rms, rel=1e-6)
    assert gap < 1e-6


def test_the_best_known_reaches_the_exact_one_where_there_is_one():
    case = toy_case()
    rms, _ = references.exact(case)
    assert references.best_known(case).tolist() == pytest.approx(rms.tolist(), rel=5e-4, abs=1e-6)


def test_starting_images_are_taken_for_the_target():
    case = toy_case()
    starts = references.starting_images(case.model, case.images, case.targets, case.starts)
    assert bool((harness.lead(case.model, starts, case.targets) > 0).all())


def test_sizes_are_capped_by_the_data_and_growth_is_relative_to_the_smallest():
    assert growth.usable([1000, 4000, 16000, 60000], 4000) == [1000, 4000]
    rows = [{"model": "a", "images": 10, "seconds": 10.0}, {"model": "a", "images": 40, "seconds": 60.0}]
    assert [row["growth"] for row in growth.with_growth(rows)] == [1.0, 1.5]


def test_a_nested_span_counts_once(monkeypatch):
    ticks = iter([0.0, 1.0, 4.0, 10.0])  # outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr(floor.time, "perf_counter", lambda: next(ticks))
    clock = floor.Clock()
    with clock.span("outer"), clock.span("inner"):
        pass
    assert dict(clock.seconds) == {"inner": 3.0, "outer": 7.0}


def test_the_split_of_the_time_is_whole():
    case = toy_case()
    parts = floor.split(case.model, case.images, case.targets, refine=True)
    names = ("forward", "backward", "direction", "projection", "rest")
    assert sum(parts[name] for name in names) == pytest.approx(1)
    assert parts["above_floor"] >= 1


def test_every_projection_and_each_of_its_steps_is_counted(monkeypatch):
    case = toy_case()
    solved = minimum_distortion(case.model, case.images, case.targets, refine=True)
    made = floor.projections(case.model, case.images, case.targets, refine=True)
    size = (refinement.RIVALS, case.images[0].numel())
    assert all(one.shape[1:] == size and one.dtype == case.images.dtype for one in made)
    assert made[0].shape[0] == made[0].steps[0] == len(case.images)
    assert all(one.shape[0] >= one.steps[0] >= one.steps[-1] > 0 for one in made if one.steps)
    # One backward pass per rival and projection, but for an image's last one, which has the gradients of that before.
    passes = sum(one.shape[0] * one.shape[1] for one in made) - len(case.images) * refinement.RIVALS
    assert 0 < passes < int(solved.evaluations.sum())
    monkeypatch.setattr(floor, "_products", lambda one: float(one.shape[0]))
    assert floor.products(made) == sum(one.shape[0] for one in made)
    monkeypatch.undo()
    assert floor.products(made) > 0


def test_the_longest_operations_are_named(monkeypatch):
    case = toy_case()
    shares = floor.operations(case.model, case.images, case.targets, refine=True)
    assert len(shares) == floor.LONGEST and 0 < sum(shares.values()) < 1
    assert list(shares.values()) == sorted(shares.values(), reverse=True)

    spent = {f"{index} of {floor.LONGEST + 2}": float(index) for index in range(1, floor.LONGEST + 3)}
    events = [SimpleNamespace(key=name, self_cpu_time_total=each) for name, each in spent.items()]
    profiler = SimpleNamespace(key_averages=lambda: events)
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: nullcontext(profiler))
    shares = floor.operations(case.model, case.images, case.targets)
    assert shares == {name: each / sum(spent.values()) for name, each in reversed(spent.items()) if each > 2}


def test_photographs_are_read_attacked_and_measured(tmp_path, monkeypatch):
    (tmp_path / "val").mkdir()
    for i in range(3):
        Image.new(*(("L", (12, 12), 90 + i) if i else ("RGB", (12, 12), (90, 90, 90)))).save(
            tmp_path / "val" / f"{i}.jpeg"
        )  # one in colour, two grey
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(256, 12))
    with torch.no_grad():  # the ostrich comes second on grey pictures
        logits = network(torch.full((1, 3, 12, 12), 90 / 255))[0]
        network[3].bias[large.OSTRICH] += logits.max() - logits[large.OSTRICH] - 0.01
    monkeypatch.setattr(large, "Centred", lambda: network)
    row = large.one(tmp_path, 3, 2, "refine=True")
    assert row["images"] == 3 and row["shape"] == [3, 12, 12] and row["classes"] == 12
    assert row["success"] == 1 and row["rms"] > 0 and row["evaluations"] > 1
    assert set(large.COLUMNS) <= set(row)


def test_methods_on_networks_of_photographs_share_a_yardstick(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 12)).eval().requires_grad_(False)
    network[1].weight.mul_(0.1)
    network[1].bias[photographs.OSTRICH] += 0.5
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    case = harness.Case("small", network, images, torch.full((2,), photographs.OSTRICH), images)

    def missing(_):
        raise ImportError("No module named 'foolbox'")

    def moving(by):
        def build(model):
            def attack(images, targets, starts):
                model(images)
                return images + by * (0.5 - images)

            return attack

        return build

    toy = {
        photographs.YARDSTICK: attacks.Method("far", "torch", moving(0.5)),
        "near": attacks.Method("near", "no such package", moving(0.25), note="a note"),
        "absent": attacks.Method("absent", "foolbox", missing),
    }
    monkeypatch.setattr(photographs, "METHODS", toy)
    (far, near, absent), told = photographs.measured(case, list(toy), each=1)
    assert far["time_ratio"] == 1 and far["images_per_second"] == pytest.approx(1 / far["seconds"])
    assert near["success_float32"] == near["success_float64"] == 1 and near["note"] == "a note"
    assert near["ratio"] == 1 and far["ratio"] == pytest.approx(2) and far["rms"] == pytest.approx(2 * near["rms"])
    assert told == {"model": "small", "kind": "shortest that any method found", "mean": pytest.approx(near["rms"])}
    assert near["passes"] == 1 and near["batch"] == 2 and "version" in far and "version" not in near
    assert absent["failed"] == "ImportError: No module named 'foolbox'" and "seconds" not in absent
    assert set(photographs.COLUMNS) <= set(near)


def test_what_was_measured_before_stays_while_the_walk_is_the_same(tmp_path):
    file = tmp_path / "photographs.json"
    assert photographs.measured_before(file, []) == ([], [])
    rows = [{"model": "deep"}, {"model": "deeper"}]
    engine = photographs.fingerprint.of(photographs.walk, photographs.onward)
    stored = {"meta": {"engine": engine}, "rows": rows, "references": rows}
    file.write_text(json.dumps(stored))
    assert photographs.measured_before(file, ["deeper"]) == (rows[:1], rows[:1])
    file.write_text(json.dumps(stored | {"meta": {"engine": "another"}}))
    assert photographs.measured_before(file, ["deeper"]) == ([], [])


def test_rows_of_several_runs_stand_in_the_order_of_the_networks():
    rows = [{"model": name, "key": key} for name in ("gone", "deep", "flat") for key in ("b", "a")]
    ordered = photographs.in_order(rows, ["flat", "deep", "absent"])
    assert [row["model"] + row["key"] for row in ordered] == ["flatb", "flata", "deepb", "deepa", "goneb", "gonea"]


def test_memory_is_measured_anew_for_each_method():
    known = photographs.forget_peak()
    if not known:
        assert photographs.peak(False) > 1
        return
    before = photographs.peak(True)
    big = torch.ones(64 * 2**20 // 4)
    assert photographs.peak(True) > before + 50
    del big
    photographs.forget_peak()
    assert photographs.peak(True) < before + 30


def test_the_walk_is_one_of_the_methods():
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 12)).eval().requires_grad_(False)
    network[1].bias[photographs.OSTRICH] = 50
    images = torch.rand(2, 3, 4, 4)
    for key in ("walk", "walk-onward"):
        walk = attacks.METHODS[key].build(network)
        assert torch.equal(walk(images, torch.full((2,), photographs.OSTRICH), images), images)  # an ostrich already


def test_a_row_of_the_walk_goes_onward():
    torch.manual_seed(0)
    network = harness.Counted(nn.Sequential(nn.Flatten(), nn.Linear(48, 12))).eval().requires_grad_(False)
    images, targets = 0.4 + 0.2 * torch.rand(3, 3, 4, 4), torch.tensor([0, 5, 9])
    lengths, passes = [], []
    for key in ("walk", "walk-onward"):
        before = network.tally.images
        found = attacks.METHODS[key].build(network)(images, targets, images)
        assert torch.equal(network(found).argmax(1), targets)
        passes.append(network.tally.images - before)
        lengths.append((found - images).flatten(1).norm(dim=1))
    assert passes[1] >= passes[0] + 25 * 3 and bool((lengths[1] <= lengths[0]).all())


def test_penalty_and_walk_are_held_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 12)).eval().requires_grad_(False)
    images = 0.4 + 0.2 * torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    rows = penalty.compared(network, images, ["a", "b"])
    assert [row["file"] for row in rows] == ["a", "b"] and set(rows[0]) == set(penalty.COLUMNS)
    for row in rows:
        assert row["success"] == 1 and row["ratio"] == row["penalty"] / row["walk"]
        assert 0.95 < row["ratio"] < 1.3  # neither is exact: the walk to a few hundredths on so small a network
