"""The chapter on the minimum: tables and claims from measurements that were made up for the purpose."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack import refinement
from intriguing.attack.distortion import minimum_distortion
from intriguing.book import fingerprint
from intriguing.chapters import minimum
from intriguing.data import Images
from intriguing.models.recipes import build

NETS = ("one", "two")


def method(model: str, key: str, **changed) -> dict:
    row = {
        "model": model,
        "key": key,
        "method": f"ours, {key}" if key in ("refined", "penalty", "penalty-plain") else key,
        "batch": 10,
        "seconds": 0.001,
        "time_ratio": 1.0,
        "passes": 5.0,
        "success_float32": 1.0,
        "success_float64": 1.0,
        "rms": 0.05,
        "ratio": 1.0,
    }
    return row | changed


def graphics() -> dict:
    row = {"model": "one", "images": 2000, "success": 1.0, "rms": 0.05, "above_floor": 5.0}
    rows = [
        row | {"method": "penalty method", "images_per_second": 1500.0},
        row | {"method": "refined", "images_per_second": 6000.0, "rms_float64": 0.049, "success_float64": 1.0},
    ]
    hardware = {"gpu": "a card", "gpu_memory_gib": 79.2, "cuda": "13", "torch": "9", "cpu": "a host", "cores": 16}
    checks = [
        {"check": "box", "says": "It ends there.", "passed": True},
        {"check": "grid", "says": "It is the same.", "passed": False, "problem": ["got 1", "expected 2"]},
    ]
    parts = {"speed": {"seconds": 2.0}, "peers": {"not_run": "no time"}}
    meta = {"created": "2026-11-26T14:57", "hardware": hardware, "data": "MNIST"}
    return {"meta": meta, "speed": rows, "checks": checks, "parts": parts}


def walks() -> dict:
    """Two networks on which the walk and its way onward end lowest of all that succeed on every image."""
    rows = []
    for name in ("three", "four"):
        row = {"package": "foolbox", "images_per_second": 0.125, "peak_mib": 1000.4, "rms": 0.002}
        row |= {"passes": 101.0, "batch": 4}
        rows += [
            method(name, "ddn-100", **row, ratio=1.1),
            method(name, "walk", **(row | {"package": "intriguing", "rms": 0.002}), ratio=1.02, time_ratio=1.0),
            method(name, "walk-onward", **(row | {"package": "intriguing", "rms": 0.0018}), time_ratio=1.25),
            method(name, "fmn", **(row | {"rms": 0.001}), success_float64=0.75),
            method(name, "refined", **(row | {"package": "intriguing", "rms": 0.0017})),
        ]
    rows.append({"model": "four", "key": "alma-100", "method": "ALMA", "package": "adv-lib", "failed": "no such"})
    meta = {"created": "2026-11-26T17:00", "hardware": {"cpu": "a processor", "cores": 2}, "load": 3.2}
    meta |= {"images": 4, "data": "photographs", "digits": "MNIST, 9 test images"}
    return {"meta": meta, "rows": rows}


@pytest.fixture
def measured() -> minimum.Measured:
    """Measurements of two networks from which every claim follows."""
    meta = {"engine": fingerprint.of(minimum_distortion)}
    rows = []
    for name in NETS:
        rows += [
            method(name, "refined"),
            method(name, "refined", batch=20),
            method(name, "penalty-plain", ratio=1.01),
            method(name, "penalty", ratio=1.024),
            method(name, "lbfgs-advertorch", seconds=0.1, ratio=1.037),
            method(name, "brendel-bethge-200", seconds=0.1, ratio=0.9999, rms=0.0499, success_float64=0.9),
            method(name, "cw-foolbox", seconds=0.1, ratio=1.003, passes=7000),
            method(name, "cw-cleverhans", seconds=0.1, ratio=1.004, passes=5000),
            method(name, "cw-art", seconds=0.1, ratio=2.0, success_float32=0.85),
            method(name, "cw-torchattacks", seconds=0.1, ratio=2.0, success_float32=0.8),
            method(name, "scipy", batch=1, seconds=0.11, ratio=1.02),
        ]
    grown = [
        {"model": name, "images": count, "seconds": 1.0, "seconds_per_image": each, "growth": 1.0, "peak_mib": 500.0}
        | {"success": 1.0}
        for name in NETS
        for count, each in ((1000, 0.01), (4000, 0.02), (60000, 0.024))
    ]
    machine = {"cpu": "a processor", "threads": 1, "cores": 2}
    story = {"created": "2026-11-21T15:53", "hardware": machine, "versions": {"torch": "9"}, "data": "MNIST"}
    part = {"model": "one", "method": "refined", "images": 9, "seconds_per_image": 0.002, "forward": 0.25}
    large = {"method": "refine=True", "images": 2, "classes": 1000, "seconds_per_image": 8.4, "mib_per_image": 180.2}
    large |= {"success": 1.0, "rms": 0.00095, "evaluations": 183.0}
    slow = large | {"method": "penalty method", "seconds_per_image": 84.0, "evaluations": 366.0, "rms": 0.00096}
    return minimum.Measured(
        peers={
            "meta": meta | story | {"small": 10, "large": 20},
            "references": [{"model": "one", "kind": "optimum"}, {"model": "two", "kind": "best known"}],
            "rows": rows,
        },
        floor={"meta": meta, "rows": [part | {"above_floor": 3.0, "operations": {}, "products_above_floor": 2.0}]},
        growth={"meta": meta, "rows": grown},
        large={"meta": meta, "rows": [slow, large]},
        gpu=graphics(),
        deep=walks(),
    )


def network() -> nn.Module:
    return build("FC10(1)", seed=1).eval().requires_grad_(False)


@pytest.fixture
def found() -> tuple[dict, dict, torch.Tensor]:
    """Both searches for three images on one network, with the network and the targets."""
    model = network()
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    targets = (model(images).argmax(1) + 1) % 10
    searches = [minimum_distortion(model, images, targets, refine=refine) for refine in (False, True)]
    return {"one": searches}, {"one": model}, targets


def test_measurements_are_read_by_name(measured):
    assert measured.kinds == {"one": "optimum", "two": "best known"}
    assert measured.methods.query("key == 'brendel-bethge-200'")["success"].tolist() == [0.9, 0.9]
    assert len(measured.methods) == 22 and len(measured.small) == 20
    assert measured.grown.loc[("one", 4000), "ms per image"] == pytest.approx(20)
    assert measured.grown.loc[("two", 60000), "peak memory, MiB"] == 500
    assert minimum.machine(measured) == (
        "Measured on 2026-11-21, a processor, 1 thread of 2 cores, torch 9, MNIST, batches of 10 and 20 images."
    )


def test_the_stored_measurements_are_complete():
    stored = minimum.measured()
    assert set(stored.kinds) == {"FC10(1e-4)", "FC100-100-10"} and {"refined", "scipy"} <= set(stored.methods["key"])
    assert {row["model"] for row in stored.gpu["speed"]} >= set(stored.kinds)
    assert stored.grown.index.get_level_values("images").max() == 60000 and len(stored.photographs) == 2


def test_three_tables_are_of_the_same_kind_of_computer_as_the_comparison():
    found = minimum.measured()
    parts = [part["meta"] for part in (found.peers, found.floor, found.growth, found.large)]
    assert all(meta["hardware"] == parts[0]["hardware"] for meta in parts)


def test_what_the_text_says_of_memory_chunks_and_projections_is_so_in_the_stored_measurements():
    found = minimum.measured()
    for row in found.growth["rows"]:
        more, images = row["peak_mib"] - row["before_mib"], row["images"] * 784 * 4 / 2**20  # in MiB
        assert more == 0 if row["images"] <= 16000 else 0 < more < 2 * images
    assert all(row["chunk"] == 2 for row in found.large["rows"])  # where the engine would have taken one at a time
    ends = found.walks.set_index(["model", "key"])["ratio"]
    assert ends["EfficientNet-Lite0", "refined"] > 1.2 * ends["EfficientNet-Lite0", "walk"]
    assert "walk" in ends["SqueezeNet 1.0"] and ends["SqueezeNet 1.0", "refined"] > ends["SqueezeNet 1.0", "walk"]


def test_what_the_text_says_of_the_walk_along_the_boundary_is_so_in_the_stored_measurements():
    rows = minimum.measured().small.set_index(["model", "key"])
    lower = {name: set(part.index[part < part["refined"]]) for name in ("FC10(1e-4)", "FC100-100-10")
             for part in [rows.loc[name, "ratio"]]}  # fmt: skip
    assert lower == {"FC10(1e-4)": {"brendel-bethge-200"}, "FC100-100-10": set()}
    walk = rows.xs("brendel-bethge-200", level="key")
    assert walk["success_float32"].min() == 1 and walk["success_float64"].max() < 1
    assert 1.0015 < walk.at["FC100-100-10", "ratio"] < 1.003 and rows.xs("refined", level="key")["ratio"].max() < 1.0005
    cheaper = {name: set(part.index[part < part["refined"]]) for name in ("FC10(1e-4)", "FC100-100-10")
               for part in [rows.loc[name, "time_ratio"]]}  # fmt: skip
    assert cheaper == {"FC10(1e-4)": set(), "FC100-100-10": {"walk", "pdgd-100"}}


def test_what_the_text_says_of_a_thousand_images_is_so_in_the_stored_measurements():
    each = minimum.measured().grown["ms per image"]
    assert 1.03 < each["FC10(1e-4)", 4000] / each["FC10(1e-4)", 1000] < 1.25
    assert 1.15 < each["FC100-100-10", 4000] / each["FC100-100-10", 1000] < 1.25


def test_the_first_line_looks_at_four_measurements_only(measured, found):
    searches, models, targets = found
    claim = "The code of the engine is the code that was timed"
    measured.deep["meta"]["engine"] = measured.gpu["meta"]["engine"] = "an earlier one"
    assert minimum.claims(measured, searches, models, targets)[claim]


def test_one_attack_with_a_margin_loss_ends_far_out_as_shipped():
    ends = minimum.measured().small.set_index("key")["ratio"]
    assert ends["fmn"].min() > 1.3 and ends["cw-foolbox"].max() < 1.005 and ends["cw-cleverhans"].max() < 1.005


def test_the_plane_shows_the_small_batch(measured):
    panels = minimum.panels(measured)
    assert list(panels) == ["one: the minimum is the optimum", "two: the minimum is the best known"]
    frame = panels["one: the minimum is the optimum"]
    assert set(frame["model"]) == {"one"} and len(frame) == 9
    assert frame["key"].iloc[[0, 3, -1]].tolist() == ["refined", "brendel-bethge-200", "scipy"]
    measured.peers["references"][1][minimum.ATTACKED] = 1
    assert list(minimum.panels(measured))[1] == "two: the minimum is the shortest any search found"


def test_no_number_of_the_plane_stands_on_another_point():
    near = {"seconds": [1.0, 1.0, 1.02, 1e3], "ratio": [1.01, 1.02, 1.012, 1.01], "success": 1.0}
    shown = minimum.plane({"panel": pd.DataFrame(near | {"method": ["ours", "a", "b", "c"]})}).axes[0]
    figure = shown.figure
    figure.draw_without_rendering()
    points = shown.transData.transform([(line.get_xdata()[0], line.get_ydata()[0]) for line in shown.lines])
    for number in shown.texts:
        box = number.get_window_extent()
        assert not any(box.contains(x, y) for x, y in points), number.get_text()


def test_tables_are_shown_in_their_units(measured):
    lines = minimum.methods(measured, "two").to_string(delimiter="|").splitlines()
    assert lines[0] == "method|batch|success|in float64|distortion / minimum|ms per image|time / DDN-100|passes"
    assert lines[6] == "brendel-bethge-200|10|100.00%|90.00%|0.99990|100.00|1.00|5" and len(lines) == 12
    assert minimum.parts(measured).to_string(delimiter="|").splitlines()[-1] == "one|refined|2.00|25%|3.00|2.00"
    assert minimum.growth(measured).to_string(delimiter="|").splitlines()[2] == "one|1000|1.0|10.00|1.00|500|100.00%"
    last = minimum.photographs(measured).to_string(delimiter="|").splitlines()[-1]
    assert last == "refine=True|2|1000|8|180|100.00%|0.000950|183"


def test_the_searches_are_set_beside_each_other(found):
    searches, models, _ = found
    penalty, nearest = searches["one"]
    row = minimum.table(searches, "noise").to_frame().loc["one"]
    assert row["penalty method"] == pytest.approx(float(penalty.rms.mean())) and row["success"] == 1
    assert row["ratio"] == pytest.approx(row["penalty method"] / row["projections"]) and row["ratio"] > 1
    assert set(minimum.TOLERANCES) == set(row.index)
    ratios = minimum.excess(searches)["one"]
    assert torch.equal(ratios, penalty.rms / nearest.rms)
    still = dataclasses.replace(nearest, rms=nearest.rms * torch.tensor([1, 0, 1]))
    assert torch.equal(minimum.excess({"one": [penalty, still]})["one"], ratios[[0, 2]])
    precise = minimum.double(models)["one"]
    assert precise[-1].weight.dtype == torch.float64 and models["one"][-1].weight.dtype == torch.float32
    assert torch.equal(precise[-1].weight.float(), models["one"][-1].weight)


def test_findings_take_their_numbers_from_the_table(measured):
    for row in measured.peers["rows"]:
        row["time_ratio"] = 12.0 if row["key"] == "brendel-bethge-200" else 1.0
    penalty, margin, walk, ours = minimum.findings(measured).splitlines()
    assert "On one and two our solver ends 2.4% and 2.4% above it, SciPy's loop 2.0% and 2.0%" in penalty
    assert "the package advertorch 3.7% and 3.7%." in penalty
    assert "0.30% and 0.30% above the minimum in foolbox and 0.40% and 0.40% in cleverhans" in margin
    assert "after 5,000 to 7,000 passes" in margin and "misses 15% to 20% of the targets" in margin
    assert "ends -0.010% and -0.010% above" in walk
    assert "10% do not in both precisions, and it takes 12 times as long" in walk  # by the yardstick
    assert "They end 0.000% and 0.000% above the minimum, after 5 passes and 1.00 of the time" in ours


def test_the_search_by_projections_is_called_cheapest_where_it_is(measured):
    def line() -> str:
        return minimum.findings(measured).splitlines()[3]

    assert "succeed on every image and cost least.*" in line() and line().endswith("the yardstick.")
    walks = [row for row in measured.peers["rows"] if row["key"] == "brendel-bethge-200"]
    walks[1].update(time_ratio=0.5, ratio=1.003)
    assert "succeed on every image, and on one cost least.*" in line()
    assert "Less time by the yardstick on two: " in line() and line().endswith("(0.50, 0.3% above the minimum).")
    walks[0]["time_ratio"] = 0.5
    assert "succeed on every image.*" in line()


def test_the_walk_is_called_lowest_where_it_is(measured):
    def title() -> str:
        return minimum.findings(measured).splitlines()[2].split("*")[2]

    assert title().endswith("ends lowest in the mean.")
    walks = [row for row in measured.peers["rows"] if row["key"] == "brendel-bethge-200"]
    walks[1]["ratio"] = 1.01
    assert title().endswith("ends lowest in the mean on one alone.")
    walks[0]["ratio"] = 1.01
    assert title().endswith("ends lowest in the mean, but for the projections.")


def test_a_graphics_processor_stands_beside_one_thread(measured):
    lines = minimum.graphics(measured).to_string(delimiter="|").splitlines()
    assert lines[-2] == "one|penalty method|1,500|–|100.00%|0.05000|–|5.0"
    assert lines[-1] == "refined|6,000|500|100.00%|0.05000|0.04900|5.0"
    told = minimum.graphics_line(measured)
    assert told.startswith(
        "Measured on 2026-11-26 on one a card (79 GiB, CUDA 13, torch 9, a host, 16 cores), MNIST, 2,000"
    )
    assert "1 of 2 checks passed" in told and "Not passed: *It is the same* (got 1 expected 2)." in told
    assert told.endswith("Not run there for want of time: peers.")


def test_deep_networks_are_told_by_what_was_measured(measured, monkeypatch):
    panels = minimum.deep_panels(measured)
    assert list(panels) == [f"{name}: above the shortest found" for name in ("three", "four")]
    assert [len(panel) for panel in panels.values()] == [5, 5]
    lines = minimum.deep(measured).to_string(delimiter="|").splitlines()
    assert lines[2] == "three|ddn-100|100.00%|1.1000|0.125|1.00|101|1,000" and "fmn|75.00%" in lines[5]
    told = minimum.deep_line(measured)
    assert told.startswith("Measured on 2026-11-26, a processor, one thread, in one process, method by method in turn")
    assert "while 3 threads shared 2 cores" in told
    assert "4 photographs, to become ostriches, and MNIST, 9 test images." in told
    assert "The walk takes 1.00 to 1.00 times as long as 100 steps of DDN, and 1.25 to 1.25 times with" in told
    assert "take 10.0% to 10.0% off its length." in told
    assert "On 2 of 2 networks it then ends lower than every peer" in told and "by at least 10.0% of" in told
    assert told.endswith("Not measured: ALMA on four (no such).")
    lead = minimum._lead(measured.walks)
    monkeypatch.setattr(minimum, "_lead", lambda rows: dict.fromkeys(lead, 0.98443))
    assert "by at least 1.5% of" in minimum.deep_line(measured)
    monkeypatch.undo()
    about = {"created": "2026-11-27T01:00", "load": 1.1}, {"created": "2026-11-25T01:00", "load": 10.2}, {"load": 2.0}
    measured.deep["references"] = [{"created": "2026-11-26T01:00"} | entry for entry in about]
    told = minimum.deep_line(measured)
    assert told.startswith("Measured on 2026-11-25 to 2026-11-27,") and "while 1 to 10 threads shared" in told
    measured.deep["rows"][3]["success_float64"] = 1.0
    told = minimum.deep_line(measured)
    assert "On three a peer that takes at most 1.5 times as long as that ends lower. On 1 of 2 networks" in told


def test_two_lengths_are_set_against_each_other_by_what_the_check_limits(measured):
    measured.gpu["checks"][1]["problem"] = [
        "AssertionError: Scalars are not close! (_comparison.py, line 1600)",
        "",
        "Expected 0.0125 but got 1.3e-02.",
        "Absolute difference: 0.0005 (up to 0 allowed)",
    ]
    assert "(expected 0.01250, got 0.01300, a difference of +4.0%)" in minimum.graphics_line(measured)


def test_two_photographs_are_called_two(measured):
    line = minimum.photographs_line(measured)
    assert line.startswith("On these 2 photographs") and "2.0 times as often" in line
    assert "10 times as long; its perturbations are 1.1% longer." in line


def test_means_over_three_populations(found):
    searches, models, _ = found
    nearest = dataclasses.replace(searches["one"][1], rms=torch.tensor([0.0, 0.1, 0.3]).double())
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = models["one"](images).argmax(1)
    labels[1] = (labels[1] + 1) % 10  # so the second image is misread, and moved all the same
    text = minimum.both_means({"one": [None, nearest]}, models, Images(images, labels, "noise"))
    assert text.splitlines()[-1] == "| one | 33.3% | 0.1333 | 0.2000 | 0.1500 |"


def test_claims_follow_from_the_measurements(measured, found):
    claims = minimum.claims(measured, *found)
    assert len(claims) == 16 and claims == dict.fromkeys(claims, True)


@pytest.mark.parametrize(
    ("claim", "part", "where", "changed"),
    [
        ("The code of the engine", "large", None, {"engine": "another"}),
        ("The search by projections ends", "peers", {"key": "refined"}, {"ratio": 1.002}),
        ("It succeeds on every image", "peers", {"key": "refined"}, {"success_float64": 0.99}),
        ("On 2,000 images it takes", "peers", {"key": "refined", "batch": 20}, {"time_ratio": 1.01}),
        ("No other method is cheaper", "peers", {"key": "cw-foolbox"}, {"time_ratio": 0.5}),
        ("In single precision a walk", "peers", {"key": "brendel-bethge-200"}, {"rms": 0.05}),
        ("In single precision a walk", "peers", {"key": "brendel-bethge-200"}, {"success_float32": 0.99}),
        ("In single precision a walk", "peers", {"key": "brendel-bethge-200"}, {"success_float64": 1.0}),
        ("Carlini and Wagner's attack comes", "peers", {"key": "cw-cleverhans"}, {"ratio": 1.005}),
        ("No other method that succeeds", "peers", {"key": "scipy"}, {"ratio": 0.9997}),
        ("A loop over images with SciPy", "peers", {"key": "scipy"}, {"seconds": 0.1}),
        ("Sixty thousand images", "growth", {"images": 60000}, {"peak_mib": 1908.0}),
        ("From 4,000 to 60,000 images", "growth", {"images": 60000}, {"seconds_per_image": 0.025}),
        ("On a graphics processor", "gpu", {"method": "refined"}, {"success_float64": 0.999}),
        ("On networks with convolutions the walk", "deep", {"key": "walk-onward"}, {"time_ratio": 1.51}),
        ("There it ends lower", "deep", {"key": "walk-onward"}, {"rms": 0.0021}),
        ("On photographs", "large", {"method": "refine=True"}, {"success": 0.5}),
    ],
)
def test_a_claim_fails_with_its_measurement(measured, found, claim, part, where, changed):
    content = getattr(measured, part)
    if where is None:
        content["meta"] = content["meta"] | changed
    else:
        row = next(row for row in content["speed" if part == "gpu" else "rows"] if where.items() <= row.items())
        row.update(changed)
    claims = minimum.claims(measured, *found)
    assert [sentence for sentence, holds in claims.items() if not holds] == [
        sentence for sentence in claims if sentence.startswith(claim)
    ]


def test_a_target_that_is_missed_is_seen(measured, found):
    searches, models, targets = found
    claims = minimum.claims(measured, searches, models, (targets + 1) % 10)
    assert [claim for claim, holds in claims.items() if not holds] == [
        "Here and now every image reaches its target in double precision"
    ]


def test_what_the_text_says_of_loads_and_evaluations_is_so_in_the_stored_measurements():
    found = minimum.measured()
    slow = {row["model"]: row["wall_seconds"] / row["seconds"] for row in found.deep["rows"] if row["key"] == "walk"}
    assert slow.pop("EfficientNet-Lite1") < 1.01 and min(slow.values()) > 1.2  # the others shared the cores
    # More evaluations than steps: each of the rivals counts.
    assert found.photographs.at["refine=True", "evaluations"] > 2 * refinement.STEPS
