"""The survey of a layer, on clouds whose answer is known."""

from __future__ import annotations

import pytest
import torch

from intriguing import units, units_study
from intriguing.data import Images
from intriguing.models import build


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(spread: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Six classes, each along an axis of its own, with lengths from 0.5 to 1.5, and two dead units."""
    draw = generator()
    labels = torch.arange(600) % 6
    features = torch.nn.functional.one_hot(labels, 8) * (0.5 + torch.rand(600, 1, generator=draw))
    return (features + spread * torch.rand(600, 8, generator=draw)) * (torch.arange(8) < 6), labels


FEATURES, LABELS = cloud()
IMAGES = FEATURES[:, None, None, :]
FOUND = units_study.survey("cloud", FEATURES, IMAGES, LABELS, FEATURES, resamples=99, directions=300)


def test_survey_counts_units_and_leaves_the_dead_out():
    assert FOUND.dead == 2
    assert FOUND.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    assert FOUND.unit_sets.shape == (6, 64) and FOUND.direction_sets.shape == (300, 64)
    assert len(FOUND.of_units) == 6 and len(FOUND.of_directions) == 300
    assert list(FOUND.by_k) == [4, 8, 16, 60, 64]  # 60 is a tenth of the images


def test_sets_are_the_top_images_and_measures_belong_to_the_first_eight():
    assert torch.equal(FOUND.unit_sets, units.top(FEATURES, None, 64)[:6])
    first = units.coherence(FOUND.unit_sets[:, :8], LABELS, IMAGES, FEATURES)
    assert torch.equal(FOUND.of_units.purity, first.purity)
    ratio = FOUND.of_units.pixel_distance / first.pixel_distance
    assert ratio.tolist() == pytest.approx([1 / units.overall_distance(IMAGES)] * 6)
    for measure, comparison in FOUND.measures.items():
        assert comparison.units == pytest.approx(float(getattr(FOUND.of_units, measure).mean()))
        assert comparison.directions == pytest.approx(float(getattr(FOUND.of_directions, measure).mean()))
    assert FOUND.by_k[8] == FOUND.measures["purity"]
    assert FOUND.by_k[60].directions == pytest.approx(float(units.purity(FOUND.direction_sets[:, :60], LABELS).mean()))


def test_axes_of_the_classes_are_found_to_be_distinguished():
    assert FOUND.by_k[64].units == 1.0
    assert FOUND.by_k[64].verdict(units_study.MARGIN) == "units higher"
    natural, null, p = units_study.turned(FEATURES[:, :6], LABELS, 64, rotations=39)
    assert natural == 1.0 and len(null) == 39 and p == pytest.approx(0.05)


def test_turning_the_axes_takes_the_distinction_away():
    away = units.rotation(6, generator(5))
    found = units_study.survey(
        "turned", FEATURES[:, :6] @ away.T, IMAGES, LABELS, FEATURES, resamples=99, directions=300
    )
    assert found.by_k[64].low < 0
    assert found.dead == 0


def test_units_that_fire_too_rarely_for_k_are_left_out():
    features = FEATURES.clone()
    features[:, 5] = 0
    features[:10, 5] = 1.0  # fires on ten images: takes part for 4 and 8, not for 16
    found = units_study.survey("rare", features, IMAGES, LABELS, FEATURES, resamples=9, directions=20)
    assert found.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    pure = units.purity(units.top(features, None, 16), LABELS)
    assert found.by_k[16].units == pytest.approx(float(pure[:5].mean()))


def test_class_means_and_their_share_of_the_variance():
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 5.0], [6.0, 5.0]])
    means, between = units_study.class_means(features, torch.tensor([0, 0, 1, 1]))
    assert means.tolist() == [[1, 1], [5, 5]]
    # Squares around the centre (3, 3): 9+1+1+9 and four times 4; between: four times 4, twice.
    assert between == pytest.approx(32 / 36)


def test_directions_of_well_parted_classes_are_foretold_by_the_means():
    assert FOUND.foretold > 0.9
    strangers = torch.randint(0, 6, (600,), generator=generator(7))
    found = units_study.survey("strangers", FEATURES, IMAGES, strangers, FEATURES, resamples=9, directions=300)
    assert found.foretold < 0.5 and found.between < 0.1


def test_mixing_starts_at_the_units_and_loses_what_they_have():
    features = FEATURES[:, :6]
    found = units_study.mixing(features, LABELS, [1, 2, 6], 64, count=200)
    for values in found.values():
        assert values[0] == 1.0 and values[2] < 0.95
    assert found["positive weights"] != found["weights of both signs"]


def test_guesses_show_one_unit_and_one_direction_each():
    shown = units_study.drawn(FOUND, 6)
    assert sorted(shown.tolist()) == [0, 1, 2, 3, 4, 5]
    found = units_study.guesses(FOUND, 4, skip=2)
    assert [guess.unit for guess in found] == FOUND.numbers[shown[2:]].tolist()
    assert [guess.direction for guess in found] == [2, 3, 4, 5]
    assert len({guess.first for guess in units_study.guesses(FOUND, 6)}) == 2
    for guess in found:
        unit, direction = guess.rows if guess.first else guess.rows.flip(0)
        assert torch.equal(unit, FOUND.unit_sets[guess.unit, :8])
        assert torch.equal(direction, FOUND.direction_sets[guess.direction, :8])


def test_layers_are_those_of_the_networks():
    conv, sigmoid = build("ConvNet").eval(), build("FC100-100-10").eval()
    images = torch.rand(40, 1, 28, 28, generator=generator())
    found = units_study.layers(
        conv, sigmoid, build("ConvNet", seed=1).eval(), build("FC100-100-10", seed=1).eval(), images
    )
    widths = [784, 32, 64, 1024, 200, 200, None, 10, 64, 200, 100, 100, 10, 100]
    for (name, (features, _)), width in zip(found.items(), widths, strict=True):
        assert features.shape[1] == width or name == units_study.TURNED
    dense, judge = found["dense"]
    assert torch.allclose(dense, units.features(conv, images, 9), atol=1e-5)
    assert torch.allclose(found["logits"][0], units.features(conv, images, 10), atol=1e-5)
    assert torch.allclose(found["conv 2, channels"][0], units.features(conv, images, 6, unit="maximum"), atol=1e-5)
    assert torch.equal(judge, units.standardised(units.features(sigmoid, images, 4)))
    turned = found[units_study.TURNED][0]
    live = dense[:, units.firing(dense) >= 8]
    assert torch.allclose(turned.norm(dim=1), live.norm(dim=1), rtol=1e-4) and not torch.allclose(turned, live)
    assert not torch.allclose(found["untrained: dense"][0], dense)


def test_tables_hold_what_the_surveys_found():
    surveys = {"cloud": FOUND}
    table = units_study.purity_table(surveys, "a cloud").to_frame().loc["cloud"]
    assert table["all units"] == 8 and table["dead"] == 2
    assert table["difference"] == pytest.approx(table["units"] - table["directions"])
    assert table["low"] <= table["difference"] <= table["high"]
    whole = units_study.measures_table(surveys, "a cloud")
    assert whole.to_frame().loc["cloud", "entropy, units"] == pytest.approx(FOUND.measures["entropy"].units)
    assert whole.to_frame().loc["cloud", "purity, directions"] == pytest.approx(FOUND.measures["purity"].directions)
    assert whole.meta["data"] == "a cloud"


def test_p_values_of_all_layers_are_raised_together():
    frame = units_study.p_values({"one": FOUND, "two": FOUND})
    raw = torch.tensor([FOUND.measures[measure].p for measure in units_study.MEASURES] * 2)
    assert frame.to_numpy().ravel().tolist() == pytest.approx(units.holm(raw).tolist())
    assert list(frame.index) == ["one", "two"] and list(frame.columns)[2:] == ["pixel distance", "feature distance"]


def test_sizes_are_those_of_the_survey():
    frame = units_study.size_frame(FOUND)
    assert list(frame.index) == [4, 8, 16, 60, 64]
    assert frame.loc[60, "high"] == FOUND.by_k[60].high


HALVED = Images(IMAGES / 2, LABELS, "a cloud")


def test_rows_name_the_unit_and_count_the_label_that_they_share():
    assert units_study.shared(torch.tensor([0, 6, 12, 1]), LABELS) == "3 of 4 show a 0"
    rows = units_study.unit_rows(FOUND, HALVED, 2, 4)
    places = units_study.drawn(FOUND, 4)[2:].tolist()
    for row, place in zip(rows, places, strict=True):
        assert row.words == f"unit {place}" and row.caption == f"unit {place}: 8 of 8 show a {place}"
        assert torch.equal(row.images, HALVED.images[FOUND.unit_sets[place, :8]])
    (row,) = units_study.direction_rows(FOUND, HALVED, 5, 6)
    assert row.caption == f"direction 6: {units_study.shared(FOUND.direction_sets[5, :8], LABELS)}"


def test_random_sets_of_one_class_are_pure_and_those_of_many_are_not():
    assert units_study.random_purity(torch.zeros(50, dtype=torch.long)) == 1.0
    # Two classes of equal size: eight draws have 4 + E|x - 4| in the larger one, 5.09 for coins.
    assert units_study.random_purity(torch.arange(2000) % 2) == pytest.approx(5.094 / 8, abs=0.01)


def test_often_keeps_the_units_that_fire_on_enough_images():
    assert units_study.often(FEATURES, 8).shape == (600, 6)
    assert torch.equal(units_study.often(FEATURES, 8), FEATURES[:, :6])


def test_turnings_and_mixings_leave_rare_units_out():
    layers = {"cloud": (FEATURES, FEATURES)}
    found = units_study.turnings(layers, LABELS, ["cloud"])
    assert list(found) == [("cloud", 8), ("cloud", 60)]
    assert found["cloud", 60][0] == 1.0 and found["cloud", 60][2] < 0.1
    frame = units_study.turned_frame(found)
    assert frame.loc["cloud, sets of 60", "natural basis"] == 1.0
    assert frame.loc["cloud, sets of 60", "turned bases, mean"] == pytest.approx(float(found["cloud", 60][1].mean()))
    sizes, curves = units_study.mixings(layers, LABELS, ["cloud"])["cloud"]
    assert sizes == [1, 2, 4, 6] and curves["positive weights"][0] == 1.0


def test_clouds_tell_trained_layers_from_the_others():
    frame = units_study.purity_table(dict.fromkeys(("pixels", "dense", units_study.TURNED), FOUND), "x").to_frame()
    found = units_study.clouds(frame)
    assert list(found["trained"]) == ["dense"] and list(found["untrained or pixels"]) == ["pixels"]
    assert found["trained"]["dense"] == (FOUND.between, FOUND.measures["purity"].directions)
