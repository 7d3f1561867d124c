"""The small networks of the chapter on back-feeding, and what it reads out of the large comparison."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from intriguing.book import plots, results
from intriguing.book.plots import PALETTE
from intriguing.book.results import Table
from intriguing.chapters.back_feeding import findings, pictures, sentences, study
from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup
from intriguing.chapters.back_feeding.campaign import Pixels
from intriguing.data import Digits, Images, mnist


@pytest.fixture(scope="module")
def digits() -> Digits:
    whole = mnist("quick")
    few = {"train": whole.train.take(slice(0, 600)), "test": whole.test.take(slice(0, 200))}
    return replace(whole, **few)


@pytest.fixture
def nets(digits: Digits, monkeypatch, tmp_path) -> study.Networks:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    monkeypatch.setattr(study, "SIZE", study.Size(3, 50, 3e-3, images=600, looked_at=20))
    return study.networks(digits)


def test_small_networks_are_those_of_their_plans_and_are_kept(nets, digits, monkeypatch) -> None:
    assert list(nets) == list(study.PLANS)
    pixels = study.pixels_of(digits.train)
    alone = Bank([(study.PLANS["dose 1.5"], 1)], Setup(3e-3, 3, 50), pixels.images, pixels.labels).train()
    for (matrix, bias), (lonely, shift) in zip(nets["dose 1.5"], alone.weights, strict=True):
        torch.testing.assert_close(matrix[1], lonely[0], rtol=1e-3, atol=2e-4)
        torch.testing.assert_close(bias[1], shift[0], rtol=1e-3, atol=2e-4)
    monkeypatch.setattr(Bank, "train", lambda *_: pytest.fail("trained again"))
    again = study.networks(digits)
    assert torch.equal(again["nothing"][0][0], nets["nothing"][0][0])


def test_the_images_shown_are_read_rightly_and_the_examples_lie_in_the_box(nets, digits) -> None:
    pixels = study.rightly(nets["nothing"], digits.train, 50)
    assert torch.equal(study.read(nets["nothing"], pixels.images), pixels.labels)
    far = study.made(nets["nothing"], pixels, Plan("dose", 5.0))
    assert float(far.min()) >= 0 and float(far.max()) <= 1
    shown = study.beside(nets["nothing"], pixels, ("dose 3", "exit x 1"))
    assert len(shown) == 3 * len(pixels) and torch.equal(shown[: len(pixels)], pixels.images)
    assert torch.equal(shown[-len(pixels) :], study.made(nets["nothing"], pixels, study.KINDS["exit x 1"]))
    assert study.readings(nets["nothing"], shown)[0] == f"read as {int(pixels.labels[0])}"
    table = study.kinds(nets["nothing"], pixels).to_frame()
    assert list(table.index) == list(study.KINDS)
    assert (table.loc["dose 0.5":"dose 3", "length"].diff().dropna() > 0).all()
    assert (table.loc["dose 0.5":"dose 3", "misread when made"].diff().dropna() >= 0).all()
    assert table.loc["dose 3", "misread when made"] > table.loc["noise 1.5", "misread when made"]
    assert (table.loc[["dose 0.5", "dose 1.5"], "length"] <= [0.5001, 1.5001]).all()


def test_small_networks_are_judged_by_the_mean_over_seeds(nets, digits) -> None:
    table, errors = study.small(nets, digits)
    assert set(errors) == set(table.rows) == set(study.PLANS)
    for name, found in errors.items():
        assert len(found) == 2
        assert table.rows[name][0] == pytest.approx(float(found.mean()))
    allowed = study.tolerances({"a": torch.tensor([0.0, 0.02]), "b": torch.tensor([0.0, 0.0])})
    assert allowed["test error"] == pytest.approx(4 * 0.01)
    assert study.tolerances({"a": torch.zeros(2)})["test error"] == 3e-3


def test_the_first_network_of_a_stack_is_the_one_that_reads() -> None:
    last = torch.zeros(2, 100, 10)
    biases = torch.zeros(2, 1, 10)
    biases[0, 0, 4], biases[1, 0, 7] = 1, 1
    weights = [
        (torch.zeros(2, 784, 100), torch.zeros(2, 1, 100)),
        (torch.zeros(2, 100, 100), torch.zeros(2, 1, 100)),
        (last, biases),
    ]
    assert study.read(weights, torch.rand(3, 784)).tolist() == [4, 4, 4]
    images = Images(torch.rand(3, 1, 28, 28), torch.tensor([4, 7, 4]), "noise")
    assert len(study.rightly(weights, images, 5)) == 2
    assert isinstance(study.pixels_of(images), Pixels)


def told(activation: str, name: str, family: str, errors: list[float], size: float = 0.0, **more) -> dict:
    layers = more.pop("layers", (0,))
    kind = more.pop("kind", {"dose": "dose", "hidden": "dose", "exit": "exit"}.get(family, "none"))
    plan = Plan(kind, size, layers, activation=activation)
    about = {"epochs": 300, "batch": 200, "rate": 0.002, "seconds": 1.0, "training": [0.001]}
    return (
        about
        | {"activation": activation, "name": name, "family": family, "plan": asdict(plan), "errors": errors}
        | more
    )


def content() -> dict:
    """A comparison whose outcome is known beforehand."""
    found: dict = {"meta": {"data": "made up", "hardware": {"gpu": "none"}}, "contrasts": []}
    for key in ("selection", "confirmation", "final", "layers", "searched", "distances"):
        found[key] = []
    for activation, base in (("ReLU", 0.010), ("sigmoid", 0.014)):
        found["selection"] += [
            told(activation, "dose 1", "dose", [base, base + 0.002], 1.0),
            told(activation, "dose 3", "dose", [base + 0.005, base + 0.005], 3.0),
            told(activation, "dose 2", "dose", [base + 0.001, base + 0.003], 2.0),
            told(activation, "dose 2, rate x 2", "dose", [base, base + 0.001], 2.0, rate=0.004),
            told(activation, "exit", "exit", [0.018, 0.018], 1.0),
            told(activation, "exit x 2", "exit", [0.015, 0.017], 2.0),
            told(activation, "decay", "weight decay", [0.017, 0.019]),
            told(activation, "nothing", "nothing", [0.02, 0.02]),
            told(activation, "virtual", "virtual", [0.013, 0.013]),
        ]
        found["confirmation"] += [
            told(activation, "dose 1", "dose", [base + 0.001]),
            told(activation, "dose 2", "dose", [base]),
        ]
        found["final"] += [
            told(activation, "dose 1", "dose", [base - 0.001, base + 0.001]),
            told(activation, "dose 2", "dose", [base + 0.001, base + 0.003]),
            told(activation, "decay", "weight decay", [0.016, 0.018]),
            told(activation, "exit", "exit", [0.015, 0.017]),
            told(activation, "dose 1, dropout", "both", [0.011, 0.011]),
        ]
        found["contrasts"] += [
            {"part": "final", "activation": activation, "first": "dose 2", "second": "decay", "gain": 0.005}
            | {"over seeds": 0.0003, "over images": 0.0004},
            {"part": "final", "activation": activation, "first": "exit", "second": "dose 2", "gain": -0.004}
            | {"over seeds": 0.0003, "over images": 0.0004},
        ]
        found["contrasts"] += [
            {"part": "layers", "activation": activation, "first": "dose 1", "second": "first 1", "gain": 0.006}
            | {"over seeds": 0.0003, "over images": 0.0004},
        ]
        found["layers"] += [
            told(activation, "first 1", "hidden", [0.016, 0.018], 1.0, layers=(1,)),
            told(activation, "first 2", "hidden", [0.018, 0.018], 2.0, layers=(1,)),
            told(activation, "second 1", "hidden", [0.019, 0.019], 1.0, layers=(2,)),
            told(activation, "all 1", "hidden", [0.012, 0.012], 1.0, layers=(0, 1, 2)),
            told(activation, "pools x 1", "pools", [0.016, 0.018], 1.0, kind="exit", layers=(0, 1, 2)),
            told(activation, "pools, dose 1", "pools", [0.014, 0.014], 1.0, kind="dose", layers=(0, 1, 2)),
        ]
        found["searched"] += [
            told(activation, "exit x 1, rate x 2", "exit", [0.018, 0.020], 1.0),
            told(activation, "search x 1, rate x 2", "search", [0.016, 0.018], 1.0, kind="exit"),
        ]
        found["contrasts"].append(
            {"part": "searched", "activation": activation, "first": "exit x 1, rate x 2"}
            | {"second": "search x 1, rate x 2", "gain": -0.002, "over seeds": 0.0003, "over images": 0.0004}
        )
        found["distances"].append({"activation": activation, "name": "dose 2", "distance": [1.0, 3.0]})
    found["cost"] = [
        {"activation": "ReLU", "kind": "reading the image", "seconds": 2e-9},
        {"activation": "ReLU", "kind": "fixed length", "seconds": 6e-9},
        {"activation": "sigmoid", "kind": "reading the image", "seconds": 1.0},
    ]
    found["speed"] = [
        {"networks": 1, "captured": True, "seconds_per_update": 2e-4},
        {"networks": 100, "captured": True, "seconds_per_update": 1e-3},
    ]
    return found


def test_the_gain_of_exits_is_a_part_of_the_best_gain() -> None:
    told = sentences.minimal(content())
    assert "with ReLU, exit x 2 42% of it; with sigmoid, exit x 2 73% of it." in told


def test_the_fooled_stand_in_the_order_of_the_lengths() -> None:
    found = content()
    found["fooled"] = [
        {"activation": "ReLU", "name": name, "length": length, "steps": steps, "misread": [share, 3 * share]}
        for name, more in (("dose 2", 0.2), ("nothing", 0.3), ("dose 1", 0.1))
        for length, share in ((0.5, more), (1.5, more / 2))
        for steps in (1, 20)
    ]
    frame = findings.fooled(found).to_frame()
    assert list(frame.index) == ["ReLU, nothing", "ReLU, dose 1", "ReLU, dose 2"]
    assert list(frame) == ["1 step, 0.5", "20 steps, 0.5", "1 step, 1.5", "20 steps, 1.5"]
    assert frame.loc["ReLU, dose 2"].tolist() == pytest.approx([0.4, 0.4, 0.2, 0.2])


def test_who_is_who_is_decided_by_the_images_held_out() -> None:
    names = {role: row["name"] for role, row in findings.roles(content(), "ReLU").items()}
    assert names == {
        "back-feeding": "dose 2",
        "second plan": "dose 1",
        "exit": "exit",
        "weight decay": "decay",
        "dropout and dose": "dose 1, dropout",
    }
    assert "* ReLU: back-feeding: dose 2, second plan: dose 1, " in sentences.plans(content())


def test_errors_are_counted_over_seeds() -> None:
    table = findings.judged(content()).to_frame()
    row = table.loc["ReLU, second plan"]
    assert row["test error"] == pytest.approx(0.010)
    assert row["standard deviation"] == pytest.approx(0.002 / math.sqrt(2))
    assert row["best seed"] == pytest.approx(0.009) and row["networks"] == 2 and row["below 1.2 %"] == 1
    assert table.loc["ReLU, back-feeding", "below 1.2 %"] == 0.5
    assert table.loc["sigmoid, back-feeding", "below 1.2 %"] == 0


def test_contrasts_have_the_sign_that_their_names_ask_for() -> None:
    pairs = [("ReLU", "back-feeding", "weight decay"), ("ReLU", "back-feeding", "exit")]
    frame = findings.in_standard_errors(findings.contrasts(content(), "final", pairs))
    assert frame["gain"].tolist() == pytest.approx([0.005, 0.004])
    assert frame["standard error"].tolist() == pytest.approx([0.0005, 0.0005])
    assert frame["in standard errors"].tolist() == pytest.approx([10, 8])
    # Welch's t of (0.011, 0.013) against (0.016, 0.018): equal variances and sizes, two degrees of freedom.
    t = 0.005 / math.sqrt(2 * 2e-6 / 2)
    assert frame["p"].iloc[0] == pytest.approx(1 - t / math.sqrt(2 + t * t))
    text = findings.styled(frame).to_string(delimiter="|").splitlines()[1]
    assert text.startswith("ReLU, back-feeding against weight decay|+0.50|0.03|0.04|0.05|")


def test_the_rivals_are_all_but_the_second_plan() -> None:
    assert [pair[1:] for pair in findings.rivals(content()) if pair[0] == "sigmoid"] == [
        ("back-feeding", "exit"),
        ("back-feeding", "weight decay"),
        ("back-feeding", "dropout and dose"),
    ]


def test_plans_tried_stand_side_by_side() -> None:
    frame = findings.tried(content(), ("dose",))
    assert list(frame.index) == ["dose 1", "dose 3", "dose 2", "dose 2, rate x 2"]
    assert frame.loc["dose 1", ["ReLU", "sigmoid"]].tolist() == pytest.approx([0.011, 0.015])
    assert frame.loc["dose 1", "± ReLU"] == pytest.approx(0.002 / math.sqrt(2))
    assert len(findings.tried(content())) == 9
    frame = findings.by_rate(content())
    assert list(frame.columns[:4]) == ["ReLU", "± ReLU", "ReLU, rate x 2", "± ReLU, rate x 2"]
    assert frame.loc["dose 2", ["ReLU", "ReLU, rate x 2", "sigmoid, rate x 2"]].tolist() == pytest.approx(
        [0.012, 0.0105, 0.0145]
    )
    assert math.isnan(frame.loc["dose 1", "ReLU, rate x 2"])


def test_the_best_of_each_family_and_layer_stands_for_it() -> None:
    found = {role: row["name"] for role, row in findings.held_out(content(), "ReLU").items()}
    assert found == {
        "back-feeding": "dose 2, rate x 2",
        "dose": "dose 2, rate x 2",
        "exit": "exit x 2",
        "weight decay": "decay",
        "nothing": "nothing",
        "virtual": "virtual",
    }
    pairs = [pair[1:] for pair in findings.on_held_out(content()) if pair[0] == "ReLU"]
    assert pairs == [("back-feeding", "nothing"), ("back-feeding", "virtual")]
    assert "* sigmoid: back-feeding: dose 2, rate x 2, dose: " in sentences.plans(content(), "selection")


def test_the_curve_begins_without_examples() -> None:
    assert list(findings.curves(content())["ReLU"]) == ["300 epochs, rate 0.002"]  # one point makes no line
    lengths, errors = findings.curves(content())["ReLU"]["300 epochs, rate 0.002"]
    assert lengths.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(errors, [[0.02, 0.02], [0.01, 0.012], [0.011, 0.013], [0.015, 0.015]])
    other = content()
    for row in other["selection"]:
        row["epochs"] = 7
    assert list(findings.curves(other, content())["sigmoid"]) == ["7 epochs, rate 0.002", "300 epochs, rate 0.002"]


def test_layers_are_compared_with_the_input_at_one_rate() -> None:
    named = {layer: row["name"] for layer, row in findings.by_layer(content(), "ReLU").items()}
    assert named == {
        "nothing": "nothing",
        "input": "dose 1",
        "first hidden": "first 1",
        "second hidden": "second 1",
        "all layers": "all 1",
        "pools of exits": "pools x 1",
        "pools of doses": "pools, dose 1",
    }
    table = findings.held_out_errors(content(), "layers")
    assert list(table.rows) == list(named)
    assert table.rows["first hidden"][0] == pytest.approx(0.017)
    pairs = [pair[1:] for pair in findings.layer_pairs() if pair[0] == "ReLU"]
    assert pairs[:2] == [("input", "nothing"), ("first hidden", "input")]
    assert pairs[-2:] == [("pools of doses", "nothing"), ("pools of doses", "input")] and len(set(pairs)) == 8
    gains = findings.contrasts(content(), "layers", [("ReLU", "first hidden", "input")])
    assert gains.name == "back_feeding_layers_contrasts"
    assert next(iter(gains.rows.values()))[0] == pytest.approx(-0.006)


def test_costs_and_speed_are_multiples() -> None:
    frame = findings.costs(content())
    assert frame.loc["fixed length"].tolist() == pytest.approx([6, 3])
    assert findings.faster(content()) == pytest.approx(20)
    far = findings.distances(content())
    assert far.loc["back-feeding", "distance, ReLU"] == 2 and math.isnan(far.loc["exit", "distance, ReLU"])
    shown = findings.styled(far).to_html()
    assert "2.00" in shown and "200" not in shown  # a length is no share


def test_the_paper_s_numbers_are_the_marks() -> None:
    assert findings.marks() == {"back-feeding": 0.012, "dropout": 0.013, "weight decay": 0.016}


def test_the_pictures_are_drawn() -> None:
    strips = pictures.strips({"plain": [0.1, 0.2], "fed": [0.1]}, xlabel="error", marks={"paper": 0.1})
    assert [label.get_text() for label in strips.axes[0].get_yticklabels()] == ["plain", "fed"]
    narrow = pictures.strips({"plain": [0.0059, 0.024]}, xlabel="error").axes[0].xaxis
    labels = narrow.get_major_formatter().format_ticks(narrow.get_majorticklocs())
    assert [float(label.rstrip("%")) for label in labels] == pytest.approx(100 * narrow.get_majorticklocs())
    curves = pictures.doses(findings.curves(content()))
    assert [axes.get_title(loc="left") for axes in curves.axes[:2]] == ["ReLU", "sigmoid"]
    assert all(figure.png()[:4] == b"\x89PNG" for figure in (strips, curves))
    fed = pictures.strips({"plain": [0.1], "fed": [0.1]}, xlabel="error", marks={"paper": 0.1}, emphasised=["fed"])
    plans, rates = ({line.get_color() for axes in figure.axes for line in axes.lines} for figure in (fed, curves))
    assert {PALETTE["vermilion"], PALETTE["blue"]} < plans and rates and not plans & rates
    with pytest.raises(ValueError, match="one row for each of 2"):
        pictures.doses({"odd": {"one": ([0, 1], [[0.1]])}})
    with pytest.raises(ValueError, match="at least one"):
        pictures.strips({}, xlabel="error")


def test_the_numbers_of_an_axis_stand_apart_on_a_narrow_screen() -> None:
    wide = pictures.strips({"sigmoid, weight decay": [0.0059, 0.024], "fed": [0.01, 0.02]}, xlabel="test error")
    for figure in (wide, plots._relaid(wide)):
        figure.draw_without_rendering()
        (low, high), numbers = figure.axes[0].get_xlim(), figure.axes[0].xaxis.get_major_ticks()
        boxes = [tick.label1.get_window_extent() for tick in numbers if low <= tick.get_loc() <= high]
        assert len(boxes) > 2 and not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_the_sentences_hold_their_numbers() -> None:
    found = content()
    said = sentences.headline(found)
    assert said.startswith("After 300 epochs the two plans")
    assert "With ReLU: dose 2 1.20% (standard deviation 0.14% over 2 networks) and dose 1 1.00%" in said
    assert "against weight decay 1.70%." in said
    told = (
        "Of these networks with adversarial examples 3 of the 4 with ReLU and 0 of the 4 with sigmoid come below 1.2 %."
    )
    assert said.endswith(told)
    found["meta"] |= {"seconds": 90.0, "hardware": {"cpu": "abacus", "torch": "2", "products": "float32"}}
    count = sum(len(row["errors"]) for part in sentences.PARTS for row in found[part])
    assert sentences.briefly(found).startswith(f"{count} networks were trained, costs and distances measured, in 90 s")
    assert "300 epochs to choose" in sentences.briefly(found)
    hours = count * 300 / 3600
    found["hardware"] = {part: {"cpu": part, "torch": "2"} for part in ("selection", "searched")}
    assert sentences.how(found).startswith(f"{count} networks were trained for 300 epochs each, in {hours:.1f} hours")
    assert "core of selection (PyTorch 2)" in sentences.how(found)
    few = sum(len(row["errors"]) for row in found["searched"])
    assert 0 < few < count and sentences.how(found, ["searched"]).startswith(f"{few} networks were")
    assert "core of searched" in sentences.how(found, ["searched"])
    gains = findings.contrasts(found, "final", [("ReLU", "back-feeding", "weight decay")])
    found["power"] = {"seen from": 0.002, "standard deviation": 0.0009, "of an error of 1.2 %": 0.0011}
    told = sentences.power(found, gains)
    assert "from 0.20 percentage points on" in told and "a standard error of 0.11%" in told
    assert "from about 0.10 points on" in told
    assert findings.fed(found)[:3] == ["ReLU, back-feeding", "ReLU, second plan", "ReLU, exit"]
    assert findings.dots(found)["sigmoid, exit"] == [0.015, 0.017]


def made_gains(gains: dict[str, float]) -> Table:
    """Contrasts with a standard error of a tenth of a point."""
    columns = ["gain", "over seeds", "over images", "standard error", "p"]
    rows = {
        f"{name}, {pair}": [gain, 0.0, 0.0, 0.001, 1.0] for name in findings.ACTIVATIONS for pair, gain in gains.items()
    }
    return Table("gains", columns, rows)


def test_claims_follow_the_gains() -> None:
    judged = made_gains({"back-feeding against weight decay": 0.005, "back-feeding against nothing": 0.0019})
    chosen = made_gains({"back-feeding against virtual": -0.004})
    layers = {"first hidden against input": 0.003, "second hidden against input": -0.003}
    layers |= {"pools of exits against input": -0.003, "pools of doses against input": 0.001}
    layers |= {"all layers against input": 0.001}
    pairs = {" against ".join(pair): 0.001 * steps for steps, pair in enumerate(findings.SEARCHED, -3)}
    claims = sentences.claims(content(), judged, chosen, made_gains(layers), made_gains(pairs))
    assert claims["ReLU: the chosen plan errs less than weight decay, by two standard errors"]
    assert not claims["ReLU: the chosen plan errs less than the same network without examples, by two standard errors"]
    said = "the chosen plan errs less than virtual adversarial training on the images held out, by two standard errors"
    assert claims[f"sigmoid: {said}"] is False
    assert claims["ReLU: examples for the first hidden layer err less than those for the input"]
    assert claims["sigmoid: examples for the second hidden layer err less than those for the input"] is False
    assert claims["sigmoid: examples for all layers err less than those for the input"] is None
    assert not claims["ReLU: after 300 epochs the chosen plan errs below 1.2 % on average"]
    assert claims["ReLU: pools of exits for all layers err less than examples for the input made anew"] is False
    assert claims["sigmoid: pools of doses for all layers err less than examples for the input made anew"] is None
    assert claims["ReLU: in short trainings search x 1 errs less than the same network without examples"] is False
    assert claims["sigmoid: in short trainings search 1.5 errs less than dose 1.5"] is None
    assert len(claims) == 26


def test_long_trainings_are_refused_until_they_are_complete(monkeypatch) -> None:
    long = {"missing": {"selection": 0, "final": 0}, "final": ["rows"]}
    monkeypatch.setattr(results, "measured", lambda *_: {"long": long, "final": []})
    assert findings.stored() == long and findings.short()["final"] == []
    for gone in ({"selection": 1}, {"final": 2}):
        monkeypatch.setitem(long, "missing", gone)
        with pytest.raises(results.MissingResult, match="not complete"):
            findings.stored()
    monkeypatch.setattr(results, "measured", lambda *_: {"final": []})
    with pytest.raises(results.MissingResult, match="--units has them"):
        findings.stored()


def test_tables_can_be_stored() -> None:
    tables = [
        findings.judged(content()),
        *(findings.held_out_errors(content(), part) for part in ("layers", "searched")),
    ]
    assert [table.name for table in tables] == ["back_feeding", "back_feeding_layers", "back_feeding_searched"]


def test_searched_examples_are_held_against_cheap_ones_of_their_kind() -> None:
    table = findings.held_out_errors(content(), "searched").to_frame()
    assert table.loc["search x 1"].tolist() == pytest.approx([0.017, 0.0014142, 0.017, 0.0014142], rel=1e-4)
    assert [pair[1:] for pair in findings.search_pairs()[:2]] == [("search x 1", "nothing"), ("search x 1", "exit x 1")]
    gains = findings.contrasts(content(), "searched", [("sigmoid", "search x 1", "exit x 1")])
    assert gains.name == "back_feeding_searched_contrasts"
    assert next(iter(gains.rows.values()))[0] == pytest.approx(0.002)


@pytest.mark.parametrize("activation", findings.ACTIVATIONS)
def test_what_the_page_says_of_examples_that_teach_the_layers_below(activation: str) -> None:
    rows = findings.rows_of(findings.short(), "selection", activation)
    held_out, decided = {row["name"]: np.array(row["errors"]) for row in rows}, {}
    for layer in findings.HIDDEN:
        (name,) = [name for name in held_out if name.startswith(layer) and name.endswith(", through")]
        through, alone = held_out[name], held_out[name.removesuffix(", through")]
        assert through.mean() > alone.mean()
        error = math.sqrt(through.var(ddof=1) / len(through) + alone.var(ddof=1) / len(alone))
        decided[layer] = bool(through.mean() - alone.mean() > 2 * error)
    assert decided == dict.fromkeys(findings.HIDDEN, True) | {"all layers": activation == "ReLU"}


@pytest.mark.parametrize("activation", findings.ACTIVATIONS)
def test_what_the_page_says_of_pools(activation: str) -> None:
    content = findings.stored()
    gains = findings.in_standard_errors(findings.contrasts(content, "layers", findings.layer_pairs()))
    mine = gains.loc[[row for row in gains.index if row.startswith(activation)]].rename(
        lambda row: row.partition(", ")[2]
    )
    steps = mine["in standard errors"]
    assert abs(steps["pools of exits against nothing"]) < 2
    assert 0.75 < mine.at["pools of doses against nothing", "gain"] / mine.at["input against nothing", "gain"] < 0.9
    assert steps["pools of doses against input"] == pytest.approx({"ReLU": -2.8, "sigmoid": -2.0}[activation], abs=0.1)
    assert steps["pools of exits against input"] < -6


@pytest.mark.parametrize("activation", findings.ACTIVATIONS)
def test_what_the_page_says_of_searched_examples(activation: str) -> None:
    content = findings.stored()
    rows = findings.by_search(content, activation)
    errors = {kind: findings.mean(row) for kind, row in rows.items()}
    table = findings.in_standard_errors(findings.contrasts(content, "searched", findings.search_pairs()))
    steps = {
        pair: table.at[f"{activation}, {' against '.join(pair)}", "in standard errors"] for pair in findings.SEARCHED
    }
    assert steps["search x 1", "nothing"] < -8 and steps["search x 1", "exit x 1"] < -12
    assert max(errors["exit x 1"], errors["exit x 1.5"]) < errors["nothing"]
    if activation == "ReLU":
        assert abs(steps["search x 1.5", "exit x 1.5"]) < 1
    else:
        assert steps["search x 1.5", "exit x 1.5"] < -9
    assert -2 < steps["search 1.5", "dose 1.5"] < 0
    gains = [errors["nothing"] - errors[kind] for kind in ("search 1.5", "dose 1.5")]
    assert 0.8 < gains[0] / gains[1] < 0.88
    assert all(0.03 < error < 0.042 for error in rows["search x 1"]["training"])
    assert max(rows["nothing"]["training"]) < 0.0005
    assert 80 < rows["search x 1"]["seconds"] / rows["exit x 1"]["seconds"] < 120
    assert {(row["images"], row["epochs"], len(row["errors"])) for row in rows.values()} == {(10_000, 20, 5)}


@pytest.mark.parametrize("activation", findings.ACTIVATIONS)
def test_what_the_page_says_of_deformed_images(activation: str) -> None:
    content = findings.stored()
    named = findings.roles(content, activation)
    errors = {role: findings.mean(row) for role, row in named.items()}
    assert min(errors, key=errors.get) == "deformed"
    assert 0.0035 < errors[findings.BEST] - errors["deformed"] < 0.0045
    assert max(named["deformed"]["errors"]) < 0.012
    if activation == "sigmoid":
        assert min(min(row["errors"]) for role, row in named.items() if role != "deformed") > 0.012
    far = findings.distances(content)[f"distance, {activation}"]
    moved = (far["deformed"] / far["nothing"], far[findings.BEST] / far["nothing"])
    assert moved[0] == pytest.approx({"ReLU": 1.05, "sigmoid": 1.25}[activation], abs=0.03) and moved[1] > 2


def test_what_the_page_says_of_a_rerun_s_tolerance() -> None:
    same = {"nothing": torch.tensor([0.05, 0.05]), "dose 1.5": torch.tensor([0.04, 0.04])}
    assert study.tolerances(same)["test error"] == pytest.approx(3e-3)


def test_what_the_page_says_of_weight_decay_beside_examples_and_of_larger_doses() -> None:
    content = findings.short()
    rows = [row for part in ("selection", "confirmation", "final", "layers") for row in content[part]]
    assert not any(row["plan"]["decay"] for row in rows if row["family"] != "weight decay")
    for activation in findings.ACTIVATIONS:
        longer = {row["name"]: findings.mean(row) for row in findings.rows_of(content, "confirmation", activation)}
        (best,) = {name.removesuffix(" x 1.50") for name in longer if name.endswith(" x 1.50")}
        assert longer[f"{best} x 1.50"] > longer[best] < longer[f"{best} x 2.00"]
        assert {row["epochs"] for row in findings.rows_of(content, "confirmation", activation)} == {12}
        assert {row["epochs"] for row in findings.rows_of(content, "selection", activation)} == {6}


def test_the_small_networks_stand_in_the_order_of_their_examples() -> None:
    small = results.load("back_feeding_small", "paper").to_frame()["test error"]
    assert list(small.sort_values().index) == ["dose 1.5", "exit x 1", "nothing", "noise 1.5"]
