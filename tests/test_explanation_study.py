"""The tables of the chapter on explanation vectors on small made-up digits, and on a classifier known by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.book import results, two_classes
from intriguing.book.results import Table
from intriguing.chapters.explanation import gaussian, study
from intriguing.data import Digits, Images


def _images(count: int, seed: int, name: str) -> Images:
    """Noise of 3 by 3 pixels; the digits 2 are dark in the first row, the digits 8 in the last."""
    labels = torch.tensor([2, 8, 5] * (count // 3))
    pictures = 0.3 + 0.2 * torch.rand(count, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    pictures[labels == 2, :, 2] += 0.4
    pictures[labels == 8, :, 0] += 0.4
    return Images(pictures, labels, name)


@pytest.fixture(scope="module")
def digits() -> Digits:
    train, test = _images(90, 0, "made-up training images"), _images(60, 1, "made-up test images")
    return Digits(train, test, train, train, "USPS of a kind")


@pytest.fixture(scope="module")
def explained(digits: Digits) -> study.Explained:
    points, eight = two_classes.points(digits.train, 2, 8)
    process, _ = gaussian.gaussian_process(points, eight, length=0.8, amplitude=4.0, fixed=True)
    return study.explain(process, digits, (2, 8), 30)


@pytest.fixture(scope="module")
def compared(explained: study.Explained) -> study.Comparison:
    return study.compare(explained)


def test_gaps_are_measured_against_the_three_others() -> None:
    points, inside = gaussian.triangle(60)
    toy, machine = gaussian.gaussian_process(points, inside, length=0.2, amplitude=30.0, fixed=True)
    places = gaussian.lattice(3, 0.2, 0.8)
    gaps = study.gaps(toy, machine, places)
    assert gaps.autograd < 1e-10 and gaps.differences < 1e-6 and 1e-9 < gaps.library < 1e-3
    # Another process has other probabilities and the same agreement of the closed form with its own.
    other = study.gaps(dataclasses.replace(toy, pull=1.2 * toy.pull), machine, places)
    assert other.autograd < 1e-10 and other.library > 0.01
    assert study.Gaps(1e-12, 2e-8, 3e-4).listed().splitlines() == [
        "| largest difference | |",
        "| --- | --- |",
        "| closed form against autograd | 1.0e-12 |",
        "| closed form against differences | 2.0e-08 |",
        "| our probability against scikit-learn's | 3.0e-04 |",
    ]


def test_explained_digits_change_class_where_it_says(digits: Digits, explained: study.Explained) -> None:
    process = explained.process
    assert torch.equal(explained.points, two_classes.points(digits.test, 2, 8)[0][:30])
    assert explained.error == 0 and torch.equal(explained.targets == 1, ~explained.second)
    assert torch.equal(explained.vectors, process.gradient(explained.points))
    for factor, changed in ((0.999, False), (1.001, True)):
        moved = explained.points + factor * explained.distances[:, None] * explained.directions
        assert bool(((process.second(moved) != process.second(explained.points)) == changed).all())


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [("USPS 7291/2007", "usps", "Data: USPS. "), ("MNIST 4000/1000", "mnist", "Data: MNIST, because usps.npz is not")],
)
def test_summary_says_which_data_it_was(explained: study.Explained, name: str, source: str, words: str) -> None:
    one = dataclasses.replace(explained, data=name)
    assert one.source == source and one.root == 3
    first, second = one.summary.splitlines()
    assert first.startswith(words) and first.endswith("60 training and 30 test digits.")
    assert second == "Test error 0.0%, variance 4, length scale 0.80; the box of all images has the diameter 3.0."


def test_shown_are_read_correctly(explained: study.Explained) -> None:
    rows = explained.shown(4)
    assert explained.second[rows].tolist() == [False] * 4 + [True] * 4
    # The first two is now an eight by its label: it is misread, and passed over.
    labels = explained.second.clone()
    labels[0] = True
    assert rows[0] == 0 and 0 not in dataclasses.replace(explained, second=labels).shown(4)
    with pytest.raises(ValueError, match="expected 16 each"):
        explained.shown(16)


def test_walk_goes_by_fractions_of_the_way(explained: study.Explained) -> None:
    walk = study.walk(explained, [0.0, 0.9, 1.1], count=3)
    rows = explained.shown(3)
    assert walk.pictures.shape == (2, 3, 3, 3, 3) and walk.distances is None
    assert torch.equal(walk.pictures[:, :, 0].reshape(6, 9), explained.points[rows])
    assert torch.equal(walk.vectors.reshape(6, 9), explained.vectors[rows])
    assert walk.flipped.tolist() == [0, 0, 6]
    assert (walk.probabilities > 0.5).tolist() == [[[False, False, True]] * 3, [[True, True, False]] * 3]


def test_step_by_step_moves_all_by_one_distance(explained: study.Explained) -> None:
    steps = study.step_by_step(explained, 5, count=2, beyond=2.2)
    rows = explained.shown(2)
    reach = 2.2 * float(explained.distances[rows].max())
    assert steps.distances.tolist() == pytest.approx([reach / 3 * part / 4 for part in range(5)])
    away = (steps.pictures.reshape(4, 5, 9) - explained.points[rows, None]).norm(dim=2)
    assert torch.allclose(away, (steps.distances * 3).expand(4, 5))
    assert steps.flipped.tolist() == [int((explained.distances[rows] < reach * part / 4).sum()) for part in range(5)]
    assert steps.words[0] == "0.000" and steps.captions[-1] == (
        f"moved by {steps.words[-1]} per pixel: 4 of 4 digits are read as the other class"
    )
    assert steps.words[2] in steps.descriptions[2]


def test_comparison_measures_steps_by_the_shortest(explained: study.Explained, compared: study.Comparison) -> None:
    frame = compared.table.to_frame()
    assert compared.table.name == "explanation_usps" and list(frame.columns) == list(study.ALLOWED["explanation"])
    assert frame["class changes"].tolist() == [1, 1, 1]
    shortest = frame.loc["shortest in [0, 1]"]
    assert shortest["angle to the shortest"] == 0 and shortest["over the shortest"] == pytest.approx(1)
    assert shortest["mean distortion"] == pytest.approx(float(compared.found.rms.mean()))
    free = frame.loc["along η, pixels free"]
    assert free["angle to η"] == pytest.approx(0, abs=1e-6)
    assert free["mean distortion"] == pytest.approx(float(explained.distances.mean()) / 3)
    # One digit that does not change class is left out of the means.
    lost = explained.distances.clone()
    lost[0] = torch.nan
    row = study.compare(dataclasses.replace(explained, distances=lost)).table.to_frame().loc["along η, pixels free"]
    assert row["class changes"] == pytest.approx(29 / 30)
    assert row["mean distortion"] == pytest.approx(float(explained.distances[1:].mean()) / 3)


def test_pictures_of_the_comparison_add_up(explained: study.Explained, compared: study.Comparison) -> None:
    pictures = compared.pictures(2)
    assert pictures.shape == (4, 5, 3, 3)
    assert torch.equal(pictures[:, 0].flatten(1), explained.points[explained.shown(2)])
    assert torch.allclose(pictures[:, 0] + pictures[:, 3], pictures[:, 4])


@pytest.mark.parametrize("path", ["explanation", "shortest"])
def test_step_multiplies_the_way(explained: study.Explained, compared: study.Comparison, path: str) -> None:
    pictures, words = compared.step(0, path, 0.5)
    way = (compared.clipped if path == "explanation" else compared.shortest)[0]
    assert pictures.shape == (1, 3, 3, 3)
    assert torch.allclose(pictures[0, 2].flatten(), explained.points[0] + way / 2)
    assert f"after 0.5 times the way to the boundary, a distortion of {float(way.norm()) / 6:.4f}." in words
    value = float(explained.process.probability((explained.points[0] + way / 2)[None])[0])
    assert words.startswith(f"Probability of an eight {value:.3f} ")


def test_networks_of_two_classes_point_along_their_weight(digits: Digits) -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(9, 10)).requires_grad_(False).eval()
    images = digits.train.take(slice(0, 20))
    table = study.networks({"linear": linear}, digits.train, 20)
    row = table.to_frame().loc["linear"]
    assert table.meta == {"data": digits.train.name}
    assert 0 <= row["angle to r, cut to [0, 1]"] <= row["angle to r"] < 90
    probability = gaussian.class_probability(linear, study.random_targets(images.labels))
    lengths = gaussian.explanation_vector(probability, images.images).flatten(1).double().norm(dim=1).log10()
    found = minimum_distortion(linear, images.images, study.random_targets(images.labels), refine=True)
    kept = found.rms > 0
    assert row["log10 |η|, lowest tenth"] == pytest.approx(float(lengths[kept].quantile(0.1)))
    size = found.rms[kept]
    assert row["distortion, 90 % over 10 %"] == pytest.approx(float(size.quantile(0.9) / size.quantile(0.1)))


def test_the_box_and_not_the_answer_masks_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    # More of every pixel makes class 1 likelier; the second pixel is white and may not follow.
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 10)).requires_grad_(False).eval()
    linear[1].weight.zero_()
    linear[1].weight[1] = 1
    linear[1].bias.copy_(torch.tensor([2.0, 0, *[-9.0] * 8]))
    images = Images(torch.tensor([0.2, 1.0, 0.3, 0.1]).view(1, 1, 2, 2), torch.tensor([0]), "made up")
    monkeypatch.setattr(study, "random_targets", lambda labels: torch.ones_like(labels))
    step = torch.tensor([[0.4, 0.0, 0.0, 0.4]]).double()  # an answer that leaves a free pixel alone

    def attack(model: nn.Module, clean: torch.Tensor, targets: torch.Tensor, *, refine: bool) -> Distortion:
        found = clean.double() + step.view(1, 1, 2, 2)
        return dataclasses.replace(minimum_distortion(model, clean, targets, refine=refine), images=found)

    monkeypatch.setattr(study, "minimum_distortion", attack)
    row = study.networks({"linear": linear}, images, 1).to_frame().loc["linear"]
    angles = [torch.rad2deg(torch.acos(torch.tensor((2 / n) ** 0.5))) for n in (4, 3)]
    assert row[["angle to r", "angle to r, cut to [0, 1]"]].tolist() == pytest.approx(
        [float(a) for a in angles], abs=1e-3
    )


def test_curved_processes_part_vector_and_step(explained: study.Explained, digits: Digits) -> None:
    _, eight = two_classes.points(digits.train, 2, 8)
    table = study.curved(explained.process, eight, digits, (2, 8), [0.5], 20)
    frame = table.to_frame()
    assert list(frame.index) == ["fitted", "length scale 0.5"] and table.meta == {"data": digits.name}
    assert frame["length scale"].tolist() == pytest.approx([0.8, 0.5])
    own = study.compare(study.explain(explained.process, digits, (2, 8), 20)).table.to_frame()
    row = frame.loc["fitted"]
    assert row["angle, cut to [0, 1]"] == own.loc["along η, cut to [0, 1]", "angle to the shortest"]
    assert row["over the shortest"] == own.loc["along η, cut to [0, 1]", "over the shortest"]
    assert frame["turn"].iloc[1] > frame["turn"].iloc[0] > 0
    assert frame["turn of ∇μ"].iloc[1] > frame["turn of ∇μ"].iloc[0] > 0


def test_the_mean_turns_between_two_points_of_a_process_as_its_formula_says() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    process, _ = gaussian.gaussian_process(points, torch.tensor([False, True]), length=1.0, amplitude=1.0, fixed=True)
    here = torch.tensor([[0.5, 0.0], [0.5, 0.3]], dtype=torch.float64)
    # The mean is odd about the line halfway: there its gradient is along the first axis, and to the right of the second
    # point, above it, the two bumps draw it back and down.
    there = torch.tensor([[0.5, 0.3], [1.0, 1.0]], dtype=torch.float64)
    weight = torch.exp(-((there[1] - points) ** 2).sum(1) / 2)
    slope = (torch.tensor([-1.0, 1.0], dtype=torch.float64) * weight) @ (points - there[1])
    expected = torch.rad2deg(torch.atan2(slope[1].abs(), slope[0]))
    assert study.turn_of_mean(process, here, there).tolist() == pytest.approx([0.0, float(expected)], abs=1e-4)


def test_claims_tell_true_from_false(compared: study.Comparison) -> None:
    def networks(*angles: float) -> Table:
        rows = {f"network {i}": [60.0, angle, -8.0, -2.0, 3.0] for i, angle in enumerate(angles)}
        return Table("explanation_networks", list(study.ALLOWED["explanation_networks"]), rows, {"data": "made up"})

    def curved(*angles: float) -> Table:
        rows = {
            f"process {i}": [25.0 - 10 * i, 0.05, 1 - 0.1 * i, 50, angle, 1 + 0.15 * i, 20, 10]
            for i, angle in enumerate(angles)
        }
        return Table("explanation_curved", list(study.ALLOWED["explanation_curved"]), rows, {"data": "made up"})

    claims = study.claims(study.Gaps(1e-12, 1e-8, 1e-4), compared, networks(20.0, 30.0, 40.0), curved(10, 15, 25))
    assert len(claims) == 18 and all(type(holds) is bool for holds in claims.values())
    assert claims["On the digits, closed form and autograd agree to 1e-10"]
    assert claims["Every digit changes class along its explanation vector"]
    off = compared.explained.vectors.clone()
    off[-1, 0] += 1e-6 * off.norm(dim=1).max()
    wrong = dataclasses.replace(compared, explained=dataclasses.replace(compared.explained, vectors=off))
    one = study.claims(study.Gaps(1e-12, 1e-8, 1e-4), wrong, networks(20.0, 30.0, 40.0), curved(10, 15, 25))
    assert [claim for claim in claims if claims[claim] != one[claim]] == [
        "On the digits, closed form and autograd agree to 1e-10"
    ]
    lost = compared.explained.distances.clone()
    lost[3] = torch.nan
    worse = dataclasses.replace(compared, explained=dataclasses.replace(compared.explained, distances=lost, error=0.2))
    other = study.claims(study.Gaps(1e-9, 1e-8, 1e-4), worse, networks(30.0, 40.0, 20.0), curved(10, 25, 19))
    assert {claim for claim in claims if claims[claim] != other[claim]} == {
        "On the toy, closed form and autograd agree to 1e-10",
        "The process reads more than nine test digits in ten correctly",
        "Every digit changes class along its explanation vector",
        "In the box the vector is closer to the perturbation for the linear network than for the others",
        "The shorter the length scale, the larger the angle between vector and shortest step in the box",
        "At the shortest length scale that angle is more than twice that of the fitted process",
    }


def test_the_winding_way_of_a_straight_process_is_the_straight_one(explained: study.Explained) -> None:
    longer = dataclasses.replace(explained, distances=1.05 * explained.distances)
    assert study.wind(longer, 4) == 1
    assert study.wind(dataclasses.replace(explained, distances=0.5 * explained.distances), 4) == 0


def test_what_the_page_says_of_the_length_scale_on_mnist() -> None:
    frame = results.load("explanation_curved_mnist", "quick").to_frame()
    assert frame.at["fitted", "length scale"] / 28 == pytest.approx(0.75, abs=0.05)


def test_what_is_left_of_the_angle_is_about_what_the_vector_turns_by() -> None:
    """And the mean alone hardly turns on that way, so that the second term is what the page takes for the cause."""
    fitted = results.load("explanation_curved_usps", "paper").to_frame().loc["fitted"]
    assert fitted["turn"] == pytest.approx(fitted["angle, cut to [0, 1]"], rel=0.15)
    assert fitted["turn of ∇μ"] < 0.1 * fitted["turn"]


def test_both_data_sets_were_recorded_with_the_same_claims_and_rows() -> None:
    """With USPS at hand only its results are written, so those of MNIST can be left behind by a new wording."""
    mnist, usps = (results.load_claims(f"explanation_claims_{source}", "quick") for source in ("mnist", "usps"))
    assert list(mnist) == list(usps)
    for kind in ("explanation", "explanation_curved"):
        with_and_without = [results.load(f"{kind}_{source}", "quick").to_frame() for source in ("usps", "mnist")]
        assert with_and_without[0].columns.equals(with_and_without[1].columns)
        assert with_and_without[0].index.equals(with_and_without[1].index)
