"""The comparison: draws that do not overlap, measures against a network that is known, verdicts against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from scipy import stats
from torch import nn

from intriguing.book import results
from intriguing.book.plots import PALETTE
from intriguing.chapters.bounded import pictures, study
from intriguing.chapters.bounded.networks import DECAY, NONE, NORMALISED, PENALTY
from intriguing.chapters.bounded.study import (
    MEASURES,
    NAMES,
    STRENGTHS,
    affordable,
    buys,
    chosen,
    claims,
    draw,
    grid,
    in_words,
    label,
    measure,
    summary,
    tolerances,
    verdicts,
)
from intriguing.data import Digits, Images


def toy_digits(count: int = 30) -> Digits:
    images = Images(torch.arange(count * 784).view(count, 1, 28, 28) / (count * 784), torch.arange(count) % 10, "toy")
    return Digits(train=images, test=images, part1=images, part2=images, name="toy")


def toy_outcomes(seeds: int = 4, activation: str = "ReLU") -> pd.DataFrame:
    generator = np.random.default_rng(2)
    rows = {
        (method, strength, seed): [
            0.1 + abs(math.log10(strength) + 2) / 50 if strength else 0.2,
            *(0.2 + 0.01 * generator.standard_normal(4)),
        ]
        for method, strength in grid(activation)
        for seed in range(seeds)
    }
    index = pd.MultiIndex.from_tuples(list(rows), names=["method", "strength", "seed"])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(MEASURES))


def at(outcomes: pd.DataFrame, method: str, strength: float) -> pd.DataFrame:
    """The seeds of one setting."""
    return outcomes.xs((method, strength), level=("method", "strength"))


def test_draws_share_no_image_and_seeds_draw_others():
    digits = toy_digits()
    train, held = draw(digits, 20, 0)
    assert (len(train), len(held)) == (20, 10)
    first = {float(image[0, 0, 0]) for image in (*train.images, *held.images)}
    assert len(first) == 30
    assert not torch.equal(train.images, draw(digits, 20, 1)[0].images)
    assert torch.equal(train.images, draw(digits, 20, 0)[0].images)
    with pytest.raises(ValueError, match="got 21 images; expected 1 to 20"):
        draw(digits, 21, 0)


def test_measures_of_a_network_that_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    # The answer is whether the first pixel exceeds 1/2; its distance from there is all that counts.
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2), nn.ReLU(), nn.Linear(2, 2)).eval().requires_grad_(False)
    for tensor in model.parameters():
        tensor.zero_()
    model[1].weight[1, 0], model[3].weight[1, 1], model[3].bias[0] = 3, 1, 1.5
    first = torch.tensor([0.1, 0.3, 0.7, 1.0])
    pixels = torch.full((4, 1, 28, 28), 0.5)
    pixels[:, 0, 0, 0] = first
    images = Images(pixels, torch.tensor([0, 0, 1, 0]), "first pixel")
    monkeypatch.setattr(study, "RADIUS", 0.3 / 28)
    numbers = dict(zip(MEASURES, measure(model, images, images, images), strict=True))
    assert numbers["validation error"] == numbers["test error"] == 0.25
    assert numbers["log10 of the product"] == pytest.approx(math.log10(3))
    # Both the certified and the true distance are |x - 1/2|: the last difference of rows has norm 1, the first 3.
    assert numbers["certified"] == 0.25  # the first image alone is read rightly and 0.4 away from the edge
    assert numbers["distortion"] == pytest.approx((0.4 + 0.2 + 0.2 + 0.5) / 4 / 28, rel=1e-3)


def test_the_strength_is_chosen_on_the_images_held_out():
    outcomes = toy_outcomes()
    assert chosen(outcomes) == {NONE: 0.0, PENALTY: 1e-2, DECAY: 3e-3, NORMALISED: 1 / 16}
    outcomes["test error"] = -outcomes["validation error"]
    assert chosen(outcomes)[PENALTY] == 1e-2


def test_only_strengths_that_cost_little_count():
    outcomes = toy_outcomes()
    outcomes["certified"] = [strength for _, strength, _ in outcomes.index]
    base = float(at(outcomes, NONE, 0.0)["validation error"].mean())
    free = outcomes.assign(**{"validation error": base})
    assert affordable(free, "certified").to_dict() == {NONE: 0, PENALTY: 3e-2, DECAY: 3e-3, NORMALISED: 1}
    dear = [base + (0.006 if strength > 1e-3 else 0.004 * (strength > 0)) for _, strength, _ in outcomes.index]
    found = affordable(outcomes.assign(**{"validation error": dear}), "certified")
    assert (found[PENALTY], found[DECAY]) == (1e-3, 1e-3) and math.isnan(found[NORMALISED])


def test_verdicts_are_paired_intervals_of_student():
    outcomes = toy_outcomes()
    found = verdicts({"sigmoid": outcomes, "ReLU": outcomes})
    assert len(found) == 10
    one, other = (at(outcomes, *setting)["test error"] for setting in ((PENALTY, 1e-2), (NONE, 0.0)))
    row = found.loc[f"sigmoid: {PENALTY} − {NONE}"]
    test = stats.ttest_rel(one, other)
    assert row["difference"] == pytest.approx((one - other).mean())
    assert list(row[["low", "high"]]) == pytest.approx(list(test.confidence_interval(0.95)))
    assert list(row[["low of all", "high of all"]]) == pytest.approx(list(test.confidence_interval(1 - 0.05 / 10)))


def test_the_table_of_what_it_buys():
    outcomes = toy_outcomes()
    found = buys({"sigmoid": outcomes, "ReLU": outcomes + 1})
    assert list(found) == [f"{name}, {what}" for name in ("sigmoid", "ReLU") for what in ("certified", "distortion")]
    assert found.index.name == "method" and list(found.index) == [NONE, PENALTY, DECAY, NORMALISED]
    assert found["sigmoid, distortion"].equals(affordable(outcomes, "distortion").rename("sigmoid, distortion"))
    assert found.at[NONE, "ReLU, certified"] == pytest.approx(at(outcomes, NONE, 0.0)["certified"].mean() + 1)


def test_verdicts_in_words():
    intervals = {  # low of all, low, high, high of all
        "a": (-4, -3, -2, -1),
        "b": (1, 2, 3, 4),
        "c": (-4, -3, -1, 1),
        "d": (-1, 1, 3, 4),
        "e": (-4, -1, 1, 4),
    }
    columns = ["low of all", "low", "high", "high of all"]
    frame = pd.DataFrame.from_dict(intervals, orient="index", columns=columns) / 100
    words = in_words(frame.assign(difference=(frame["low"] + frame["high"]) / 2))
    assert words.index.name == "comparison"
    assert words["verdict"].to_dict() == {
        "a": "lower, beyond the wide interval",
        "b": "higher, beyond the wide interval",
        "c": "lower, if one looks at this comparison alone",
        "d": "higher, if one looks at this comparison alone",
        "e": "undecided",
    }
    assert words.iloc[0, 0] == "-2.50 [-3.00, -2.00]" and words.iloc[4, 0] == "+0.00 [-1.00, +1.00]"


def test_each_claim_can_fail_by_itself():
    outcomes = {"sigmoid": toy_outcomes().sort_index()}
    for name, value in (("log10 of the product", 2.0), ("certified", 0.2)):
        outcomes["sigmoid"][name] = value
    strongest = (PENALTY, max(STRENGTHS[PENALTY]))
    outcomes["sigmoid"].loc[strongest, "log10 of the product"] = 1.69
    outcomes["sigmoid"].loc[strongest, "certified"] = 0.3
    bought = pd.DataFrame({"sigmoid, certified": {PENALTY: 0.3, DECAY: 0.2}})
    pairs = [f"sigmoid: {PENALTY} − {NONE}", f"sigmoid: {PENALTY} − {DECAY}"]
    decided = pd.DataFrame({"low of all": -0.3, "high of all": -0.1}, index=pairs)

    def failing(frame=outcomes["sigmoid"], decided=decided, bought=bought):
        found = claims({"sigmoid": frame}, decided, bought)
        assert all(type(holds) is bool for holds in found.values())
        return [number for number, holds in enumerate(found.values()) if not holds]

    assert failing() == []
    assert failing(outcomes["sigmoid"].assign(**{"log10 of the product": 2.0})) == [0]
    assert failing(outcomes["sigmoid"].assign(certified=0.2)) == [1]
    assert failing(bought=bought[::-1].set_axis([PENALTY, DECAY])) == [2]
    for place, pair in enumerate(pairs):
        decided.loc[pair] = (0.1, 0.3)  # higher for certain
        assert failing() == [3 + place]
        decided.loc[pair] = (-0.3, 0.1)  # undecided, which is no failure
        assert list(claims(outcomes, decided, bought).values()).index(None) == 3 + place
        decided.loc[pair] = (-0.3, -0.1)


def test_the_sizes_are_those_of_the_profile(monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", "paper")
    line = study.sizes(toy_digits())
    assert line.startswith(
        "10,000 training images, 5,000 held out, 5 seeds, 21 settings of the sigmoid network and "
        "20 settings of the ReLU network, 30 test images, 200 of them"
    )
    assert set(NAMES) <= set(MEASURES)


def test_the_summary_and_what_a_rerun_may_differ_by():
    outcomes = toy_outcomes()
    table = summary("sigmoid", outcomes, "toy")
    assert table.name == "bounded_sigmoid" and table.meta == {"data": "toy", "seeds": 4}
    expected = at(outcomes, DECAY, 1e-4).mean()
    assert table.rows["weight decay 0.0001"] == pytest.approx(expected.tolist())
    allowed = tolerances(outcomes)
    assert list(allowed.index) == list(table.rows)
    spread = outcomes["test error"].groupby(level=["method", "strength"], sort=False).std()
    expected = 4 * math.sqrt(2 / 4) * np.maximum(spread, spread.median())
    assert allowed["test error"].tolist() == pytest.approx(expected.tolist())
    assert label(NORMALISED, 0.25) == "spectral normalisation, norm 4" and label(NONE, 0.0) == "none"


def test_pictures_show_the_numbers():
    outcomes = toy_outcomes()
    outcomes["log10 of the product"] *= 3
    picks = {"sigmoid": chosen(outcomes)}
    names = {"test error": "test error", "log10 of the product": "product of norms, log10", "certified": "certified"}
    figure = pictures.curves({"sigmoid": outcomes}, names, picks, none=NONE, inverse=NORMALISED)
    line = figure.axes[1].lines[1]
    means = outcomes["test error"].loc[DECAY].groupby(level="strength").mean()
    assert line.get_ydata() == pytest.approx(means.to_numpy())
    assert figure.axes[2].get_title() == NORMALISED
    figure = pictures.against(
        {"ReLU": outcomes}, {"test error": "test error"}, none=NONE, product="log10 of the product"
    )
    star = figure.axes[0].lines[-1]
    start = at(outcomes, NONE, 0.0).mean()
    assert star.get_xdata()[0] == pytest.approx(10 ** start["log10 of the product"])
    assert star.get_ydata()[0] == pytest.approx(start["test error"])
    found = verdicts({"sigmoid": outcomes})
    figure = pictures.forest(found, unit="test error")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(found.index)
    with pytest.raises(ValueError, match="at least one of each"):
        pictures.curves({}, names, {}, none=NONE, inverse=NORMALISED)
    with pytest.raises(ValueError, match="at least one"):
        pictures.forest(found.iloc[:0], unit="test error")


def change(outcomes: pd.DataFrame, method: str, strengths: tuple[float, ...], **values: float) -> None:
    """Sets measures of some strengths, for all seeds."""
    rows = (outcomes.index.get_level_values(0) == method) & outcomes.index.get_level_values(1).isin(strengths)
    for name, value in values.items():
        outcomes.loc[rows, name.replace("_", " ")] = value


def test_what_no_error_pays_for():
    outcomes = toy_outcomes()
    assert study.unpaid(outcomes) == max(
        STRENGTHS[PENALTY]
    )  # the toy's errors are lower than without, at all strengths
    change(outcomes, PENALTY, (0.01, 0.03), validation_error=0.21)
    assert study.unpaid(outcomes) == 0.003
    change(outcomes, PENALTY, (0.003,), test_error=0.1, certified=0.62)
    change(outcomes, NONE, (0.0,), test_error=0.2, certified=0.0)
    said = study.unpaid_words({"ReLU": outcomes})
    assert said.startswith("* ReLU: that is 0.003. It certifies 62.0% of the test images, where 0.0% are")
    assert "is 10.00% against 20.00%, a difference in percentage points with the interval -10.00 to -10.00" in said
    change(outcomes, PENALTY, STRENGTHS[PENALTY], validation_error=0.3)
    assert study.unpaid(outcomes) is None and "every strength costs" in study.unpaid_words({"ReLU": outcomes})


def test_the_next_strength_beyond_the_price_tells_what_a_finer_grid_could_change():
    outcomes = toy_outcomes(activation="sigmoid")
    assert study.beyond({"sigmoid": outcomes}).count("nothing to compare") == 2  # all strengths are within the price
    change(outcomes, PENALTY, STRENGTHS[PENALTY], certified=0.5)
    change(outcomes, NORMALISED, (1 / 4.5, 1 / 4, 1 / 2, 1.0), validation_error=0.21)
    change(outcomes, NORMALISED, (1 / 5,), certified=0.01)
    change(outcomes, NORMALISED, (1 / 4.5,), certified=0.49)
    line = study.beyond({"sigmoid": outcomes}).splitlines()[1]
    assert "norm 5, within the price, certifies 1.0%, and spectral normalisation, norm 4.5, beyond it, 49.0%" in line
    assert "the penalty certifies 50.0% within it. Both are less, so a strength between the two is not likely" in line
    change(outcomes, NORMALISED, (1 / 4.5,), certified=0.51)
    assert study.beyond({"sigmoid": outcomes}).endswith("between the two might certify more than the penalty.")


def test_norms_that_were_added_later_are_in_their_place_and_never_chosen():
    assert [1 / strength for method, strength in grid("sigmoid") if method == NORMALISED] == pytest.approx(
        [16, 8, 6, 5, 4.5, 4, 2, 1]
    )
    assert set(grid("ReLU")) - set(grid("sigmoid")) == {(NORMALISED, 1 / 1.5)}
    outcomes = toy_outcomes(activation="sigmoid")
    change(outcomes, NORMALISED, (1 / 5,), validation_error=0.0)
    assert chosen(outcomes)[NORMALISED] == 1 / 16
    assert affordable(outcomes.assign(certified=outcomes["validation error"] == 0), "certified")[NORMALISED] == 1


def test_the_colours_of_networks_methods_and_verdicts_are_different_ones():
    outcomes = toy_outcomes()
    against = pictures.against({"ReLU": outcomes}, {"test error": "test error"}, none=NONE, product="distortion")
    methods = {line.get_color() for line in against.axes[0].lines[:-1] if line.get_marker() in "osD"}
    rows = verdicts({"ReLU": outcomes})
    rows["low of all"], rows["high of all"] = [-2, 1, -1, -1, -1], [-1, 2, 1, 1, 1]
    thin = pictures.forest(rows, unit="test error").axes[0].collections[0]
    shades = [to_hex(colour) for colour in thin.get_colors()]
    assert shades == [PALETTE["black"]] * 2 + [PALETTE["grey"]] * 3
    assert len(methods) == 3 and not methods & (set(pictures._COLOURS.values()) | set(shades))


def test_what_the_text_says_is_so_in_the_stored_run():
    relu, sigmoid = (results.load(f"bounded_{name}", "paper").to_frame() for name in ("ReLU", "sigmoid"))

    def penalised(frame: pd.DataFrame, most: float) -> pd.Series:
        rows = frame[frame.index.str.startswith(PENALTY)]
        return rows["certified"][rows["validation error"] <= most]

    assert penalised(relu, relu.at[NONE, "validation error"]).iloc[-1] > 0.5
    assert penalised(sigmoid, sigmoid.at[NONE, "validation error"] + study.COST).max() > 0.5
    rows = sigmoid[sigmoid.index.str.startswith(PENALTY)]
    assert rows.at[rows["validation error"].idxmin(), "certified"] == 0
    assert rows.at[rows["validation error"].idxmin(), "test error"] < sigmoid.at[NONE, "test error"]


@pytest.mark.parametrize("name", ["ReLU", "sigmoid"])
def test_what_the_text_says_of_equal_products_and_of_distances_is_so_in_the_stored_run(name: str):
    frame = results.load(f"bounded_{name}", "paper").to_frame()
    none, product = frame.loc[NONE], "log10 of the product"
    held = pd.concat([frame.loc[[NONE]], frame[frame.index.str.startswith(PENALTY)]]).sort_values(product)
    decayed = frame[frame.index.str.startswith(DECAY)]
    beside = {
        column: np.interp(decayed[product], held[product], held[column]) for column in ("test error", "distortion")
    }
    harmed = decayed["test error"] > none["test error"] + study.COST
    mild = decayed["test error"] <= none["test error"] + study.COST
    assert harmed.any() and (decayed["test error"] > beside["test error"])[harmed].all()
    assert mild.sum() > 1 and (decayed["distortion"] > beside["distortion"])[mild].all()
    assert 1.5 < frame["distortion"].max() / none["distortion"] < 2.2
