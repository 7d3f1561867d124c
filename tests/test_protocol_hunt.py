"""The hunt: from raw readings made by hand to rates, and from known rates to what is said of them."""

import copy

import numpy as np
import pandas as pd
import pytest

from intriguing.book import paper
from intriguing.chapters.protocol import biases, evidence, hunt, pictures, rates
from intriguing.data import mnist


@pytest.fixture(scope="module")
def campaign():
    return hunt.stored()


def test_every_printed_number_has_its_own_doubt():
    entries = evidence.entries()
    assert len(entries) == 90 and not entries.index.duplicated().any()
    assert entries.loc[("table2", "FC10(1)", "AE400-10"), "images"] == 256
    assert entries.loc[("table4", "Gaussian noise 0.06", "FC100-100-10"), "images"] == 10_000
    assert entries.loc[("table1", "FC10(1)", "training error"), "images"] == 60_000
    half = entries["rounding"] * np.sqrt(3)
    assert half[("table1", "FC10(1)", "distortion")] == pytest.approx(0.005)  # 0.14
    assert half[("table1", "FC10(1e-4)", "distortion")] == pytest.approx(0.0005)  # 0.062
    assert half[("table4", "FC100-100-10 amplified to 0.1", "FC123-456-10")] == pytest.approx(0.005)  # 98 %
    assert evidence.by_group()["numbers"].sum() == 90
    assert evidence.by_group().loc[["distortions", "Table 2, as found"], "half a digit"].tolist() == [
        "0.050",
        "0.05 points",
    ]


def test_a_standard_error_by_hand():
    printed = evidence.entries().loc["table2"].iloc[:1]
    theirs = float(printed["paper"].iloc[0])
    rate = (theirs * 256 + 0.2 * 1000 + 1) / 1258
    expected = np.sqrt(rate * (1 - rate) * (1 / 256 + 1 / 1000) + 0.03**2 * 1.2 + 0.0005**2 / 3)
    found = evidence.standard_errors(printed, [0.2], [0.03], [5], [1000])
    assert found == pytest.approx([expected])
    assert evidence.misfit([3, 100]) == pytest.approx(np.sqrt((9 + 25) / 2))


def test_readings_of_the_target_pick_their_entries():
    labels, drawn = np.array([0, 5]), np.array([3, 2])
    rms = np.tile(np.arange(9, 0, -1.0), 2)
    found = rates.chosen(labels, rms, drawn)
    assert rates.wrong(labels).ravel()[found["random"]].tolist() == [3, 2]
    assert found["nearest"].tolist() == [8, 17] and len(found["mean of nine"]) == 18
    assert rates.wrong(labels).ravel()[found["always 5"]].tolist() == [5] and found["always 5"].tolist() == [4]


def test_rates_by_hand():
    labels, targets = np.array([1, 1, 1, 1]), np.array([2, 2, 3, 3])
    readings = {"clean": np.array([[1, 1, 1, 7]]), "found": np.array([[1, 2, 5, 7]])}
    readings |= {f"x{factor:g}": np.array([[2, 2, 3, 3]]) for factor in rates.LADDER[1:]}
    found = rates.rates(readings, labels, targets, np.full(4, 0.1))
    assert found["found"]["raw"].tolist() == [0.75]
    assert found["found"]["right"].tolist() == pytest.approx([2 / 3]) and found["found"]["target"].tolist() == [0.5]
    assert found["set, mean"]["raw"].tolist() == [0.75]  # of that size already
    half_way = rates.rates(readings, labels, targets, np.full(4, 0.1 / 1.1))
    assert half_way["set, joint"]["raw"].tolist() == pytest.approx([0.875])


def test_the_four_averages():
    found = rates.sizes(np.array([0.0, 0.3, 0.4]), np.array([False, True, True]))
    assert found["mean"] == pytest.approx(0.7 / 3) and found["joint"] == pytest.approx(np.sqrt(0.25 / 3))
    assert found["mean, read rightly"] == pytest.approx(0.35)
    assert found["joint, read rightly"] == pytest.approx(np.sqrt(0.125))


def test_what_is_no_number_is_null():
    assert rates.rounded({"a": np.array([[1 / 3, np.nan]]), "b": "c"}) == {"a": [[0.33333, None]], "b": "c"}


def test_a_campaign_that_finds_the_paper_is_said_to(campaign):
    found = copy.deepcopy(campaign)
    printed = paper.TABLE1.to_frame().loc[list(hunt.LINEAR)]
    about = found["linear"]["x0.4"]
    about |= {name: printed[name].tolist() for name in ("training error", "test error")}
    about["mean"] = printed["distortion"].tolist()
    ranking = hunt.ranked(found)
    assert ranking.index[0] == ("x0.4", "mean") and ranking["both"].iloc[0] == 0
    assert "**λ × 0.4**, with the mean over images of all images: errors off by 0.00" in hunt.about_linear(ranking)
    assert hunt.words("x1") == "λ" and hunt.words("x0.5, biases decayed") == "λ × 0.5, biases decayed"
    claims = hunt.claims(found)
    assert not claims["The errors of the linear networks ask for decayed biases"]
    rows = paper.TABLE2.to_frame()[list(paper.MODELS)]
    found["table2"]["x0.4"] = {"mean": rows.to_numpy().tolist(), "spread": np.zeros(rows.shape).tolist()}
    part = hunt.table2(found, "x0.4")
    assert len(part) == 42 and (part["z"] == 0).all() and part["linear"].sum() == 21
    assert hunt.beyond(found, "x0.4").empty and "42 rates" in hunt.summary(found)


def test_what_the_page_shows_of_the_stored_campaign(campaign):
    for frame in (hunt.judged(campaign), hunt.ends(campaign).iloc[:-1], hunt.fixed_targets(campaign)):
        assert isinstance(frame, pd.DataFrame) and frame.notna().all(axis=None)
    targets = hunt.fixed_targets(campaign)
    assert (targets["least"] <= targets["random"]).all() and (targets["random"] <= targets["largest"]).all()
    assert hunt.beside_paper(campaign).loc["paper", ("FC10(1)", "test error")] == 0.2
    assert str(len(targets)) in hunt.about_targets(campaign) and "1,500 images" in hunt.about_campaign(campaign)
    assert len(pictures.judge(campaign, "x1", "x0.5, biases decayed").axes) == 2


def test_decayed_biases_lower_the_error_of_the_most_decayed_network():
    table = biases.four_trainings(mnist("quick"), 8).to_frame()
    assert table.loc["λ × 0.5, biases decayed", "training error"] < table.loc["λ × 0.5", "training error"]
    assert table.loc["λ, biases decayed", "training error"] < table.loc["λ", "training error"]


def test_amplification_is_judged_by_what_pairs_reach(campaign):
    claim = "One length for each image gives less than is printed for P1, amplified; one factor for a set gives it"
    found = copy.deepcopy(campaign)
    found["amplified"]["other start"]["each"] = [0.5, 0.9]
    found["amplified"]["other start"]["x1.7"] = [0.97, 0.99]
    frame = hunt.amplified(found)
    assert frame.loc["each image to 0.1", ["other start", "least", "largest"]].tolist() == [0.7, 0.5, 0.9]
    assert frame.loc["as found", "paper, own set"] == 1 and frame.iloc[1, -1] == 0.96
    assert hunt.claims(found)[claim]
    found["amplified"]["other start"]["each"] = [0.5, 0.97]
    assert not hunt.claims(found)[claim]
    assert list(hunt.controls(found).index) == list(hunt.CONTROLS.values())


def test_the_average_is_tried_on_the_other_networks(campaign):
    frame = hunt.averages(campaign, "joint, read rightly")
    assert list(frame.index) == ["FC100-100-10", "AE400-10"] and hunt.worse(frame).all()
    assert frame.at["AE400-10", "chosen"] == pytest.approx(
        np.mean(campaign["averages"]["AE400-10"]["joint, read rightly"])
    )
    said = hunt.about_averages(campaign, "joint, read rightly")
    assert "speak against it" in said and "printed 0.058" in said and "printed 0.086" in said
    assert "fits FC100-100-10 and AE400-10 worse than the plain mean" in hunt.summary(campaign)
    better = copy.deepcopy(campaign)
    better["averages"]["AE400-10"]["joint, read rightly"] = [0.0861]
    assert "are divided" in hunt.about_averages(better, "joint, read rightly")
    better["averages"]["FC100-100-10"]["joint, read rightly"] = [0.058]
    assert "speak for it as well" in hunt.about_averages(better, "joint, read rightly")
    assert "worse than" not in hunt.summary(better)


def test_both_other_averages_are_larger_on_every_linear_network_and_why(campaign):
    for about in campaign["linear"].values():
        mean, joint, right = (np.array(about[name]) for name in ("mean", "joint", "mean, read rightly"))
        assert (joint > mean).all() and (right > mean).all()
        assert np.argsort(right / mean).tolist() == np.argsort(about["training error"]).tolist()
        uneven = np.array(about["spread"]) / mean
        assert np.argsort(joint / mean).tolist() == np.argsort(uneven).tolist()


def test_the_mean_of_each_pixel_matters_only_where_biases_are_decayed(campaign):
    every = hunt.ranked(campaign)["both"]
    free, decayed = "x0.5", "x0.5, biases decayed"
    assert ((every[f"{free}, mean taken off"] - every[free]).abs() < 0.02).all()
    assert (every[f"{decayed}, mean taken off"] > every[decayed]).all()
    assert every[f"{decayed}, mean taken off"].min() > 4 * every[decayed].min()


def test_networks_of_a_half_are_faultless_sooner_and_their_last_level_is_later(campaign):
    whole, half = (
        {level: np.mean(found["iterations"]) for level, found in campaign[part].items()}
        for part in ("ends", "ends of a half")
    )
    assert half["zero"] < whole["zero"] and whole["3000"] < half["3000"] < 3000
    assert {level for level in whole if whole[level] != half[level]} == {"zero", "3000"}


def test_the_coarsest_rounding_of_a_distortion_is_that_of_a_tenth():
    half = np.sqrt(3) * evidence.entries().query("group == 'distortions'")["rounding"]
    assert half.max() == pytest.approx(0.05) and paper.TABLE1.value(*half.idxmax()[1:]) == 0.1
