"""The comparisons of the chapter on photographs, each by hand or on features in which the answer was planted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from intriguing.attack.distortion import Distortion
from intriguing.book import coherence, paper, settings
from intriguing.book.results import Table
from intriguing.chapters.photographs import ostriches, recognition, study
from intriguing.chapters.photographs.ostriches import Amplified
from intriguing.chapters.photographs.recognition import Responses
from intriguing.chapters.photographs.study import CLASSES, LAST, TO_OSTRICH, TO_RANDOM, TURNED, Judges
from intriguing.data import photographs
from intriguing.data.photographs import Photographs

PRINTED = paper.NUMBERS["figure 5 distortion"].value


def photos(labels, *, pinned=True) -> Photographs:
    count = len(labels)
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 227, 227)
    files = tuple(f"{i:03d}" for i in range(count))
    # Ten classes of fish, then things.
    wnids = tuple(f"n{1_440_000 + i if i < 10 else 3_000_000 + i:08d}" for i in range(1000))
    return Photographs(pixels, torch.as_tensor(labels), files, ("thing",) * 1000, wnids, "made", 0, 0, pinned)


def found(rms, success=True, evaluations=30) -> Distortion:
    rms = torch.as_tensor(rms, dtype=torch.float64)
    count = len(rms)
    return Distortion(
        images=torch.zeros(count, 3, 2, 2),
        rms=rms,
        success=torch.as_tensor(success).expand(count),
        penalty=torch.full_like(rms, torch.nan),
        evaluations=torch.as_tensor(evaluations).expand(count),
    )


def grown() -> Amplified:
    """Two photographs at the factors 1 and 3: the first is sure and survives at 3, the second never."""
    return Amplified(
        factors=torch.tensor([1.0, 3.0], dtype=torch.float64),
        rms=torch.tensor([[0.001, 0.002], [0.003, 0.006]], dtype=torch.float64),
        probability=torch.tensor([[0.5, 0.6], [0.95, 0.7]], dtype=torch.float64),
        hit=torch.tensor([[True, True], [True, False]]),
        rounded_rms=torch.tensor([[0.0005, 0.0015], [0.0025, 0.0065]], dtype=torch.float64),
        rounded_hit=torch.tensor([[False, False], [True, False]]),
    )


@pytest.fixture(scope="module")
def planted():
    """Eighty photographs of ten kinds, and units each of which fires on one kind: features and judges agree."""
    kinds = torch.arange(80) % 10
    generator = torch.Generator().manual_seed(0)
    features = F.one_hot(kinds, 10) + 0.1 * torch.rand(80, 10, generator=generator)
    eyes = F.normalize(F.one_hot(kinds, 10) + 0.1 * torch.rand(80, 10, generator=generator), dim=1)
    judges = Judges(kinds, torch.rand(80, 3, 2, 2, generator=generator), eyes)
    return features, judges, study.surveys(Responses(features, features), judges)


def test_what_is_at_hand_is_said():
    some, model = photos([0, 1]), recognition.Normalised(torch.nn.Identity(), (0.0,) * 3)
    lines = study.at_hand(some, {"A": model, "B": model}).splitlines()
    assert lines == [some.summary() + ".", "Networks: A, B."]
    lines = study.at_hand(None, {}).splitlines()
    assert lines[0] == photographs.absence() and lines[1] == "Networks: no weights on this computer."
    assert lines[2].startswith("Everything on this page") and len(lines) == 3
    assert study.at_hand(some, {}).splitlines()[2] == lines[2]


def test_answers_of_a_network_with_other_labels_are_refused(monkeypatch):
    logits = F.one_hot(torch.arange(100), 1000).float()
    monkeypatch.setattr(recognition, "responses", lambda *_, **__: Responses(logits, logits))
    assert list(study.answers({"A": None}, photos(range(100)))) == ["A"]
    with pytest.raises(recognition.data.DataError, match="list of labels"):
        study.answers({"A": None}, photos(range(500, 600)))


def test_accuracy_by_hand():
    labels = torch.arange(20)
    logits = F.one_hot(torch.where(labels < 15, labels, labels + 1), 1000).float()
    logits[labels, labels] += 0.5  # the right class is second at worst
    table = study.accuracy_table({"AlexNet": Responses(logits, logits)}, photos(labels)).to_frame()
    known, exact = recognition.KNOWN["AlexNet"], recognition.accuracy(logits, labels)
    row = table.loc["AlexNet, top 1"].tolist()
    assert row == pytest.approx([0.75, exact.low, exact.high, known.top1, 0.75 - known.top1, 1])
    assert table.loc["AlexNet, top 5", ["measured", "published"]].tolist() == [1, known.top5]
    assert table.loc["AlexNet, top 5", "inside"] == 0  # twenty of twenty are too many for four in five


def test_judges_have_a_second_network_or_pixels(monkeypatch):
    some = photos([3, 700, 5, 900])
    other = torch.tensor([[1.0, 0.0], [3.0, 1.0], [1.0, 5.0], [3.0, 2.0]])
    monkeypatch.setattr(recognition, "alexnet_convolutions", lambda *_, **__: other)
    found = study.judges(some)
    assert found.kinds.tolist() == [0, 1, 0, 1] and found.pixels.shape == (4, 3, 28, 28)
    assert found.eyes.shape == (4, 2) and torch.allclose(found.eyes.norm(dim=1), torch.ones(4))
    monkeypatch.setattr(recognition, "alexnet_convolutions", lambda *_, **__: None)
    assert study.judges(some).eyes.shape == (4, 3 * 28 * 28)


def test_units_that_were_planted_are_found_and_their_rows_shown(planted):
    features, judges, surveys = planted
    assert list(surveys) == [LAST, TURNED, CLASSES]
    some = photos(judges.kinds)
    images, captions = study.unit_rows(some, judges, surveys[LAST], 3)
    for row, caption in zip(images, captions, strict=True):
        unit = int(caption.split(":")[0].removeprefix("unit "))
        assert ": 8 of 8 of one kind, distance " in caption
        shown = (row[:, 0, 0, 0] * 255).round().long()
        assert sorted(shown.tolist()) == (judges.kinds == unit).nonzero()[:, 0].tolist()
    images, captions = study.direction_rows(some, judges, surveys[LAST], 2)
    assert [caption.split(":")[0] for caption in captions] == ["direction 1", "direction 2"]
    sets = surveys[LAST].direction_sets
    assert (images[1][:, 0, 0, 0] * 255).round().tolist() == sets[1, :8].tolist()
    same = judges.kinds[sets[0, :8]].bincount().amax()
    assert f"{same} of 8 of one kind" in captions[0]


def test_the_table_of_units_holds_every_layer_and_judge(planted):
    _, judges, surveys = planted
    frame = study.coherence_table(surveys, "made").to_frame()
    assert len(frame) == 9
    c = surveys[CLASSES].measures["pixel_distance"]
    assert frame.loc["classes: distance in pixels"].tolist() == pytest.approx(
        [c.units, c.directions, c.difference, c.low, c.high, c.p, c.win]
    )
    assert frame.loc["last features: share of one kind", "units"] == 1
    # Seven others of each kind among 79; a set's most frequent kind has one photograph at least.
    assert 1 / 8 < study.chance(judges) < 0.5
    assert study.chance(Judges(judges.kinds * 0, judges.pixels, judges.eyes)) == 1


def test_units_that_name_the_kinds_stand_out_among_turned_bases():
    # What is in a photograph is what excites one unit most: sums over several units mix kinds.
    features = torch.rand(300, 10, generator=torch.Generator().manual_seed(0)) ** 2
    kinds = features.argmax(1)
    judges = Judges(kinds, torch.zeros(300, 3, 2, 2), F.one_hot(kinds, 10).float())
    turned = study.turned(features, judges)
    assert len(turned.null) == 19 and turned.natural < float(turned.null.min())
    assert turned.p == pytest.approx(2 / 20)
    assert str(turned).startswith(f"Natural basis {turned.natural:.4f}, 19 turned bases ")
    assert str(turned).endswith("p = 0.100.")


def surveyed(last=(-0.3, -0.1), turned=(-0.1, 0.1), classes=(-0.5, -0.4), *, directions=0.9, high=0.01) -> dict:
    """Surveys with these intervals of the distance in another network."""

    def one(low, high_):
        distance = SimpleNamespace(low=low, high=high_, difference=(low + high_) / 2, directions=directions)
        return SimpleNamespace(measures={"feature_distance": distance, "purity": SimpleNamespace(high=high)})

    return {LAST: one(*last), TURNED: one(*turned), CLASSES: one(*classes)}


def test_outcomes_in_words():
    frame = study.outcomes(surveyed(classes=(0.1, 0.2)))
    assert frame.index.name == "layer" and list(frame.index) == [LAST, TURNED, CLASSES]
    assert frame["outcome"].tolist() == ["units more coherent", "no difference found", "units less coherent"]
    assert frame["95 % interval"].tolist()[0] == "-0.300 to -0.100"
    assert frame["difference"].tolist() == pytest.approx([-0.2, 0, 0.15])


def test_the_draw_in_words():
    line = study.drawn_line(torch.tensor([9, 3, 5]), torch.tensor([9, 3, 4]))
    assert line.startswith("Of the 3 photographs drawn, the network reads 2 correctly, and takes 1 for an ostrich")
    labels = torch.arange(200)
    other = study.other_classes(labels)
    assert bool((other != labels).all()) and int(other.max()) > 900


def test_the_penalty_method_gets_few_photographs(monkeypatch):
    monkeypatch.setattr(study.runs, "attack", lambda model, images, targets, **_: (len(images), targets.tolist()))
    targets = torch.arange(70)
    assert study.by_penalty(None, torch.zeros(31, 3, 2, 2), targets[:31]) is None
    assert study.by_penalty(None, torch.zeros(70, 3, 2, 2), targets) == (2, [0, 1])


def test_figure_5_by_hand():
    attacks = {TO_OSTRICH: found([0.001, 0.003], [True, False]), TO_RANDOM: found([0.002, 0.002])}
    frame = study.figure5_table(attacks, "made").to_frame()
    assert frame.loc[TO_OSTRICH].tolist() == pytest.approx(
        [2, 0.5, 0.002, PRINTED, 0.002 - PRINTED, 0.002 / PRINTED, 0.002, 0.001, 0.003]
    )
    assert frame.loc[TO_RANDOM, ["paper", "difference", "ours / paper"]].isna().all()
    line = study.second_starts(found([0.001, 0.002, 0.006], evaluations=[30, 30, 90]))
    assert line == "1 of 3 photographs needed a second start; without them the mean distortion is 0.001500."


def test_what_survives_by_hand():
    frame = study.survival(grown())
    assert frame.index.tolist() == [1, 3] and frame.index.name == "factor"
    assert frame.loc[3].tolist() == pytest.approx([0.0045, 0.5, 0.5, 0.5, 0.0045])
    assert study.certain(grown()).tolist() == [0.003, torch.inf]
    assert study.saved(grown()).tolist() == [0.0025, torch.inf]


def test_what_is_asked_for_by_hand():
    frame = study.asked(found([0.001, 0.002]), grown(), found([0.0009]))
    assert frame.index.name == "what is asked for"
    assert frame["images that get there"].tolist() == ["2 of 2", "1 of 2", "1 of 2", "1 of 1", "1 of 1"]
    assert frame["mean distortion"].tolist() == pytest.approx([0.0015, 0.003, 0.0025, 0.001, 0.0009])
    assert frame["ours / paper"].tolist() == pytest.approx((frame["mean distortion"] / PRINTED).tolist())
    assert list(frame.index[3:]) == ["the first 1, shortest change", "the first 1, the paper's penalty method"]
    assert len(study.asked(found([0.001, 0.002]), grown(), None)) == 3


def test_transfer_multiplies_the_changes(monkeypatch):
    images = torch.full((2, 1, 1, 1), 0.5)
    labels = torch.tensor([0, 0])
    # Each network reads class 1 above its threshold; the changes are made for the first.
    networks = {
        name: lambda x, edge=edge: torch.stack([edge - x.flatten(), x.flatten() - edge], 1)
        for name, edge in (("A", 0.55), ("B", 0.8))
    }

    def attack(model, images, targets, **_):
        return SimpleNamespace(images=images + 0.1 * (targets == 9).float().view(-1, 1, 1, 1))

    monkeypatch.setattr(ostriches, "attack", attack)
    frame = study.transfer(networks, images, labels)
    assert list(frame.columns) == ["A", "B"] and list(frame.index) == ["A, × 1", "A, × 5", "B, × 1", "B, × 5"]
    assert frame.loc["A, × 1"].tolist() == [1, 0] and frame.loc["A, × 5"].tolist() == [1, 1]
    assert "1 can be run here" in study.no_transfer({"A": None})


def test_each_claim_can_fail_by_itself():
    rows = {f"{name}, top {k}": [1.0] for name in ("A", "B") for k in (1, 5)}

    def failing(*, inside=rows, surveys=None, ostrich=(0.001, 0.002), attacks=None, saved=None):
        both = {TO_OSTRICH: found(ostrich), TO_RANDOM: found([0.002, 0.002])} | (attacks or {})
        large = saved or grown()
        outcomes = study.claims(Table("imagenet_accuracy", ["inside"], inside), surveys or surveyed(), both, large)
        assert all(type(holds) is bool for holds in outcomes.values())
        return [number for number, holds in enumerate(outcomes.values()) if not holds]

    assert failing() == []
    assert failing(inside=rows | {"A, top 5": [0.0]}) == [0]
    assert failing(inside=rows | {"B, top 5": [0.0]}) == []
    assert failing(surveys=surveyed(directions=1.0)) == [1]
    assert failing(surveys=surveyed(last=(-0.1, 0.1))) == [2]
    assert failing(surveys=surveyed(high=coherence.MARGIN)) == [3]
    assert failing(surveys=surveyed(classes=(-0.1, 0.1))) == [4]
    assert failing(surveys=surveyed(turned=(0.1, 0.2))) == [5]
    assert failing(attacks={TO_OSTRICH: found([0.001, 0.002], [True, False])}) == [6]
    assert failing(attacks={TO_RANDOM: found([0.001, 0.002], [True, False])}) == [7]
    assert failing(ostrich=(0.004, 0.004)) == [8]
    survivors = Amplified(**(vars(grown()) | {"rounded_hit": torch.tensor([[True, False], [True, False]])}))
    assert failing(saved=survivors) == [9]


def test_only_what_differs_from_the_stored_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    meta = {"data": "made"}
    accuracy = Table("imagenet_accuracy", ["measured"], {"A": [0.5]}, meta)
    coherence = Table("imagenet_units", ["p"], {"A": [0.5]}, meta)
    figure5 = Table("imagenet_ostriches", ["images", "mean distortion"], {"A": [2, 0.001]}, meta)
    tables = {"accuracy": accuracy, "coherence": coherence, "figure5": figure5, "claims": {"One": True}}
    assert len(study.disagreements(**tables)) == 4  # nothing is stored yet
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert study.disagreements(**tables) == []
    monkeypatch.delenv("INTRIGUING_RECORD")
    moved = Table("imagenet_ostriches", ["images", "mean distortion"], {"A": [2, 0.00102]}, meta)
    assert study.disagreements(**tables | {"figure5": moved}) == []
    moved = Table("imagenet_ostriches", ["images", "mean distortion"], {"A": [2, 0.00104]}, meta)
    (line,) = study.disagreements(**tables | {"figure5": moved})
    assert "imagenet_ostriches" in line
    (line,) = study.disagreements(**tables | {"claims": {"One": False}})
    assert "imagenet_claims" in line


def test_only_the_stored_networks_and_photographs_are_compared():
    squeezenet = {recognition.SQUEEZENET: None}
    assert study.comparable(photos([0]), squeezenet)
    assert not study.comparable(photos([0], pinned=False), squeezenet)
    assert not study.comparable(photos([0]), {recognition.ALEXNET: None} | squeezenet)
