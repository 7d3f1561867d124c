"""The comparisons of the chapter on QuocNet, by hand or on pictures in which the answer was planted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.book import results, settings
from intriguing.book.results import Table
from intriguing.chapters.quocnet import __main__ as ahead_of_time
from intriguing.chapters.quocnet import pictures, study
from intriguing.chapters.quocnet.study import (
    FAR_NOISE,
    FAR_OTHER,
    LINEAR,
    NOISE,
    PIXELS,
    RANDOM,
    SUPERVISED,
    UNLABELLED,
    Sizes,
    Unmade,
)
from intriguing.data.cifar import CAR, Cifar, Pictures
from intriguing.models import quocnet
from intriguing.models.quocnet import Head

SIZES = Sizes(12, 20, 12, 3, epochs=(1, 1), supervised=1, noises=2, batch=5, rate=1e-3)


def made(count: int, seed: int) -> Pictures:
    """Pictures of noise, every second of them a car: brighter in its lower half."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(60, 140, (count, 3, 32, 32), generator=generator)
    labels = torch.where(torch.arange(count) % 2 == 0, CAR, 5)
    pixels[labels == CAR, :, 16:] += 60
    return Pictures(pixels.to(torch.uint8), labels, f"made {seed}")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")


@pytest.fixture(scope="module")
def cars():
    return study.pictures(Cifar(made(60, 0), made(40, 1)), SIZES)


@pytest.fixture(scope="module")
def by_light(cars):
    """A head that knows: the lower half less the upper one."""
    weight = torch.ones(3, 32, 32)
    weight[:, :16] = -1
    return (
        Head(nn.Flatten(), torch.zeros(3072), torch.ones(3072), weight.flatten() / 100, -1.8)
        .eval()
        .requires_grad_(False)
    )


def test_pictures_are_balanced_and_drawn_by_the_seed(cars):
    assert cars.train.shape == (40, 3, 32, 32) and int(cars.train_car.sum()) == 20
    assert cars.test.shape == (24, 3, 32, 32) and int(cars.test_car.sum()) == 12
    said = "12 pictures without labels; with labels, half of either cars, 40 to learn from and 24 to test on"
    assert len(cars.unlabelled) == 12 and said in study.opening(cars)
    again = study.pictures(Cifar(made(60, 0), made(40, 1)), SIZES)
    assert torch.equal(again.test, cars.test)
    other = study.pictures(Cifar(made(60, 0), made(40, 1)), SIZES, seed=1)
    assert not torch.equal(other.test, cars.test)
    with pytest.raises(ValueError, match="got 20 cars in made 1; expected at least 21"):
        study.pictures(Cifar(made(60, 0), made(40, 1)), dataclasses.replace(SIZES, tested=21))


def test_without_data_everything_is_left_out_with_a_sentence(capsys):
    assert study.at_hand() is None
    assert "No CIFAR-10 on this computer" in study.opening(None)
    assert "Le et al. 2012" in study.size_table(None, SIZES)
    assert ahead_of_time.main() == 1 and "No CIFAR-10" in capsys.readouterr().err


def test_networks_are_learned_once_and_labels_stay_outside(cars, monkeypatch):
    networks = study.networks(cars, SIZES)
    assert networks.unlabelled.features == networks.random.features == networks.supervised.features == 512
    first = networks.random.weights[0]
    assert not torch.equal(networks.unlabelled.weights[0], first)
    assert not torch.equal(networks.supervised.weights[0], first)
    monkeypatch.setattr(quocnet, "learn_stage", lambda *_, **__: pytest.fail("learned again"))
    turned = dataclasses.replace(cars, train_car=~cars.train_car, test_car=~cars.test_car)
    again, _ = study.without_labels(turned.unlabelled, SIZES)
    assert torch.equal(again.weights[1], networks.unlabelled.weights[1])
    assert study.learning_line(networks).count("Stage") == 2
    assert "| weights | 329,344 | one billion |" in study.size_table(networks, SIZES)
    assert "core hours" in study.cost_line()
    assert study.first_stage(networks.unlabelled).features == 13 * 13 * 8


def test_filters_learned_ahead_are_those_of_the_page(cars, monkeypatch, capsys):
    monkeypatch.setattr(study, "SIZES", {"quick": SIZES})
    monkeypatch.setattr(study, "at_hand", lambda: cars)
    assert ahead_of_time.main() == 0 and "1 processes" in capsys.readouterr().out
    monkeypatch.setattr(quocnet, "learn_stage", lambda *_, **__: pytest.fail("learned again"))
    assert study.without_labels(cars.unlabelled, SIZES)[0].features == 512


def test_a_head_on_pixels_finds_what_was_planted(cars):
    head = study.fit_head(nn.Flatten(), cars)
    assert torch.equal(study.taken_for_cars(head, cars.test), cars.test_car)
    half = Head(nn.Flatten(), head.mean, head.scale, 0 * head.weight, 1.0).eval()
    heads = {PIXELS: head, RANDOM: half}
    frame = study.accuracy_table(heads, cars).to_frame()
    assert frame.loc[PIXELS].tolist() == pytest.approx([1, 1, 0.025 ** (1 / 24), 1])
    assert frame.loc[RANDOM, "test"] == 0.5 and frame.loc[RANDOM, "training"] == 0.5
    difference, low, high = study.ahead(heads, cars, PIXELS, RANDOM)
    assert difference == 0.5 and 0.2 < low < 0.5 < high < 0.8


def test_single_units_by_hand():
    car = torch.tensor([True, True, False, False])
    good, turned, useless = torch.tensor([3.0, 4.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 9.0, 8.0]), torch.ones(4)
    train = torch.stack([useless, turned, good], 1)
    test_car = torch.tensor([True, False, True])
    test = torch.tensor([[1.0, 1.0, 4.0], [1.0, 9.0, 3.5], [1.0, 9.0, 0.0]])
    found = study.single_units(train, car, test, test_car)
    assert found.train.tolist() == [0.5, 1, 1] and found.sign.tolist()[1:] == [-1, 1]
    assert found.best == 1 and found.right.tolist() == [True, True, False]
    assert found.test.tolist()[1:] == pytest.approx([2 / 3, 1 / 3])
    frame = study.unit_table({"some": found}, "made").to_frame()
    assert frame.loc["some", ["units", "best", "median"]].tolist() == pytest.approx([3, 2 / 3, np.median(found.test)])
    assert study.unit_ahead({"a": found, "b": found}, "a", "b") == (0, 0, 0)


def test_the_optimal_stimulus_stays_in_the_box_and_in_the_ball(cars):
    class Light(nn.Module):
        shape = (3, 32, 32)

        def forward(self, images):
            return 300 * torch.stack([images.mean((1, 2, 3)), images[:, 0].mean((1, 2))], 1)

    units = study.single_units(Light()(cars.train), cars.train_car, Light()(cars.test), cars.test_car)
    found = study.stimulus(Light(), units, cars)
    radius = float((cars.test - 0.5).flatten(1).norm(dim=1).mean())
    away = float((found.image - 0.5).norm())
    assert away <= radius * 1.0001 and 0 <= float(found.image.min()) <= float(found.image.max()) <= 1
    # The whole ball spent on light, or on red light alone, which leaves no pixel outside of the box.
    best = 300 * (0.5 + radius / (3072 if found.unit == 0 else 1024) ** 0.5)
    assert found.value == pytest.approx(best, rel=1e-2) and found.value > found.largest and len(found.top) == 8
    assert f"means a car: {found.cars} of the 8" in study.stimulus_line(found)
    assert pictures.stimulus(found.top, found.image).png()[:4] == b"\x89PNG"


def test_cars_are_drawn_by_the_seed_and_unmade_by_the_shortest_step(cars, by_light):
    one = study.unmake(by_light, cars, 5)
    assert bool(one.found.success.all()) and bool(cars.test_car[one.rows].all())
    assert not study.taken_for_cars(by_light, one.found.images).any()
    score = by_light(one.images)[:, 1].double()
    wanted = score / float(by_light.weight.norm()) / 3072**0.5  # the distance to a plane, no pixel at its bound
    assert torch.allclose(one.found.rms, wanted, rtol=0.02)
    assert torch.equal(study.unmake(by_light, cars, 5).rows, one.rows)
    with pytest.raises(ValueError, match="recognised cars; expected at least 13"):
        study.unmake(by_light, cars, 13)


def steps(rows=(0, 1, 2), length=0.1) -> Unmade:
    """Cars of constant grey, unmade by becoming darker."""
    images = torch.full((len(rows), 3, 32, 32), 0.5)
    rms = torch.full((len(rows),), length, dtype=torch.float64)
    found = Distortion(images - length, rms, torch.ones(len(rows), dtype=torch.bool), rms, rms.long())
    return Unmade(torch.tensor(rows), images, found)


def test_lengths_and_what_is_lost_by_hand():
    bright = Head(nn.Flatten(), torch.zeros(3072), torch.ones(3072), torch.ones(3072) / 3072, -0.45).eval()
    frame = study.recognised_at(bright, steps(), (0.1, 1), 2)
    assert frame["its own"].tolist() == [1, 0] and frame["another car's"].tolist() == [1, 0]
    assert frame["noise"].tolist() == [1, 1]  # noise does not change the mean
    table = study.distortion_table({"a": bright}, {"a": steps()}, SIZES, "made").to_frame()
    assert table.loc["a", ["cars", "unmade", "mean distortion", "from", "median"]].tolist() == pytest.approx(
        [3, 1, 0.1, 0.1, 0.1]
    )
    assert table.loc["a", [NOISE, FAR_OTHER]].tolist() == [0, 1]
    shown = study.distortion_view(study.distortion_table({"a": bright}, {"a": steps()}, SIZES, "made")).to_html()
    assert "100.0%" in shown
    blind = Head(nn.Flatten(), torch.zeros(3072), torch.ones(3072), torch.zeros(3072), -1.0).eval()
    sure = Head(nn.Flatten(), torch.zeros(3072), torch.ones(3072), torch.zeros(3072), 1.0).eval()
    moved = study.transfer_table({"a": bright, "blind": blind, "sure": sure}, {"a": steps()}, "made")
    assert moved.rows["a, × 1"] == [1, None, 0]


def test_brittleness_is_paired_by_car():
    both = {UNLABELLED: steps((3, 4, 5), 0.02), SUPERVISED: steps((5, 3, 9), 0.04)}
    found = study.brittleness(both)
    assert (found.cars, found.ratio) == (2, pytest.approx(0.5)) and found.low == pytest.approx(found.high)
    assert "On the 2 cars" in str(found) and "0.50 times" in str(found)
    with pytest.raises(ValueError, match="got 0 cars that both recognise"):
        study.brittleness({UNLABELLED: steps((1, 2)), SUPERVISED: steps((3, 4))})


def test_intervals_by_hand():
    assert study.interval(torch.ones(5)) == (1, 1, 1)
    mean, low, high = study.interval(torch.arange(101.0))
    assert (
        mean == 50
        and low == pytest.approx(50 - 1.96 * 29.15 / 101**0.5, abs=0.6)
        and high == pytest.approx(50 + 1.96 * 29.15 / 101**0.5, abs=0.6)
    )


def outcome(monkeypatch, **changed):
    """The claims over findings that make all of them true, some of these replaced."""
    ours = {"cars": 3, "unmade": 1.0, "mean distortion": 0.002, "to": 0.003, NOISE: 0.0, FAR_NOISE: 0.1, FAR_OTHER: 0.3}
    frame = pd.DataFrame.from_dict({UNLABELLED: ours | changed.get("ours", {}), SUPERVISED: ours}, orient="index")
    frame.loc[SUPERVISED, "unmade"] = changed.get("theirs", 1.0)
    matrix = pd.DataFrame(
        {UNLABELLED: [1.0, changed.get("across", 0.2)], SUPERVISED: [0.2, 1.0]},
        index=[f"{UNLABELLED}, × 1", f"{SUPERVISED}, × 1"],
    )
    tables = {
        "distortions": Table.from_frame("quocnet_distortions", frame),
        "transfer": Table.from_frame("quocnet_transfer", matrix),
    }
    leads = changed.get("leads", {})
    monkeypatch.setattr(study, "ahead", lambda *_: leads.get("head", (0.1, 0.05, 0.15)))
    monkeypatch.setattr(study, "unit_ahead", lambda _, __, other: leads.get(other, (0.1, 0.05, 0.15)))
    monkeypatch.setattr(study, "brittleness", lambda _: study.Brittleness(3, *changed.get("ratio", (1.0, 0.8, 1.2))))
    return {one.id.removeprefix("quocnet-"): one.verdict for one in study.decide({}, None, {}, {}, tables)}


def test_each_claim_can_fail_by_itself(monkeypatch):
    def not_reproduced(**changed):
        return {name: verdict for name, verdict in outcome(monkeypatch, **changed).items() if verdict != "reproduced"}

    rest = {"scale": "not run"}
    assert not_reproduced() == rest
    assert not_reproduced(ours={"unmade": 0.9}) == rest | {"unmade": "differs"}
    assert not_reproduced(ours={"to": 0.02}) == rest | {"close": "differs"}
    assert not_reproduced(ours={NOISE: 0.1}) == rest | {"noise": "differs"}
    assert not_reproduced(ours={FAR_OTHER: 0.1}) == rest | {"others": "differs"}
    assert not_reproduced(ratio=(0.4, 0.3, 0.6)) == rest | {"alike": "not decided"}
    assert not_reproduced(ratio=(0.4, 0.3, 0.45)) == rest | {"alike": "differs"}
    assert not_reproduced(ratio=(3, 2.5, 4)) == rest | {"alike": "differs"}
    assert not_reproduced(theirs=0.5) == rest | {"supervised": "differs"}
    assert not_reproduced(across=0.05) == rest | {"transfer": "differs"}
    assert not_reproduced(leads={"head": (0.1, -0.1, 0.3)}) == rest | {"learned": "not decided"}
    assert not_reproduced(leads={RANDOM: (-0.1, -0.2, -0.05)}) == rest | {"unit": "differs"}
    assert not_reproduced(leads={LINEAR: (0.1, -0.1, 0.3)}) == rest | {"linear": "not decided"}


def test_only_what_differs_from_the_stored_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    meta = {"data": "made"}
    names = ("heads", "units", "distortions", "transfer")
    tables = {name: Table(f"quocnet_{name}", ["test", "median"], {"a": [0.5, 0.002]}, meta) for name in names}
    claims = [study.Claim("one", "One", "here", "1", True), study.Claim("two", "Two", "there", "", None, run=False)]
    assert "`one`" in study.claim_list(claims) and "**not run**" in study.claim_list(claims)
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    for name in names:
        study.results.record(Table(f"spread_quocnet_{name}", ["test", "median"], {"a": [0.02, None]}, meta))
    assert study.disagreements(tables, claims) == []
    monkeypatch.delenv("INTRIGUING_RECORD")

    def differing(**changed):
        replaced = {
            name: Table(f"quocnet_{name}", ["test", "median"], {"a": row}, meta) for name, row in changed.items()
        }
        return study.disagreements(tables | replaced, claims)

    assert differing(heads=[0.519, 0.0021]) == []
    assert len(differing(heads=[0.521, 0.002], transfer=[0.5, 0.0022])) == 2
    (line,) = study.disagreements(tables, [dataclasses.replace(claims[0], holds=None), claims[1]])
    assert "quocnet_claims" in line


def test_pictures_of_filters_triptychs_and_lengths():
    weight = torch.randn(9, 12, 4)
    assert pictures.filters(weight, field=2, side=3).png()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match=r"expected \(16, 12, maps\)"):
        pictures.filters(weight, field=2, side=4)
    one = torch.rand(5, 3, 4, 4)
    figure = pictures.figure6(one, (one + 0.1).clamp(0, 1), magnification=10, columns=4)
    assert len(figure.axes) == 4 and figure.png()[:4] == b"\x89PNG"
    # One line of two triptychs: car, unmade, difference; then the gap.
    shown = pictures.figure6(one[:1], one[:1], magnification=10).axes[0].images[0].get_array()
    assert np.allclose(shown[:4, :4, :3], one[0].permute(1, 2, 0)) and np.allclose(shown[:4, 12:16, :3], 0)
    with pytest.raises(ValueError, match="expected \\(N, 3, height, width\\) twice"):
        pictures.figure6(one, one[:2], magnification=10)
    frame = pd.DataFrame({"noise": [1.0, 0.9]}, index=[1, 2])
    assert pictures.lengths({"a": frame, "b": frame}).png()[:4] == b"\x89PNG"


def test_what_the_page_says_of_constants_and_tolerances():
    assert (quocnet.EPSILON, quocnet.FLOOR, quocnet.SPARSITY) == (0.01, 0.01, 0.1)
    assert {floor for column, floor in study.FLOORS.items() if column not in ("cars", "units")} == {0.0001}
    assert set(study.FLOORS) == {"cars", "units", "mean distortion", "from", "to", "median"}
    room = study.tolerances(results.load("quocnet_units", "paper"))
    assert room["median"].max() < 0.01 <= room["97.5 %"].min()  # a median of rates has the smaller floor


def test_the_three_networks_need_less_than_a_step_of_a_file_and_the_pixels_more():
    steps = 255 * results.load("quocnet_distortions", "paper").to_frame()["mean distortion"]
    assert steps.drop(study.PIXELS).max() < 1 < steps[study.PIXELS]
