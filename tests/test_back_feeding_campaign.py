"""The large comparison of back-feeding: what is tried, how it is chosen, and that the script runs to its end."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from intriguing.book import results
from intriguing.book.clock import Clock
from intriguing.chapters.back_feeding import campaign
from intriguing.chapters.back_feeding.bank import Plan
from intriguing.chapters.back_feeding.campaign import Entry, Pixels
from intriguing.chapters.back_feeding.examples import ACTIVATIONS

ROOT = Path(__file__).resolve().parent.parent


def pixels(count: int = 60) -> Pixels:
    generator = torch.Generator().manual_seed(0)
    return Pixels(torch.rand(count, 784, generator=generator), torch.randint(10, (count,), generator=generator))


def row(name: str, family: str, errors: list[float], **plan) -> dict:
    made = Plan(family if family in ("dose", "exit", "noise") else "none", **plan)
    entry = campaign.asdict(Entry(name, family, made))
    return json.loads(json.dumps({"activation": "ReLU", **entry, "errors": errors}))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_everything_tried_has_a_name_of_its_own_and_an_activation(activation: str) -> None:
    entries = campaign.selection(activation)
    assert len({entry.name for entry in entries}) == len({entry.plan for entry in entries}) == len(entries)
    assert {entry.plan.activation for entry in entries} == {activation}
    families = {entry.family for entry in entries}
    assert families == {*campaign.FED, *campaign.MAIN, *campaign.OTHERS}
    for entry in entries:
        assert any(entry.plan.dropout) == (entry.family in ("dropout", "both"))
        assert bool(entry.plan.pool) == (entry.family == "pools")
    for kind, sizes in (("dose", {0.5, 0.7, 1.0, 1.5, 2.0}), ("exit", {1.0, 1.5, 2.0})):
        assert sizes <= {entry.plan.size for entry in entries if entry.plan.kind == kind}


def test_what_was_tried_is_what_the_stored_run_tried() -> None:
    stored = results.measured("back_feeding")["selection"]
    for activation in ACTIVATIONS:
        names = {row["name"] for row in stored if row["activation"] == activation}
        assert names <= _names(activation)
        tried = [{name for name in known if "rate x" in name} for known in (names, _names(activation))]
        assert tried[0] == tried[1] and tried[0]


def _names(activation: str) -> set[str]:
    return {entry.name for entry in campaign.selection(activation)}


CHOSEN = [
    row("nothing", "nothing", [0.02, 0.02]),
    row("decay", "weight decay", [0.018, 0.018], decay=1e-5),
    row("dose 1", "dose", [0.013, 0.015], size=1.0),
    row("dose 2", "dose", [0.012, 0.014], size=2.0),
    row("exit", "exit", [0.019, 0.017], size=1.0),
    row("other exit", "exit", [0.019, 0.016], size=2.0),
    row("noise", "noise", [0.001, 0.001], size=2.0),
]


def test_the_best_is_that_of_the_smallest_mean_within_the_families() -> None:
    assert [one["name"] for one in campaign.best(CHOSEN, ("dose", "exit"), 3)] == ["dose 2", "dose 1", "other exit"]
    assert campaign.best(CHOSEN, ("virtual",)) == []


def test_a_row_read_back_is_the_entry_that_it_tells_of() -> None:
    for entry in campaign.selection("sigmoid"):
        told = json.loads(json.dumps(campaign.asdict(entry)))
        assert campaign.entry_of(told) == entry


def test_larger_doses_are_confirmed_beside_the_best() -> None:
    entries = campaign.to_confirm(CHOSEN)
    assert [entry.name for entry in entries[:4]] == ["dose 2", "dose 1", "other exit", "exit"]
    assert [entry.plan.size for entry in entries[4:]] == [3.0, 4.0]


def test_finalists_are_the_confirmed_best_and_a_rival_of_each_kind() -> None:
    confirmed = [row("dose 1", "dose", [0.011]), row("dose 2", "dose", [0.012]), row("exit", "exit", [0.013])]
    first, rest = campaign.finalists(CHOSEN, confirmed)
    assert [entry.name for entry in first] == ["dose 1", "dose 2", "decay", "noise"]
    assert [entry.name for entry in rest] == ["other exit", "nothing"]
    assert [entry.name for entry in campaign.finalists(CHOSEN, [])[0]][:2] == ["dose 2", "dose 1"]


def test_layers_are_compared_at_the_best_size_of_each() -> None:
    rows = [*CHOSEN, row("first 1", "dose", [0.02], size=1.0, layers=(1,))]
    rows += [row("first 2", "dose", [0.01], size=2.0, layers=(1,)), row("fast", "dose", [0.0], size=3.0, pace=2.0)]
    entries = {entry.name: entry for entry in campaign.of_layers(rows)}
    assert list(entries) == ["nothing", "input", "first hidden"]
    assert entries["input"].plan.size == 2.0
    assert entries["first hidden"].plan == Plan("dose", 2.0, (1,))


def test_the_longest_training_that_fits_is_taken() -> None:
    assert campaign.affordable(1.0, 1e9, 300) == 300
    assert campaign.affordable(1.0, 1e9, 200) == 200
    assert campaign.affordable(0.5, 50.0, 300) == 100
    assert campaign.affordable(0.5, 49.9, 300) == 80
    assert campaign.affordable(1.0, 0.9, 300) == 0
    assert list(campaign.EPOCHS) == sorted(campaign.EPOCHS, reverse=True)


ENTRIES = [
    Entry("nothing", "nothing", Plan(activation="sigmoid")),
    Entry("dose", "dose", Plan("dose", 1.0)),
    Entry("exit", "exit", Plan("exit", 1.0, activation="sigmoid")),
]


def test_a_run_tells_of_every_entry_under_its_own_name() -> None:
    fitted, judged = pixels(), pixels(20)
    rows, misread, kept = campaign.run(ENTRIES, 3, 2, fitted, judged, Clock(5))
    assert [(one["activation"], one["name"]) for one in rows] == [
        ("ReLU", "dose"),
        ("sigmoid", "nothing"),
        ("sigmoid", "exit"),
    ]
    for one in rows:
        key = one["activation"], one["name"]
        assert misread[key].shape == (2, 20)
        assert one["errors"] == misread[key].double().mean(1).tolist()
        for seed in range(2):
            model = campaign.module(kept[key], seed, one["activation"])
            again = (model(judged.images).argmax(1) != judged.labels).double().mean()
            assert float(again) == pytest.approx(one["errors"][seed])
    alone, _, _ = campaign.run(ENTRIES[1:2], 3, 2, fitted, judged, Clock(5))
    assert alone[0]["errors"] == pytest.approx(rows[0]["errors"], abs=0.051)


def test_nothing_is_told_of_a_training_that_time_cut_short() -> None:
    assert campaign.run(ENTRIES, 3, 1, pixels(), pixels(20), Clock(0)) == ([], {}, {})


def test_contrasts_are_those_done_by_hand() -> None:
    one = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0]]).bool()  # errors 1/4 and 1/2
    other = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]).bool()  # 1/4 and 0
    found = campaign.contrasts({("ReLU", "a"): one, ("ReLU", "b"): other, ("sigmoid", "c"): one})
    assert len(found) == 1
    assert found[0]["gain"] == pytest.approx(1 / 8 - 3 / 8)
    assert found[0]["over seeds"] == pytest.approx((1 / 32 / 2 + 1 / 32 / 2) ** 0.5)
    assert found[0]["over images"] == pytest.approx(torch.tensor([-1.0, -0.5, 0.0, 0.5]).std().item() / 2)


def first_pixel() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A network whose logit 3 is the first pixel, and logit 5 a quarter."""
    weights = [(torch.zeros(1, 784, 100), torch.zeros(1, 1, 100)), (torch.eye(100)[None], torch.zeros(1, 1, 100))]
    weights.append((torch.zeros(1, 100, 10), torch.zeros(1, 1, 10)))
    weights[0][0][0, 0, 0] = weights[2][0][0, 0, 3] = 1.0
    weights[2][1][0, 0, 5] = 0.25
    return weights


def test_the_distance_of_a_linear_stretch_is_the_closed_form() -> None:
    images = torch.full((2, 784), 0.5)
    images[:, 0] = torch.tensor([0.75, 0.5])
    found = campaign.distances(first_pixel(), "ReLU", Pixels(images, torch.tensor([3, 3])))
    assert found == [pytest.approx((0.5 + 0.25) / 2, rel=1e-2)]


@pytest.mark.parametrize("steps", (1, 20))
@pytest.mark.parametrize(("length", "share"), ((0.24, 0.0), (0.26, 0.5), (0.49, 0.5), (0.51, 1.0)))
def test_steps_fool_whom_their_length_carries_over(steps, length, share) -> None:
    images = torch.full((2, 784), 0.5)
    images[:, 0] = torch.tensor([0.75, 0.5])
    pixels = Pixels(images, torch.tensor([3, 3]))
    assert campaign.fooled(first_pixel(), "ReLU", pixels, length, steps) == [share]


def test_images_are_moved_no_further_than_the_box() -> None:
    images, weights = torch.full((1, 784), 0.5), first_pixel()
    weights[2][0][0, 0] = 0.0
    weights[2][0][0, 0, 5] = 1.0
    weights[2][1][0, 0] = -9.0
    weights[2][1][0, 0, 3] = 0.0
    weights[2][1][0, 0, 5] = -1.25  # to be misread, the first pixel would have to be above 1.25
    assert campaign.fooled(weights, "ReLU", Pixels(images, torch.tensor([3])), 5.0, 20) == [0.0]


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict:
    """What the script writes when it is run small."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    output = tmp_path_factory.mktemp("back_feeding") / "back_feeding.json"
    output.write_text(json.dumps({"long": {"kept": 1}, "final": "not kept"}))
    script = importlib.import_module("back_feeding")
    assert script.main(["--device", "cpu", "--small", "--minutes", "15", "--output", str(output)]) == 0
    monkeypatch.undo()
    return json.loads(output.read_text())


def test_the_script_runs_every_part(content: dict) -> None:
    assert content["long"] == {"kept": 1}
    assert content["meta"]["hardware"]["device"] == "cpu"
    parts = ["checks", "speed", "selection", "selection, hidden layers", "confirmation"]
    parts += ["final", "final, others", "layers", "cost and distances"]
    assert list(content["parts"]) == parts
    assert all("seconds" in about for about in content["parts"].values())
    assert {one["activation"] for one in content["final"]} == set(ACTIVATIONS)
    assert {one["kind"] for one in content["cost"]} > set(campaign.COSTS)
    assert {(one["activation"], one["name"]) for one in content["distances"]} == {
        (one["activation"], one["name"]) for one in content["final"]
    }


NEED_TIME = ("selection", "selection, hidden layers", "confirmation", "final", "final, others", "layers")


def test_the_script_says_what_it_had_no_time_for(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("back_feeding")
    output = tmp_path / "back_feeding.json"
    assert script.main(["--device", "cpu", "--small", "--minutes", "0", "--output", str(output)]) == 1
    parts = json.loads(output.read_text())["parts"]
    assert all(set(about) & {"not_run", "unfinished"} for name, about in parts.items() if name in NEED_TIME)
