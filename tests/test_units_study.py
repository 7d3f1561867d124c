"""The survey of a layer, on clouds whose answer is known."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from intriguing.book import coherence, results, tables
from intriguing.chapters.units import study
from intriguing.data import Images, mnist
from intriguing.models.recipes import build


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
FOUND = coherence.survey("cloud", FEATURES, IMAGES, LABELS, FEATURES, resamples=99, directions=300)


def test_survey_counts_units_and_leaves_the_dead_out():
    assert FOUND.dead == 2
    assert FOUND.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    assert FOUND.unit_sets.shape == (6, 64) and FOUND.direction_sets.shape == (300, 64)
    assert len(FOUND.of_units) == 6 and len(FOUND.of_directions) == 300
    assert list(FOUND.by_k) == [4, 8, 16, 60, 64]  # 60 is a tenth of the images


def test_at_least_as_many_directions_as_units_are_drawn():
    found = coherence.survey("few", FEATURES, IMAGES, LABELS, FEATURES, resamples=9, directions=2)
    assert len(found.direction_sets) == FEATURES.shape[1]


def test_sets_are_the_top_images_and_measures_belong_to_the_first_eight():
    assert torch.equal(FOUND.unit_sets, coherence.top(FEATURES, None, 64)[:6])
    first = coherence.coherence(FOUND.unit_sets[:, :8], LABELS, IMAGES, FEATURES)
    assert torch.equal(FOUND.of_units.purity, first.purity)
    ratio = FOUND.of_units.pixel_distance / first.pixel_distance
    assert ratio.tolist() == pytest.approx([1 / coherence.overall_distance(IMAGES)] * 6)
    for measure, comparison in FOUND.measures.items():
        assert comparison.units == pytest.approx(float(getattr(FOUND.of_units, measure).mean()))
        assert comparison.directions == pytest.approx(float(getattr(FOUND.of_directions, measure).mean()))
    assert FOUND.by_k[8] == FOUND.measures["purity"]
    assert FOUND.by_k[60].directions == pytest.approx(
        float(coherence.purity(FOUND.direction_sets[:, :60], LABELS).mean())
    )


def test_axes_of_the_classes_are_found_to_be_distinguished():
    assert FOUND.by_k[64].units == 1.0
    assert coherence.verdict(FOUND.by_k[64].low, FOUND.by_k[64].high, coherence.MARGIN) == "units higher"
    natural, null, tails = study.turned(FEATURES[:, :6], LABELS, 64, rotations=39)
    assert natural == 1.0 and len(null) == len(tails) == 39 and null.max() < 1
    assert tails.mean() > null.mean()  # these classes lie at the longer tail of any direction


def test_turning_the_axes_takes_the_distinction_away():
    away = coherence.rotation(6, generator(5))
    found = coherence.survey("turned", FEATURES[:, :6] @ away.T, IMAGES, LABELS, FEATURES, resamples=99, directions=300)
    assert found.by_k[64].low < 0
    assert found.dead == 0


def test_units_that_fire_too_rarely_for_k_are_left_out():
    features = FEATURES.clone()
    features[:, 5] = 0
    features[:10, 5] = 1.0  # fires on ten images: takes part for 4 and 8, not for 16
    found = coherence.survey("rare", features, IMAGES, LABELS, FEATURES, resamples=9, directions=20)
    assert found.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    pure = coherence.purity(coherence.top(features, None, 16), LABELS)
    assert found.by_k[16].units == pytest.approx(float(pure[:5].mean()))


def test_class_means_and_their_share_of_the_variance():
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 5.0], [6.0, 5.0]])
    means, between = coherence.class_means(features, torch.tensor([0, 0, 1, 1]))
    assert means.tolist() == [[1, 1], [5, 5]]
    # Squares around the centre (3, 3): 9+1+1+9 and four times 4; between: four times 4, twice.
    assert between == pytest.approx(32 / 36)


def test_directions_of_well_parted_classes_are_foretold_by_the_means():
    assert FOUND.foretold > 0.9
    strangers = torch.randint(0, 6, (600,), generator=generator(7))
    found = coherence.survey("strangers", FEATURES, IMAGES, strangers, FEATURES, resamples=9, directions=300)
    assert found.foretold < 0.5 and found.between < 0.1


def test_mixing_starts_at_the_units_and_loses_what_they_have():
    features = FEATURES[:, :6]
    found = study.mixing(features, LABELS, [1, 2, 6], 64, count=200)
    for values in found.values():
        assert values[0] == 1.0 and values[2] < 0.95
    assert found["positive weights"] != found["weights of both signs"]


def test_guesses_show_one_unit_and_one_direction_each():
    shown = coherence.drawn(FOUND, 6)
    assert sorted(shown.tolist()) == [0, 1, 2, 3, 4, 5]
    found = study.guesses(FOUND, 4, skip=2)
    assert [guess.unit for guess in found] == FOUND.numbers[shown[2:]].tolist()
    assert [guess.direction for guess in found] == [2, 3, 4, 5]
    assert len({guess.first for guess in study.guesses(FOUND, 6)}) == 2
    for guess in found:
        unit, direction = guess.rows if guess.first else guess.rows.flip(0)
        assert torch.equal(unit, FOUND.unit_sets[guess.unit, :8])
        assert torch.equal(direction, FOUND.direction_sets[guess.direction, :8])


def test_layers_are_those_of_the_networks():
    conv, sigmoid = build("ConvNet").eval(), build("FC100-100-10").eval()
    images = torch.rand(40, 1, 28, 28, generator=generator())
    found = study.layers(conv, sigmoid, build("ConvNet", seed=1).eval(), build("FC100-100-10", seed=1).eval(), images)
    widths = [784, 32, 64, 1024, 200, 200, None, 10, 64, 200, 100, 100, 10, 100]
    for (name, (features, _)), width in zip(found.items(), widths, strict=True):
        assert features.shape[1] == width or name == study.TURNED
    dense, judge = found["dense"]
    assert torch.allclose(dense, coherence.features(conv, images, 9), atol=1e-5)
    assert torch.allclose(found["logits"][0], coherence.features(conv, images, 10), atol=1e-5)
    assert torch.allclose(found["conv 2, channels"][0], coherence.features(conv, images, 6, unit="maximum"), atol=1e-5)
    assert torch.equal(judge, coherence.standardised(coherence.features(sigmoid, images, 4)))
    turned = found[study.TURNED][0]
    live = dense[:, coherence.firing(dense) >= 8]
    assert torch.allclose(turned.norm(dim=1), live.norm(dim=1), rtol=1e-4) and not torch.allclose(turned, live)
    assert not torch.allclose(found["untrained: dense"][0], dense)


HALVED = Images(IMAGES / 2, LABELS, "a cloud")


def test_rows_name_the_unit_and_count_the_label_that_they_share():
    assert study.shared(torch.tensor([0, 6, 12, 1]), LABELS) == "3 of 4 show a 0"
    rows = study.unit_rows(FOUND, HALVED, 2, 4)
    places = coherence.drawn(FOUND, 4)[2:].tolist()
    for row, place in zip(rows, places, strict=True):
        assert row.words == f"unit {place}" and row.caption == f"unit {place}: 8 of 8 show a {place}"
        assert torch.equal(row.images, HALVED.images[FOUND.unit_sets[place, :8]])
    (row,) = study.direction_rows(FOUND, HALVED, 5, 6)
    assert row.caption == f"direction 6: {study.shared(FOUND.direction_sets[5, :8], LABELS)}"


def test_random_sets_of_one_class_are_pure_and_those_of_many_are_not():
    assert study.random_purity(torch.zeros(50, dtype=torch.long)) == 1.0
    # Two classes of equal size: eight draws have 4 + E|x - 4| in the larger one, 5.09 for coins.
    assert study.random_purity(torch.arange(2000) % 2) == pytest.approx(5.094 / 8, abs=0.01)


def test_often_keeps_the_units_that_fire_on_enough_images():
    assert study.often(FEATURES, 8).shape == (600, 6)
    assert torch.equal(study.often(FEATURES, 8), FEATURES[:, :6])


def test_an_interval_over_networks_is_student_s():
    index = pd.MultiIndex.from_product([range(4), ["a", "b"]])
    found = study.interval(pd.Series([1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 4.0, math.nan], index))
    # 2.5 and sqrt(5 / 3) over 2 times 3.1824, the 97.5 % point of Student's law with 3 degrees of freedom.
    assert found.loc["a"].tolist() == pytest.approx([2.5, 2.5 - 2.05426, 2.5 + 2.05426], abs=1e-4)
    assert found.loc["b"].tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("effect", "holds"), [((1, 2, 3, 4), True), ((-1, -2, -3, -4), False), ((-1, 2, 3, 1), None), ((0, 0), None)]
)
def test_a_claim_is_decided_by_the_sign_of_its_interval(effect, holds):
    assert study.decided(effect) is holds


def numbers(seed: int) -> dict[str, pd.DataFrame]:
    """What a network shows whose layers are all the cloud with other noise, without an effect of training."""
    names = (
        "pixels", "conv 1, channels", "conv 2, positions", "dense, before ReLU", "dense", study.TURNED, "logits",
        "untrained: dense", "sigmoid 1", "sigmoid 2", "sigmoid logits",
    )  # fmt: skip
    one = coherence.survey(
        "cloud", FEATURES, IMAGES, LABELS, FEATURES, resamples=None, directions=200 + seed, seed=seed
    )
    layers = dict.fromkeys(names, (FEATURES, FEATURES))
    head = torch.nn.Linear(8, 6)
    torch.nn.init.eye_(head.weight)
    made = study.numbers(dict.fromkeys(names, one), layers, LABELS, rotations=5, count=30, seed=seed)
    return made | {"ablated": study.matched.ablations(head, FEATURES, LABELS, seed=seed)}


FIRST = study.Network(None, {}, {"dense": FOUND}, {})
MADE = [numbers(seed) for seed in range(3)]
POPULATION = study.Population(FIRST, study.together(MADE), "clouds")


def test_tables_hold_means_over_networks_and_the_interval_of_the_difference():
    each = [one["layers"].loc["dense"] for one in MADE]
    row = study.purity_table(POPULATION).to_frame().loc["dense"]
    for column in ("units", "directions", "difference", "win", "foretold"):
        assert row[column] == pytest.approx(sum(one[column] for one in each) / 3)
    assert row["all units"] == 8 and row["dead"] == 2
    assert row["low"] < row["difference"] < row["high"]
    table = study.measures_table(POPULATION)
    assert table.meta["data"] == "clouds" and len(table.columns) == 8
    entropy = FOUND.measures["entropy"].units
    assert table.to_frame().loc["dense", "entropy, units"] == pytest.approx(entropy)  # units are the same in all
    assert table.to_frame().loc["dense", "purity, units"] == pytest.approx(row["units"])
    view = study.purity_view(study.purity_table(POPULATION)).to_html()
    assert "equivalent" in view and "nan" not in view


def test_fewer_networks_are_allowed_to_move_further():
    measured = results.load("spread_units_purity", "quick")
    assert f"populations of {study.SIZES['quick'].networks} networks" in measured.meta["quantity"]
    table = results.Table("units_purity", measured.columns, measured.rows, {"data": "clouds"})
    wider = study.tolerances(table, POPULATION, floor=0.02)
    assert wider.min(axis=None) == 0.02
    place = ("logits", "difference")
    assert wider.loc[place] == pytest.approx(max(0.02, 4 * measured.to_frame().loc[place] * (8 / 3) ** 0.5))
    whole = dataclasses.replace(POPULATION, numbers=study.together([MADE[0]] * study.SIZES["quick"].networks))
    pd.testing.assert_frame_equal(
        study.tolerances(table, whole, floor=0.02), tables.tolerances("units_purity", floor=0.02)
    )


def test_sizes_turnings_and_mixings_are_means_over_networks():
    frame = study.size_frames(POPULATION, ["dense"])["dense"]
    assert list(frame.index) == [4, 8, 16, 60, 64]
    assert frame.loc[60, "difference"] == pytest.approx(sum(one["sizes"].loc["dense", 60] for one in MADE) / 3)
    frame = study.turned_frame(POPULATION)
    row = frame.loc["dense, sets of a tenth"]
    assert row["purity", "natural basis"] == 1.0
    for words, column in (("over turned", "turned"), ("over oriented", "oriented")):
        assert row[words, "lead"] == pytest.approx(1 - row["purity", column])
        assert row[words, "low"] < row[words, "lead"] < row[words, "high"]
    natural, null = study.turned_panels(POPULATION)["dense"]
    assert natural == pytest.approx([1 - one["turned"].loc["dense, sets of a tenth", "oriented"] for one in MADE])
    assert len(null) == 15 and null.mean() == pytest.approx(0) and natural.min() > 0
    sizes, curves = study.mixed_panels(POPULATION)["dense"]
    assert sizes == [1, 2, 4, 6] and list(curves) == ["weights of both signs", "positive weights"]
    assert curves["positive weights"][0] == pytest.approx(FOUND.measures["purity"].units, abs=0.05)


def test_networks_are_listed_and_counted():
    frame = study.by_network(POPULATION, "dense")
    assert list(frame.index) == ["seed 0", "seed 1", "seed 2"]
    note = study.by_network_note(frame.assign(difference=[0.1, -0.2, 0.4]))
    assert note == (
        "Mean difference over the 3 networks: +0.100, standard deviation from network to network 0.300. "
        "Units are ahead in 2 of them."
    )


def test_claims_speak_about_the_effects_of_all_networks():
    effects = study.effects(POPULATION, 0.2)
    assert all(len(effect) == 3 for effect in effects.values())
    lead = [one["sizes"].loc["dense", 60] for one in MADE]
    ahead = "In the hidden ReLU layer units are ahead of directions, on sets of a tenth of all images"
    assert effects[ahead].tolist() == lead
    same = "In rows of eight, those of the untrained hidden layer differ by less than half an image"
    margin = [coherence.MARGIN - abs(one["layers"].loc["dense", "difference"]) for one in MADE]
    assert effects[same].tolist() == margin
    training = effects["Training makes the directions of the hidden ReLU layer purer by more than a twentieth"]
    assert training.tolist() == pytest.approx([-0.05] * 3)  # the layers are all the same here
    claims = study.claims(POPULATION, 0.2)
    assert claims[ahead] is True
    assert claims["Training makes the directions of the hidden ReLU layer purer by more than a twentieth"] is False
    assert next(holds for claim, holds in claims.items() if "second sigmoid" in claim) is False


@pytest.mark.parametrize(("layer", "holds"), [("dense", False), ("conv 1, channels", False), ("logits", True)])
def test_what_is_said_of_every_hidden_layer_fails_with_one_of_them(layer, holds):
    layers = POPULATION.numbers["layers"].copy()
    layers["foretold"] = 0.6 + 0.01 * layers.index.codes[0]
    layers.loc[layers.index.get_level_values(1) == layer, "foretold"] -= 0.3
    layers.loc[layers.index.get_level_values(1).isin(["pixels", "untrained: dense"]), "foretold"] = 0.1
    found = study.Population(FIRST, dict(POPULATION.numbers) | {"layers": layers}, "clouds")
    (claim,) = (claim for claim in study.effects(found, 0.2) if claim.startswith("In every trained hidden layer"))
    assert study.claims(found, 0.2)[claim] is holds


def test_both_sides_are_read_alike_where_they_can_be():
    frame = study.likewise(POPULATION)
    assert list(frame.columns) == ["lead", "lead, low", "lead, high", "mean", "low", "high"]
    assert {row.rsplit(", sets", 1)[0] for row in frame.index} <= set(study.HIDDEN) and len(frame) % 2 == 0
    each = [one["oriented"].loc["sigmoid 2, sets of 8", "both oriented"] for one in MADE]
    assert frame.loc["sigmoid 2, sets of 8", "mean"] == pytest.approx(sum(each) / 3)
    one_ended = [one["oriented"].loc["dense, sets of 8", "matched"] for one in MADE]
    assert frame.loc["dense, sets of 8", "mean"] == pytest.approx(sum(one_ended) / 3)


def test_what_is_said_of_leads_that_are_left():
    rows = ["dense, sets of 8", "dense, sets of a tenth", "sigmoid 1, sets of 8", "sigmoid 1, sets of a tenth"]
    frame = pd.DataFrame(
        {
            "lead": 0.02, "lead, low": [-0.01, 0.01, 0.01, 0.01], "lead, high": 0.03,
            "mean": [-0.03, -0.02, 0.0, 0.02], "low": [-0.04, -0.03, -0.01, 0.01], "high": [-0.01, -0.01, 0.01, 0.03],
        },
        index=rows,
    )  # fmt: skip
    assert study.likewise_words(frame) == (
        "In 2 trained hidden layers and two sizes of sets, units lead for certain over directions as they were drawn "
        "in 3 of 4 comparisons. With both read towards their longer tails they do in 1 (sigmoid 1, sets of a tenth: "
        "+0.020 [+0.010, +0.030]), and directions do in 2."
    )


def test_the_verdict_is_that_of_the_stored_run():
    """What the page says of its paper-scale outcome in sentences without numbers."""
    claims = results.load_claims("units_claims", "paper")
    ahead = "Against directions read towards their longer tail, units of that layer are ahead"
    assert claims[f"{ahead} in rows of eight"] is False and claims[f"{ahead} on sets of a tenth"] is not True
    leads = results.load("units_matched", "paper").to_frame()
    assert leads.at["dense, sets of 8", "matched, high"] < 0 > leads.at["dense, sets of a tenth", "matched"]
    for claim in (
        "With both read towards their longer tails, units of the first sigmoid layer are ahead on sets of a tenth",
        "Against directions read towards their longer tail, positions of the second convolution lead on such sets",
        "Against directions read towards their longer tail, units are ahead in the logits of both networks",
    ):
        assert claims[claim] is True
    costs = results.load("units_ablated", "paper").to_frame()
    assert costs.at["loss", "low"] <= 0
    at_first = "The natural basis of the hidden ReLU layer is purer than turned ones, on sets of a tenth of all images"
    assert claims[at_first] is True


@pytest.mark.parametrize("words", ["sets of 8", "sets of a tenth"])
def test_units_have_their_longer_tail_above_in_the_logits_and_some_below_in_the_second_sigmoid_layer(words):
    leads = results.load("units_matched", "paper").to_frame()[["matched", "both oriented"]]
    assert leads.at[f"logits, {words}", "both oriented"] == leads.at[f"logits, {words}", "matched"]
    assert leads.at[f"sigmoid 2, {words}", "both oriented"] > leads.at[f"sigmoid 2, {words}", "matched"] + 0.03


def test_clouds_tell_trained_layers_from_the_others():
    frame = study.purity_table(POPULATION).to_frame()
    found = study.clouds(frame)
    assert list(found["untrained or pixels"]) == ["pixels", "dense"] and study.TURNED not in found["trained"]
    assert found["trained"]["dense"] == (FOUND.between, frame.loc["dense", "directions"])


def test_a_population_is_networks_that_differ_in_their_seed(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    digits = mnist()
    few = dataclasses.replace(digits, test=digits.test.take(slice(0, 200), "few"))
    sizes = study.Sizes(networks=2, images=128, iterations=5, directions=20, rotations=2)
    found = study.population(few, sizes)
    table = found.numbers["layers"]
    assert table.index.get_level_values(0).unique().tolist() == [0, 1]
    again = study.network(few, sizes, 1).numbers["layers"]
    assert table.loc[1].equals(again) and not table.loc[0].equals(again)
    assert study.purity_table(found).meta["data"].endswith("trained on 128")
    assert "2 networks of each kind, on 128 images each" in study.opening(found, sizes, few.test)
    with pytest.raises(ValueError, match="got 1 networks; expected at least two"):
        study.population(few, dataclasses.replace(sizes, networks=1))


def test_matched_leads_have_intervals_and_a_power():
    table = study.matched_table(POPULATION)
    row = table.to_frame().loc["dense, sets of 8"]
    each = [one["oriented"].loc["dense, sets of 8"] for one in MADE]
    assert row["matched"] == pytest.approx(sum(one["units"] - one["oriented"] for one in each) / 3)
    assert row["lead"] > row["matched"] > 0  # the axes of the classes stay ahead of directions read at their better end
    index = pd.MultiIndex.from_product([range(4), ["a"]])
    found = study.detectable(pd.Series([1.0, 2.0, 3.0, 4.0], index))
    # (3.1824 + 0.9785) standard errors of sqrt(5 / 3) / 2.
    assert found["a"] == pytest.approx(4.1609 * 0.645497, abs=1e-3)
    words = study.matched_words(table)
    assert "they are ahead" in words and f"{row['matched']:+.3f}" in words
    costs = study.ablation_table(POPULATION)
    assert list(costs.rows) == ["variance", "loss", "otherwise", "concentration"]
    loss = [one["ablated"].loc["units", "loss"] - one["ablated"].loc["directions", "loss"] for one in MADE]
    assert costs.to_frame().loc["loss", "difference"] == pytest.approx(sum(loss) / 3)


def test_the_page_says_when_the_training_of_its_sigmoid_networks_is_stopped():
    text = (Path(__file__).parents[1] / "notebooks" / "units.md").read_text(encoding="utf-8")
    assert f"stopped after {study.SIZES['paper'].iterations} iterations at paper scale" in text
