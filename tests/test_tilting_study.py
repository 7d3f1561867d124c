"""The tables of the chapter on tilting on small made-up digits, against hand-worked cases and the geometry."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from intriguing.attack.perturbations import rms
from intriguing.book.results import Table
from intriguing.chapters.tilting import geometry, study, svm
from intriguing.chapters.tilting.geometry import Boundary
from intriguing.data import Digits, Images

LEVELS = [100.0, 1.0, 0.01]


def _images(count: int, seed: int, name: str) -> Images:
    """Noise of 4 by 4 pixels, the brighter the larger the label."""
    labels = torch.arange(count) % 10
    noise = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Images(noise * 0.5 + 0.05 * labels[:, None, None, None], labels, name)


@pytest.fixture(scope="module")
def digits() -> Digits:
    train, test = _images(200, 0, "made-up training images"), _images(100, 1, "made-up test images")
    return Digits(train, test, train, train, "made up 200/100")


@pytest.fixture(scope="module")
def task(digits: Digits) -> study.Task:
    return study.task(digits, 2, 9, moved=12)


@pytest.fixture(scope="module")
def machines(task: study.Task) -> list[Boundary]:
    return [svm.train(task.points, task.second, level) for level in LEVELS]


def test_task_holds_both_sets_and_the_first_of_the_test_set(digits: Digits, task: study.Task) -> None:
    assert task.points.shape == (40, 16) and task.test_points.shape == (20, 16)
    assert task.names == ("2", "9") and (task.data, task.test_data) == (digits.name, digits.test.name)
    assert torch.equal(task.few, task.test_points[:12]) and torch.equal(task.few_second, task.test_second[:12])
    assert torch.equal(task.test_points[task.test_second], digits.test.images[9::10].flatten(1).double())


def test_methods_agree_and_the_free_step_is_shorter(task: study.Task, machines: list[Boundary]) -> None:
    table = study.methods(task, machines[1])
    frame = table.to_frame()
    assert list(table.columns) == list(study.ALLOWED[table.name]) and table.meta == {"data": task.test_data}
    assert frame.loc["closed form, pixels in [0, 1]"].tolist()[1:] == [1, 1]
    assert (frame.iloc[1:, 1:] - 1).abs().to_numpy().max() < 3e-3
    assert frame.loc["closed form, pixels free", "largest ratio"] < 1 + 1e-12
    exact = rms(geometry.cross_in_box(task.few, machines[1])[0], task.few)
    assert frame.loc["closed form, pixels in [0, 1]", "mean distortion"] == pytest.approx(float(exact.mean()))


def test_fooled_shows_what_was_read_correctly(task: study.Task) -> None:
    # Reads everything as the second class, so that only nines are right.
    line = Boundary(torch.ones(16, dtype=torch.float64), 1.0)
    clean, twins, titles = study.fooled(task, line, task.few / 2, 3)
    assert titles == ["9 read as 2"] * 3
    assert torch.equal(clean, task.few[task.few_second][:3].view(3, 4, 4)) and torch.equal(twins, clean / 2)


def test_toys_are_alike_in_every_dimension() -> None:
    toys = study.toys((2, 5), degrees=60.0)
    frame = toys.table.to_frame()
    assert frame.loc["2 dimensions, tilted"].tolist() == pytest.approx([60, 0.25 - 0.05 * 3**0.5, 0.25, 0])
    assert frame.loc["5 dimensions, bisecting"].tolist() == pytest.approx([0, 0.5, 0.5, 0])
    assert frame.loc["5 dimensions, learned", "angle (degrees)"] < 0.1
    # Two stray points are separated with the widest margin at the arc tangent of 3.
    strays = frame.loc[["2 dimensions, learned, with strays", "5 dimensions, learned, with strays"], "angle (degrees)"]
    assert strays.tolist() == pytest.approx([71.57] * 2, abs=0.2)
    assert list(toys.panels) == [name for name in frame.index if not name.endswith("learned")]
    points, second, (a, b, c) = toys.panels["5 dimensions, tilted"]
    assert (a, b, c) == pytest.approx((3**0.5 / 2, 0.5, 0))
    sheet = toys.sheets[5]
    there = [float(sheet[f"{name}: I, read as J"] @ sheet[f"{name}: weight"]) for name in ("tilted", "bisecting")]
    assert there == pytest.approx([1e-6, 1e-6], rel=1e-3)
    assert float(points[second, 1].min()) == pytest.approx(0.5)


def test_levels_measure_each_machine(task: study.Task, machines: list[Boundary]) -> None:
    path = study.levels(task, machines, LEVELS)
    table = path.table
    assert list(table.rows) == path.words == ["1e+02", "1", "0.01"]
    angle, training, testing, distortion, law = table.rows["1"]
    z = geometry.nearest_centroid(task.points, task.second).weight
    assert angle == geometry.tilting_angle(machines[1].weight, z)
    assert training == geometry.error(machines[1], task.points, task.second)
    assert testing == geometry.error(machines[1], task.test_points, task.test_second)
    assert distortion == pytest.approx(float(rms(geometry.cross_in_box(task.few, machines[1])[0], task.few).mean()))
    assert law == pytest.approx(geometry.bisecting_law(machines[1], task.points, task.second) / 4)
    # The pair: one of each class, read correctly by all machines, and twins that are read wrongly.
    for line, twins in zip(machines, path.twins, strict=True):
        assert (line.score(path.pair) > 0).tolist() == [False, True]
        assert (line.score(twins) > 0).tolist() == [True, False]


def test_the_pair_is_as_deep_as_its_class() -> None:
    def points(*depths: float) -> torch.Tensor:
        return torch.tensor([[depth, 0.0] for depth in depths], dtype=torch.float64)

    test_points, test_second = points(-0.5, -1.1, -4.0, 0.9, 3.0), torch.tensor([False, False, False, True, True])
    task = study.Task(
        ("I", "J"), points(-1, 1), torch.tensor([False, True]), test_points, test_second, 5, torch.Size([1, 1, 2]),
        "made up", "made up",
    )  # fmt: skip
    bisector = Boundary(torch.tensor([1.0, 0.0], dtype=torch.float64), 0.0)
    # The second machine misreads 0.9, so that 3.0 has to stand for its class.
    for machines, pair in (([bisector], [-1.1, 0.9]), ([bisector, Boundary(bisector.weight, -2.0)], [-1.1, 3.0])):
        assert study.levels(task, machines, [1.0] * len(machines)).pair[:, 0].tolist() == pair


def test_turning_ends_at_both_boundaries(task: study.Task, machines: list[Boundary]) -> None:
    turning = study.turning(task, machines[0], machines[-1], shown=9)
    assert torch.allclose(turning.basis.T @ turning.basis, torch.eye(3, dtype=torch.float64), atol=1e-12)
    for offset, line in zip(turning.offsets, turning.ends, strict=True):
        # The space holds the weight, so distances in it are the true ones.
        normal = line.weight @ turning.basis / line.weight.norm()
        distance = turning.cloud @ normal + offset
        assert torch.allclose(distance, geometry.signed_distance(task.points[:9], line), atol=1e-10)


def test_paired_counts_what_only_one_misreads() -> None:
    points = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
    second = torch.tensor([False, False, True, True])
    task = study.Task(("I", "J"), points, second, points, second, 2, torch.Size([1, 1, 1]), "made up", "made up")
    unit = torch.ones(1, dtype=torch.float64)
    words = study.paired(task, Boundary(unit, 0.0), Boundary(unit, -3.0))
    assert "4 test images the first misreads 0 and the second 2; 0 are" in words and "(p = 0.50)" in words
    assert "(p = 1.00)" in study.paired(task, Boundary(unit, 0.0), Boundary(unit, 0.0))


def test_deep_shows_what_was_read_correctly(digits: Digits) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10)).requires_grad_(False).eval()
    own = study.predict(model, digits.test.images)
    clean, found, titles = study.deep(model, Images(digits.test.images, own, "made up"), 3)
    assert torch.equal(clean, digits.test.images[:3, 0]) and found.shape == (3, 4, 4)
    assert [title.split(" read as ")[0] for title in titles] == [str(int(label)) for label in own[:3]]
    assert all(len(set(title.split(" read as "))) == 2 for title in titles)


def test_every_pair_follows_the_law(digits: Digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    sweep = study.every_pair(digits.train.take(slice(0, 60)), [100.0, 0.1])
    assert len(sweep.pairs) == 45 and sweep.angle.shape == (45, 2)
    assert torch.allclose(sweep.signed, sweep.half[:, None] * sweep.cosine, atol=1e-10)
    assert torch.allclose(sweep.shares["mean signed distance"], sweep.cosine, atol=1e-9)
    frame = sweep.table.to_frame()
    assert list(frame.index) == ["1e+02", "1e-01"]
    assert frame["signed / law"].tolist() == pytest.approx([1, 1])
    assert frame.loc["1e-01", "largest angle"] == float(sweep.angle[:, 1].max())
    stepped = sweep.boxed[:, 0] / sweep.half / sweep.cosine[:, 0]
    assert frame.loc["1e+02", "step in the box / law"] == pytest.approx(float(stepped.mean()))


def test_a_linear_network_is_tilted_everywhere_alike(digits: Digits) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10)).requires_grad_(False).eval()
    found = study.networks({"linear": model}, digits.train, 20)
    row = found.table.to_frame().loc["linear"]
    assert row["turn"] == pytest.approx(0, abs=1e-3) and row["angle"] == pytest.approx(row["angle at boundary"])
    assert row["alignment"] == pytest.approx(1)
    predicted, searched = found.clouds["linear"]
    assert row["linearised / found"] == pytest.approx(float((predicted / searched).mean()))
    assert bool((predicted <= searched * 1.001).all())  # a third class can only be in the way
    assert found.table.meta == {"data": digits.train.name}


def test_search_says_how_the_image_is_read() -> None:
    linear = nn.Linear(4, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
        linear.bias.copy_(torch.tensor([-0.5, 0.5]))
    model = nn.Sequential(nn.Flatten(), linear).requires_grad_(False).eval()
    image = torch.tensor([[[0.8, 0.5], [0.5, 0.5]]])
    images = Images(torch.stack([image / 2, image, image / 2]), torch.tensor([1, 0, 0]), "made up")
    found = study.search(model, images, 0, 1, 0.01)
    assert found.titles[0] == "read as 0" and found.titles[2] == "read as 1"
    assert torch.equal(found.clean, image[0]) and found.found.shape == (2, 2)
    assert float(found.found[0, 0]) < 0.5 and torch.allclose(found.found.flatten()[1:].float(), torch.full((3,), 0.5))
    length = abs(float(found.found[0, 0]) - 0.8) / 2
    assert found.sentence("1e-2") == (
        "A 0 asked to become a 1 at c = 0.01 and λ = 1e-2: read as 0 before and as 1 after a distortion of "
        f"{length:.4f}."
    )


def _networks(**changes: list[float]) -> study.Networks:
    columns = list(study.ALLOWED["tilting_networks"])
    rows = {f"linear {i}": [50.0 - i, 50.0 - i, 0.0, 1.0, 0.1, 0.1, 1.0, 1.0] for i in range(3)}
    rows |= {name: [60.0, 55.0, 10.0, 0.9, 0.2, 0.1, 1.2, 0.9] for name in ("small", "large", "AE400-10")}
    return study.Networks(Table("tilting_networks", columns, rows | changes, {"data": "made up"}), {})


def test_claims_tell_true_from_false(task: study.Task, machines: list[Boundary]) -> None:
    levels = [10.0 ** (3 - place / 4) for place in range(25)]
    path = study.levels(task, [svm.train(task.points, task.second, level) for level in levels], levels)
    angle = torch.tensor([[0.0, 60.0]], dtype=torch.float64)
    cosine, half = torch.cos(torch.deg2rad(angle)), torch.tensor([2.0], dtype=torch.float64)
    sweep = study.PairSweep([(2, 3)], [1.0, 0.1], angle, half, 2 * cosine, 2.2 * cosine, "made up")
    parts = {
        "task": task,
        "machine": machines[1],
        "methods": study.methods(task, machines[1]),
        "toys": study.toys(),
        "path": path,
        "sweep": sweep,
        "networks": _networks(),
    }
    claims = study.claims(**parts)
    assert len(claims) == 22 and all(type(holds) is bool for holds in claims.values())
    longer = "In the box the mean step exceeds the law for every pair and level"
    law = "The mean signed distance is the law for every pair and level, to 1e-9"
    nearer, differ = "For the autoencoder it is nearer too", "Their gradients differ from image to image"
    assert claims[longer] and claims[law] and claims[nearer] and claims[differ]
    short = dataclasses.replace(sweep, boxed=1.9 * cosine, signed=2.001 * cosine)
    changed = _networks(**{"AE400-10": [60.0, 55.0, 10.0, 0.99, 0.2, 0.1, 0.9, 0.9]})
    other = study.claims(**parts | {"sweep": short, "networks": changed})
    assert {claim for claim in claims if claims[claim] != other[claim]} == {longer, law, nearer, differ}
