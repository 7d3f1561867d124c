"""The comparisons of the chapter on photographs, each by hand or on features in which the answer was planted."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch.nn import functional as F

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.book import coherence, paper, results, settings
from intriguing.book.results import Table
from intriguing.book.tables import SPREADS
from intriguing.chapters.photographs import recognition, study
from intriguing.chapters.photographs.ostriches import Amplified
from intriguing.chapters.photographs.recognition import Responses
from intriguing.chapters.photographs.study import CLASSES, LAST, TO_OSTRICH, TO_RANDOM, TURNED, Figure5, Judges
from intriguing.chapters.photographs.travel import AWAY, FIVE, NOISE, OTHERS, SIZES, TARGET
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
        margin=torch.tensor([[0.0, 0.1], [2.0, -1.0]], dtype=torch.float64),
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
    left = (
        "Left out: AlexNet, as torchvision has it, whose weights are not on this computer; "
        "python -m intriguing fetch alexnet brings them."
    )
    assert lines == [some.summary() + ".", "Networks: A, B.", left]
    whole = study.at_hand(some, {recognition.ALEXNET: model, "B": model}).splitlines()
    assert whole == [some.summary() + ".", "Networks: AlexNet, B."]
    lines = study.at_hand(None, {}).splitlines()
    assert lines[0] == photographs.absence() and lines[1] == "Networks: no weights on this computer."
    assert lines[2] == left and lines[3].startswith("Everything on this page") and len(lines) == 4
    assert study.at_hand(some, {}).splitlines()[3] == lines[3]


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
    lite = study.accuracy_table({recognition.LITE0: Responses(logits, logits)}, photos(labels)).to_frame()
    assert lite.loc[f"{recognition.LITE0}, top 5", ["published", "difference", "inside"]].isna().all()


def test_judges_see_with_another_network():
    some = photos([3, 700, 5, 900])
    other = torch.tensor([[1.0, 0.0], [3.0, 1.0], [1.0, 5.0], [3.0, 2.0]])
    found = study.judges(some, other)
    assert found.kinds.tolist() == [0, 1, 0, 1] and found.pixels.shape == (4, 3, 28, 28)
    assert found.eyes.shape == (4, 2) and torch.allclose(found.eyes.norm(dim=1), torch.ones(4))
    long = study.judges(some, other, length=False)
    assert torch.allclose(long.eyes.std(0, correction=0), torch.ones(2))
    names = [recognition.SQUEEZENET, recognition.LITE0, recognition.LITE1]
    assert study.opposite(names[0], dict.fromkeys(names)) == names[1]
    assert study.opposite(names[1], dict.fromkeys(names)) == names[0]
    assert study.opposite(names[1], dict.fromkeys(names[1:])) == names[2]
    assert study.judging(names[0], dict.fromkeys(names)) == (names[1],)
    more = dict.fromkeys([recognition.ALEXNET, *names])
    assert study.judging(recognition.ALEXNET, more) == (recognition.LITE0, recognition.SQUEEZENET)
    assert study.judging(recognition.LITE0, more) == (recognition.ALEXNET, recognition.SQUEEZENET)


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
    features, judges, surveys = planted
    answers = {name: Responses(features, features) for name in ("A", "B")}
    table = study.coherence_table(dict.fromkeys("AB", surveys), answers, dict.fromkeys("AB", judges), "made")
    frame = table.to_frame()
    assert len(frame) == 18
    c = surveys[CLASSES].measures["pixel_distance"]
    columns = ["units", "directions", "difference", "low", "high", "p", "win"]
    wanted = [c.units, c.directions, c.difference, c.low, c.high, c.p, c.win]
    for row in ("classes: distance in pixels", "B, classes: distance in pixels"):
        assert frame.loc[row, columns].tolist() == pytest.approx(wanted)
    assert frame.loc["last features: share of one kind", "units"] == 1
    # Seven others of each kind among 79; a set's most frequent kind has one photograph at least.
    assert 1 / 8 < frame.loc["last features: share of one kind", "strangers"] < 0.5
    assert frame.loc["last features: distance in pixels", "strangers"] == pytest.approx(1, abs=0.02)
    row = frame.loc["last features: distance in another network"]
    # Features are at least zero with a long tail above: directions read at it choose photographs that are more alike.
    assert row["units"] < row["turned"] < row["directions"] and row["fair high"] < 0
    assert row["fair"] == pytest.approx(row["units"] - row["turned"])
    assert frame.loc["the same, axes turned: distance in pixels", ["turned", "strangers", "fair"]].isna().all()
    words = study.outcomes(table)
    assert words.loc[LAST].tolist() == ["units more alike"] * 2 and words.loc[TURNED].iloc[1] == ""


def test_directions_are_read_at_their_longer_tail():
    features = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    directions = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert study.orientation(features, directions).tolist() == [1, -1, -1]


def test_several_judges_are_asked(planted):
    features, judges, _ = planted
    blind = Judges(judges.kinds, judges.pixels, torch.rand(80, 5, generator=torch.Generator().manual_seed(3)))
    frame = study.judges_table(features, {"seeing": judges, "blind": blind}, "made").to_frame()
    assert frame.loc["seeing", "units"] < 0.7 * frame.loc["seeing", "strangers"]
    assert frame.loc["blind", "units"] == pytest.approx(frame.loc["blind", "strangers"], rel=0.05)


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


def test_outcomes_in_words():
    word = study.MEASURES["feature_distance"]
    columns = ["low", "high", "fair low", "fair high"]
    rows = {
        f"A: {word}": [-0.3, -0.1, -0.1, 0.1],
        "A: share of one kind": [0, 0, 0, 0],
        f"B: {word}": [0.1, 0.2, None, None],
    }
    frame = study.outcomes(Table("imagenet_units", columns, rows))
    assert frame.index.name == "layer" and frame.loc["A"].tolist() == ["units more alike", "no difference found"]
    assert frame.loc["B"].tolist() == ["units less alike", ""] and len(frame) == 2


def test_random_classes_are_wrong_ones():
    labels = torch.arange(200)
    other = study.other_classes(labels)
    assert bool((other != labels).all()) and int(other.max()) > 900


def drawn(**changed) -> Figure5:
    """Three photographs and two networks; the first reads two of them."""
    made = {
        "images": torch.zeros(3, 3, 2, 2),
        "labels": torch.tensor([1, 2, 3]),
        "right": {"A": torch.tensor([True, False, True]), "B": torch.tensor([False] * 3)},
        "found": {"A": found([0.001, 0.003, 0.002]), "B": found([0.002, 0.002, 0.005])},
        "other": found([0.002, 0.002]),
        "surer": {"A": {sure: torch.tensor([0.0, 0.001, 0.004]) + more for sure, more in
                        ((0.0, 0), (0.9, 0.001), (0.99, 0.002))}},
    }  # fmt: skip
    return Figure5(**(made | changed))


def test_figure_5_by_hand():
    frame = study.figure5_table(drawn(), "made").to_frame()
    assert list(frame.index) == [TO_OSTRICH, f"B, {TO_OSTRICH}", TO_RANDOM]
    row = frame.loc[TO_OSTRICH]
    root = math.sqrt(3)
    assert row.tolist() == pytest.approx(
        [3, 1, 0.002, root * 0.002, PRINTED, 0.002 / PRINTED, root * 0.002 / PRINTED, 2, 0.0015, 0.002, 0.001, 0.003]
    )
    assert frame.loc[f"B, {TO_OSTRICH}", "read correctly"] == 0
    assert math.isnan(frame.loc[f"B, {TO_OSTRICH}", "mean of these"])
    assert study.figure5_table(drawn(), "made").name == "imagenet_ostriches"
    table = study.surer_table(drawn(), "made")
    surer = table.to_frame()
    assert surer["A, median"].tolist() == pytest.approx([0.001, 0.002, 0.003]) and table.meta["photographs"] == 3
    assert surer["A, lower quartile"].tolist() == pytest.approx([0.0005, 0.0015, 0.0025])
    assert surer["A, upper quartile"].tolist() == pytest.approx([0.0025, 0.0035, 0.0045])
    assert surer.index[0] == "the likeliest class" and surer.index[1] == "with probability 0.9"


def searching(penalty=0.0011):
    row = {"penalty": penalty, "walk": 0.001, "ratio": penalty / 0.001, "success": 1.0, "evaluations": 300.0}
    far = row | {"penalty": 2 * penalty, "ratio": 0.99, "evaluations": 600.0}
    return study.Penalised("A network", [row, row, far])


def test_the_penalty_method_is_set_beside_the_walk_by_hand(tmp_path, monkeypatch):
    frame = searching().frame()
    assert list(frame.index) == ["mean", "median", "smallest", "largest"]
    assert frame["penalty method"].tolist() == pytest.approx([0.0044 / 3, 0.0011, 0.0011, 0.0022])
    assert frame["ratio"].tolist() == pytest.approx([3.19 / 3, 1.1, 0.99, 1.1])
    line = study.penalised_line(searching())
    assert line.startswith(
        "On 3 photographs and A network the penalty method succeeds on 3, after 400 evaluations in the mean"
    )
    share = 3**0.5 * 0.0044 / 3 / PRINTED
    assert f"0.001467, or {3**0.5 * 0.0044 / 3:.6f} per pixel, {share:.0%} of what the paper prints" in line
    assert line.endswith("lengths are 1.063 in the mean, from 0.990 to 1.100.")
    (tmp_path / "results" / "benchmarks").mkdir(parents=True)
    stored = '{"meta": {"network": "A network"}, "rows": [{"penalty": 1.0, "walk": 0.5, "ratio": 2.0}]}'
    (tmp_path / "results" / "benchmarks" / "penalty.json").write_text(stored)
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    assert study.penalised().frame().at["median", "ratio"] == 2


def test_what_survives_by_hand():
    frame = study.survival(grown(), "A")
    assert frame.index.tolist() == [1, 3] and frame.index.name == "A, factor"
    assert frame.loc[3].tolist() == pytest.approx([0.0045, 0.5, 0.5, 0.5, 0.5, 0.0045])
    assert study.by_margin(grown(), bins=2) == ([-0.5, 1.05], [0.0, 0.5])


def journey(noise=0.1, others=0.2, into=0.0, count=40):
    """Forty photographs, two networks: each fools itself, and the other with four of ten, the first ones."""
    misread, hit = {}, {}
    for goal in (TARGET, AWAY):
        for size in SIZES:
            for reader in "AB":
                for maker, share in (("A", 0.4), ("B", 0.4), (NOISE, noise), (f"A: {OTHERS}", others),
                                     (f"B: {OTHERS}", others)):  # fmt: skip
                    place = (goal, maker, size, reader)
                    misread[place] = torch.arange(count) < (count if maker == reader else count * share)
                    if goal == TARGET:
                        hit[place] = torch.arange(count) < (count if maker == reader else count * into)
    return study.travels(study.Travel(("A", "B"), misread, hit, {}), "imagenet_transfer", "made")


def test_shares_are_laid_out_and_averaged():
    misread, hit, elsewhere = journey()
    assert [table.name for table in (misread, hit, elsewhere)] == [
        "imagenet_transfer", "imagenet_transfer_target", "imagenet_transfer_elsewhere"
    ]  # fmt: skip
    assert misread.meta == {"data": "made", "photographs": 40}
    frame = study.square(misread, FIVE)
    assert list(frame.columns) == ["A", "B"] and frame.at[f"{AWAY}, A", "B"] == 0.4
    assert list(study.square(hit, FIVE).index)[0] == f"{TARGET}, A"
    row = study.part(elsewhere, AWAY, FIVE)
    assert row[[study.MISREAD, "noise", "another photograph's"]].tolist() == pytest.approx([0.4, 0.1, 0.2])
    # Four of ten: a variance of 0.4 * 0.6, over 39; the differences hold three of ten, and two of ten.
    assert row[f"± {study.MISREAD}"] == pytest.approx((0.24 / 39) ** 0.5)
    assert row[[study.OVER_NOISE, f"± {study.OVER_NOISE}"]].tolist() == pytest.approx([0.3, (0.21 / 39) ** 0.5])
    assert row[[study.OVER_OTHERS, f"± {study.OVER_OTHERS}"]].tolist() == pytest.approx([0.2, (0.16 / 39) ** 0.5])
    assert math.isnan(row[study.INTO]) and study.part(elsewhere, TARGET, FIVE)[study.INTO] == 0


def test_photographs_that_all_read_travel_and_ostriches_are_not_made_twice(monkeypatch):
    some = photos([3, 4, 5, 6, 7])
    order = study.ostriches.draw(5, 5)
    read = F.one_hot(some.labels, 1000).float()
    blind = read.clone()
    blind[order[1]] = F.one_hot(torch.tensor(999), 1000).float()  # the second of the draw is misread by one network
    figure = drawn(found={"A": found([0.1, 0.1]), "B": found([0.1, 0.1])}, images=torch.zeros(2, 3, 2, 2))
    figure.found["A"].images[0], figure.found["B"].images[0] = 0.25, 0.75
    asked = []

    def made_for(networks, images, classes, *, away=False, **_):
        asked.append((away, (images[:, 0, 0, 0] * 255).round().long().tolist(), classes.tolist()))
        return {name: torch.zeros(len(images), 3, 2, 2) for name in networks}

    def travel(networks, images, right, made, targets):
        assert right(some.labels[order[[0, 2, 3]]]).all() and set(targets.tolist()) == {9}
        assert made[TARGET]["A"][:, 0, 0, 0].tolist() == [0.25, 0, 0] and made[TARGET]["B"][0, 0, 0, 0] == 0.75
        return "a journey"

    monkeypatch.setattr(study, "made_for", made_for)
    monkeypatch.setattr(study, "travel", travel)
    monkeypatch.setattr(study, "travels", lambda found, name, data: [found, name])
    monkeypatch.setattr(study, "sizes", lambda: study.Sizes(1, (), (), 3, 1, 1))
    answers = {"A": Responses(read, read), "B": Responses(blind, blind)}
    assert study.moved(dict.fromkeys("AB"), answers, some, figure) == ["a journey", "imagenet_transfer"]
    chosen = order[[0, 2, 3]].tolist()
    assert asked == [(False, chosen[1:], [9, 9]), (True, chosen, some.labels[chosen].tolist())]
    # Where all are in the figure already, none is made an ostrich again.
    asked.clear()
    monkeypatch.setattr(study, "sizes", lambda: study.Sizes(1, (), (), 2, 1, 1))
    monkeypatch.setattr(study, "travel", lambda networks, images, right, made, targets: made[TARGET]["B"])
    both = study.moved(dict.fromkeys("AB"), {"A": Responses(read, read)}, some, figure)[0]
    assert both[:, 0, 0, 0].tolist() == [0.75, 0] and [away for away, *_ in asked] == [True]


def units_table(last=(-0.3, -0.1), fair=-0.05, turned=(-0.1, 0.1), classes=(-0.5, -0.4), *, directions=0.9, kinds=0.01):
    word, kind = study.MEASURES["feature_distance"], study.MEASURES["purity"]
    rows = {
        f"{LAST}: {word}": [directions, 1.0, *last, fair],
        f"{TURNED}: {word}": [0.9, None, *turned, None],
        f"{CLASSES}: {word}": [0.9, 1.0, *classes, 0.0],
        f"{LAST}: {kind}": [0.5, 0.4, 0.0, kinds, 0.0],
    }
    return Table("imagenet_units", ["directions", "strangers", "low", "high", "fair high"], rows)


def test_each_claim_can_fail_by_itself():
    rows = {f"{name}, top {k}": [1.0] for name in ("A", "B") for k in (1, 5)}

    close = {"A": found([0.001, 0.001, 0.002])}

    def failing(*, inside=rows, units=None, figure=None, saved=None, moved=None, searched=0.0011):
        large = saved or Amplified(**(vars(grown()) | {"rounded_hit": grown().rounded_hit}))
        outcomes = study.claims(
            Table("imagenet_accuracy", ["inside"], inside), units or units_table(), figure or drawn(found=close), large,
            moved or journey(), searching(searched),
        )  # fmt: skip
        few = (moved or journey())[-1].meta["photographs"] < study.FEW
        assert [type(holds) is bool for holds in outcomes.values()] == [True] * 13 + [not few] * 3
        return [number for number, holds in enumerate(outcomes.values()) if holds is False]

    assert failing() == []
    assert failing(inside=rows | {"A, top 5": [0.0]}) == [0]
    assert failing(inside=rows | {"B, top 5": [0.0]}) == [0]
    assert failing(inside=rows | {"B, top 5": [None]}) == []
    assert failing(units=units_table(directions=1.0)) == [1]
    assert failing(units=units_table(last=(-0.1, 0.1))) == [2]
    assert failing(units=units_table(fair=0.01)) == [3]
    assert failing(units=units_table(kinds=coherence.MARGIN)) == [4]
    assert failing(units=units_table(classes=(-0.1, 0.1))) == [5]
    assert failing(units=units_table(turned=(0.1, 0.2))) == [6]
    lost = found([0.002, 0.002, 0.005], [True, True, False])
    assert failing(figure=drawn(found=close | {"B": lost})) == [7]
    assert failing(figure=drawn(found=close, other=found([0.001, 0.002], [True, False]))) == [8]
    assert failing(figure=drawn(found={"A": found([0.002, 0.002, 0.002])})) == [9]
    assert failing(searched=0.002) == [10]
    survivors = Amplified(**(vars(grown()) | {"rounded_hit": torch.tensor([[True, True], [True, False]])}))
    assert failing(saved=survivors) == [11]
    assert failing(saved=Amplified(**(vars(grown()) | {"rounded_hit": torch.zeros(2, 2, dtype=torch.bool)}))) == [12]
    assert failing(moved=journey(noise=0.35)) == [13] and failing(moved=journey(others=0.35)) == [14]
    assert failing(moved=journey(into=0.1)) == [15]
    assert failing(moved=journey(into=0.5, noise=0.5, others=0.5, count=study.FEW)) == [13, 14, 15]
    assert failing(moved=journey(into=0.5, noise=0.5, others=0.5, count=study.FEW - 1)) == []


def test_only_what_differs_from_the_stored_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    meta = {"data": "made"}
    accuracy = Table("imagenet_accuracy", ["measured"], {"A": [0.5]}, meta)
    units = Table("imagenet_units", ["p"], {"A": [0.5]}, meta)
    figure5 = study.figure5_table(drawn(), "made")
    empty = Table("imagenet_judges", ["units"], {}, meta)
    tables, claims = [accuracy, units, figure5, empty, *journey()], {"One": True}
    spread = Table(
        f"spread_{study.FREE}", [study.SPREAD], {"cat": [0.1], study.MEDIAN: [0.02]}, meta | {"profile": "quick"}
    )
    results.record(spread)
    assert len(study.disagreements(tables, claims)) == 7  # nothing is stored yet
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert study.disagreements(tables, claims) == []
    monkeypatch.delenv("INTRIGUING_RECORD")

    def moved(by):
        rows = {row: [entry[0], entry[1], entry[2] + by, *entry[3:]] for row, entry in figure5.rows.items()}
        return [accuracy, units, Table(figure5.name, figure5.columns, rows, meta), *journey()]

    single = 0.1 * SPREADS  # by what part one photograph may move, and a mean of n by the root of n less
    images, mean = figure5.rows[TO_OSTRICH][0], figure5.rows[TO_OSTRICH][2]
    assert study.disagreements(moved(0.9 * single * mean / images**0.5), claims) == []
    (line,) = study.disagreements(moved(1.5 * single * mean / images**0.5), claims)
    assert "imagenet_ostriches" in line
    (line,) = study.disagreements(tables, {"One": False})
    assert "imagenet_claims" in line
    assert study.disagreements([*tables[:4], *journey(into=4 / 40)], claims) == []  # a tenth may turn
    assert [line.split("'")[1] for line in study.disagreements([*tables[:4], *journey(into=5 / 40)], claims)] == [
        "imagenet_transfer_target", "imagenet_transfer_elsewhere"
    ]  # fmt: skip


def test_of_few_photographs_only_means_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert study.disagreements(journey(count=2), {}) == []
    monkeypatch.delenv("INTRIGUING_RECORD")
    assert study.disagreements(journey(count=2, into=0.5), {}) == []
    (line,) = study.disagreements(journey(count=2, into=1), {})
    assert "imagenet_transfer_elsewhere" in line


def test_only_the_stored_networks_and_photographs_are_compared():
    stored = dict.fromkeys([recognition.SQUEEZENET, recognition.LITE0, recognition.LITE1])
    assert study.comparable(photos([0]), stored)
    assert not study.comparable(photos([0], pinned=False), stored)
    assert not study.comparable(photos([0]), {recognition.ALEXNET: None} | stored)


def test_the_rule_about_turned_bases_is_applied():
    null = torch.linspace(0.99, 1.01, 99)
    ahead = study.Turned(0.9, null, 0.02).verdict()
    assert "stands out" in ahead and "more coherent" in ahead and "refutes the paper here, by 10.0%" in ahead
    assert f"by {0.1 / float(null.std()):.0f} of their" in ahead
    assert "less coherent" in study.Turned(1.1, null, 0.02).verdict()
    assert "does not stand out" in study.Turned(1.0, null, 0.6).verdict()


def test_what_the_text_says_is_so_in_the_stored_run():
    units = results.load("imagenet_units", "paper").to_frame()
    pixels = units.loc["classes: distance in pixels"]
    assert pixels["low"] > 0 and pixels["fair low"] > 0  # the pixels find directions more alike than units
    kinds = units.loc["EfficientNet-Lite0, last features: share of one kind"]
    assert kinds["difference"] > 0 and kinds["fair high"] < 0  # read likewise, directions are ahead
    usual, searched = inspect.signature(minimum_distortion).parameters, results.measured("penalty")["meta"]
    for setting in ("margin_tolerance", "tolerance"):
        assert searched[setting] == pytest.approx(10 * usual[setting].default)
