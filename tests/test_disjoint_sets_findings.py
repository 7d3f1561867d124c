"""What is read off the tables of disjoint training sets: frames, sentences and claims, from tables made by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

from intriguing.attack.distortion import Distortion
from intriguing.book import paper, results
from intriguing.book.results import Table
from intriguing.chapters.disjoint_sets import findings
from intriguing.chapters.disjoint_sets.seeds import Study
from intriguing.chapters.disjoint_sets.study import Counts
from intriguing.data import Digits, Images

NAMES = list(paper.HALF_MODELS)
COLUMNS = [*NAMES, "distortion"]
KINDS = {
    "same architecture, same half": [0.4, 0, 0.04, 6],
    "same architecture, other half": [0.1, 0, 0.04, 6],
    "other architecture, same half": [0.3, 0, 0.04, 6],
    "other architecture, other half": [0.05, 0, 0.04, 6],
}


def a_set(*sizes: float, success: bool = True, evaluations: int = 1) -> Distortion:
    count = len(sizes)
    rms = torch.tensor(sizes, dtype=torch.float64)
    return Distortion(
        torch.zeros(count, 1, 1, 1), rms, torch.full((count,), success), rms, torch.full((count,), evaluations)
    )


def forms() -> dict[str, Table]:
    """Table 4 in its three forms: P1 fools P1 at 60 %, the halves each other at 20 %, amplified at 40 %."""
    amplified = {
        f"{maker} amplified to 0.1": [1.0 if maker == reader else 0.4 for reader in NAMES] + [0.1] for maker in NAMES
    }
    printed = {
        "FC100-100-10": [1.0, 0.6, 0.2, 0.06],
        "FC123-456-10": [0.6, 1.0, 0.2, 0.06],
        "FC100-100-10'": [0.2, 0.2, 1.0, 0.06],
        "Gaussian noise 0.06": [0.02, 0.02, 0.02, 0.06],
        **amplified,
        "Gaussian noise 0.1": [0.03, 0.03, 0.03, 0.1],
    }
    clipped = {row: values for row, values in printed.items() if row not in NAMES}
    clipped["Gaussian noise 0.1"] = [0.03, 0.03, 0.025, 0.07]
    clipped["FC123-456-10 amplified to 0.1"] = [0.38, 1.0, 0.4, 0.09]
    made = {"printed": printed, "clipped": clipped, "boxed": amplified}
    return {form: Table(f"table4_{form}", COLUMNS, rows) for form, rows in made.items()}


def test_readings_stand_below_each_other():
    frame = findings.amplified_rows(forms())
    row = "FC123-456-10 amplified to 0.1"
    assert frame.loc[row].index.tolist() == ["0.1, not cut", "0.1, then cut", "0.1 after cutting", "paper"]
    assert frame.loc[row, "FC100-100-10"].tolist() == [0.4, 0.38, 0.4, paper.TABLE4.value(row, "FC100-100-10")]
    assert len(frame) == 12
    frame = findings.noise_rows(forms())
    assert frame.loc["Gaussian noise 0.1"].index.tolist() == ["not cut", "cut", "paper"]
    assert frame.loc[("Gaussian noise 0.1", "cut"), "FC100-100-10'"] == 0.025


def test_shortened_counts_what_was_longer():
    lines = findings.shortened({"FC100-100-10": a_set(0.05, 0.11, 0.12, 0.1)}, forms()["printed"]).splitlines()
    assert lines[2:] == ["| FC100-100-10 | 50.0% | 100.0% |"]


def test_growth_by_hand():
    found = findings.growth({"a": a_set(0.05, 0.0), "b": a_set(0.1, 0.05)})  # in the mean 0.05
    assert (found.mean, found.share) == pytest.approx((1.0, 0.5))
    assert (found.typical, found.single) == pytest.approx((1.0, 2 / 3))
    assert str(found).startswith("The mean distortion grows by **100%**; what is added makes up **50%** of the new")


def test_the_shortcut_in_words():
    text = findings.about_shortcut(a_set(0.05, 0.07, evaluations=50), a_set(0.04, 0.06, evaluations=600))
    assert text == (
        "On 2 images: **600** evaluations and a mean distortion of 0.0500 with the settings of the other tables, "
        "**50** and 0.0600 with the short ones."
    )


def test_a_network_without_convolutions_takes_thirty_to_sixty_evaluations():
    """The page sets the hundreds of evaluations of the convolutional network beside this number."""
    speed = results.measured("gpu")["speed"]
    taken = {one["model"]: one["evaluations"] for one in speed if one["method"] == "penalty method"}
    assert set(taken) == set(paper.MODELS) and all(30 < count < 60 for count in taken.values())


def test_initial_weights_move_the_errors_of_a_linear_network_by_a_tenth_of_a_point():
    """The page says so of five starts; n numbers lie no further apart than sqrt(2 (n - 1)) standard deviations."""
    stored = results.load("seeds_table1", "paper")
    spread = stored.to_frame().loc[["FC10(1e-4)", "FC10(1e-2)", "FC10(1)"], ["± training error", "± test error"]]
    furthest = math.sqrt(2 * (stored.meta["repetitions"] - 1)) * spread.max(axis=None)
    assert 5e-4 < furthest < 1e-3 + 1e-8  # hundredths would be too few


def test_kinds_and_pairs_in_words():
    assert findings.about_kinds(Table("k", ["error", "over pairs", "clean", "pairs"], KINDS)) == (
        "On the clean images these networks err on 4.0%. Above that, another architecture alone leaves **72%** of the "
        "transfer, another half alone **17%**, and both together **3%**."
    )
    mean = pd.DataFrame([[1, 0.25], [0.5, 1]], NAMES[:2], NAMES[:2])
    study = Study({"table4": mean}, {"table4": mean / 10}, Table("k", ["error"], {}), 2, "toy", 4, 2)
    assert findings.about_pair(study, *NAMES[:2]) == (
        "FC100-100-10 read by FC123-456-10: **25.0% ± 2.5%** (paper 26.2 %); "
        "FC123-456-10 read by FC100-100-10: **50.0% ± 5.0%** (paper 6.25 %)."
    )


def test_the_distortion_of_images_read_rightly_in_words():
    said = findings.about_read_rightly({"a": torch.tensor([0.1, 0.2]), "b": torch.tensor([0.06])})
    assert said.endswith("Over those alone that the network read rightly before it is 0.1500 (a), 0.0600 (b).")


def test_outside_in_words():
    rows = ["FC10(1)", "FC100-100-10", "Gaussian noise 0.1", "AE400-10", "FC10(1)"]
    frame = pd.DataFrame({"row": rows, "column": ["test error", "FC10(1)", "FC10(1e-4)", "test error", "FC10(1)"]})
    said = findings.about_outside(frame[:4], frame)
    assert said.startswith("4 of 5 numbers lie outside even then; 3 of them involve a linear network, ")


@pytest.fixture
def three():
    images = Images(torch.zeros(10_000, 1, 1, 1), torch.zeros(10_000, dtype=torch.long), "toy")
    digits = Digits(images, images, images.take(slice(0, 5000)), images.take(slice(0, 5000)), "toy")
    table3 = Table(
        "table3",
        ["error on P1", "error on P2", "test error", "distortion"],
        {"FC100-100-10": [0, 0.03, 0.02, 0.06], "FC123-456-10": [0, 0.02, 0.02, 0.06],
         "FC100-100-10'": [0.02, 0, 0.02, 0.06]},
    )  # fmt: skip
    noise = Table("n", NAMES, {name: [0.02] * 3 for name in [*NAMES, "no distortion"]})
    spread = Table("s", NAMES, {name: [0.005] * 3 for name in NAMES})
    return digits, {name: a_set(*[0.06] * 1000) for name in NAMES}, table3, forms(), noise, spread


def test_claims_about_the_halves(three):
    verdicts = findings.halves_claims(*three)
    holds = {claim: holds for claim, (holds, _) in verdicts.items()}
    evidence = [words for _, words in verdicts.values()]
    assert len(verdicts) == 12 and all(type(value) is bool for value in holds.values())
    doubt = math.sqrt(0.02 * 0.98 * (1 / 5000 + 1 / 10_000))  # 0.0024: a gap of 0.01 is four of them
    wrong = [
        "Each network errs on the other half as on the test images, to within three standard errors",
        "Amplification lengthens the perturbation by 40 %",
    ]
    assert [claim for claim, value in holds.items() if not value] == wrong
    assert evidence[2] == f"FC100-100-10: {0.01 / doubt:.1f}, FC123-456-10: 0.0, FC100-100-10': 0.0"
    assert evidence[3] == "20.0% to 20.0% against 2.0% to 2.0%"
    counted = math.sqrt((0.2 * 0.8 + 4 * 0.02 * 0.98) / 1000)
    apart = f"16.0 ± {100 * math.hypot(counted, 0.005):.1f} points apart"
    assert evidence[4] == f"20.0% against 4.0%, {apart}; 4.0% is twice the rate under that noise"
    assert evidence[5] == "FC100-100-10: 3.0 times as much, FC123-456-10: 3.0 times as much"
    assert evidence[8:10] == ["67%", "40%"]
    assert evidence[10:] == ["largest change 2.0 points", "at most 1.0 points; cutting back moves it by 0.5 or less"]


def test_claims_about_the_halves_can_fail(three):
    digits, sets, table3, tables, noise, spread = three
    worse = dict.fromkeys(noise.rows, [0.25] * 3)
    sets = sets | {"FC100-100-10'": a_set(*[0.06] * 1000, success=False)}
    verdicts = findings.halves_claims(digits, sets, table3, tables, Table("n", NAMES, worse), spread)
    assert verdicts["Networks of the other half misread more of every set than of noise of equal size"][0] is False
    assert not verdicts["Every test image has an adversarial example for every network"][0]


def test_shares_of_the_other_half_that_luck_could_turn_leave_the_claim_open(three):
    digits, sets, table3, tables, noise, _ = three
    lucky = Table("s", NAMES, {name: [0.1] * 3 for name in NAMES})
    verdicts = findings.halves_claims(digits, sets, table3, tables, noise, lucky)
    assert verdicts["Networks of the other half misread more of every set than of noise of equal size"][0] is None
    assert verdicts["On average they misread over twice as much of the sets as of that noise"][0] is None


def test_the_claim_over_seeds():
    kinds = Table("k", ["error", "over pairs", "clean", "pairs"], KINDS)
    ((_, (holds, evidence)),) = findings.seeds_claims(kinds).items()
    assert holds is True and evidence == "10.0% against 30.0%"


@pytest.fixture
def convolutions():
    names = ["A", "B", "ConvNet"]
    table2 = Table("t2", [*names, "distortion"], {"A": [1, 0.3, 0.1, 0], "B": [0.4, 1, 0.2, 0],
                   "ConvNet": [0.1, 0.2, 1, 0]})  # fmt: skip
    equal = Table("e", names, {"A": [0.1] * 3, "B": [0.1] * 3, "ConvNet": [0.05, 0.3, 0.1]})
    readers = ["ConvNet", "ConvNet'"]
    rows = {"ConvNet": [1, 0.02], "ConvNet'": [0.03, 1], "Gaussian noise 0.1": [0.1, 0.1]}
    rows |= {"ConvNet amplified to 0.1": [1, 0.3], "ConvNet' amplified to 0.1": [0.1, 1]}
    return table2, equal, Table("t4", readers, rows)


def counts(table2: Table, equal: Table, images: int, spread: float = 0.0) -> Counts:
    """Images misread as often as the tables say; those that noise spoils are the last ones."""

    def wrong(table: Table, last: bool) -> dict[str, dict[str, torch.Tensor]]:
        frame = table.to_frame()
        places = torch.arange(images)
        return {
            maker: {
                reader: (places.flip(0) if last else places) < round(images * frame.at[maker, reader])
                for reader in ("A", "B", "ConvNet")
            }
            for maker in ("A", "B", "ConvNet")
        }

    frame = table2.to_frame()
    return Counts(wrong(table2, False), wrong(equal, True), frame * 0 + spread)


def test_transfer_to_and_from_a_convolutional_network(convolutions):
    frame = findings.convolutional_transfer(*convolutions[:2])
    assert frame.loc["A"].tolist() == [0.1, 0.1, 0.1, 0.05]
    assert frame.loc["B"].tolist() == [0.2, 0.1, 0.2, 0.3]


def test_claims_about_convolutions(convolutions):
    table2, equal, table4 = convolutions
    sets = {"ConvNet": a_set(0.05, 0.07)}, {"ConvNet'": a_set(0.05, success=False)}
    verdicts = findings.convolutional_claims(*sets, counts(table2, equal, 10_000), table4)
    assert [holds for holds, _ in verdicts.values()] == [False, True, True, False, False]
    evidence = [words for _, words in verdicts.values()]
    assert evidence[0] == "mean distortion 0.060"
    assert evidence[1].startswith("15.0% against 10.0%, 5.0 ± 0.")
    assert evidence[2].startswith("A is next: 25.0% against 15.0%, 10.0 ± 0.")
    assert evidence[3].startswith("15.0% against 17.5%, -2.5 ± 0.")
    assert evidence[4] == "10.0% to 30.0%; before amplification 2.0% to 3.0%"  # one is no more than noise does


@pytest.mark.parametrize(("images", "spread"), [(10, 0.0), (10_000, 0.1)])
def test_few_images_or_unlike_trainings_leave_claims_about_convolutions_open(convolutions, images, spread):
    table2, equal, table4 = convolutions
    sets = {"ConvNet": a_set(0.05)}, {"ConvNet'": a_set(0.05)}
    verdicts = findings.convolutional_claims(*sets, counts(table2, equal, images, spread), table4)
    assert [holds for holds, _ in verdicts.values()] == [True, None, None, None, False]


def test_a_network_that_is_fooled_less_decides_the_claim_that_another_is_fooled_least(convolutions):
    table2, equal, table4 = convolutions
    rows = table2.rows | {"B": [0.02, 1, 0.2, 0], "ConvNet": [0.02, 0.15, 1, 0]}  # A less, B no more than by luck
    sets = {"ConvNet": a_set(0.05)}, {"ConvNet'": a_set(0.05)}
    found = counts(Table("t2", table2.columns, rows), equal, 1000)
    holds, words = findings.convolutional_claims(*sets, found, table4)[
        "The convolutional network misreads least of all, on average over the sets of the others"
    ]
    assert holds is False and words.startswith("A is next: 2.0% against 15.0%")


def test_a_lead_by_hand():
    one, other = torch.tensor([True, True, False, False]), torch.tensor([True, False, False, False])
    found = findings.lead([one], [other], luck=0.3)
    assert (found.larger, found.smaller) == (0.5, 0.25)
    assert found.doubt == pytest.approx(math.hypot(0.5 / 4**0.5, 0.3))  # differences 0, 1, 0, 0
    assert found.holds is None and findings.lead([one] * 2, [one] * 2).holds is None
    assert findings.Lead(0.5, 0.25, 0.1).holds is True and findings.Lead(0.25, 0.5, 0.1).holds is False


def test_verdicts_are_listed():
    lines = findings.listed({"So": (True, "1"), "Not": (False, "0"), "Open": (None, "2")}).splitlines()
    assert lines[2:] == ["| So | holds | 1 |", "| Not | **does not hold** | 0 |", "| Open | **undecided** | 2 |"]
