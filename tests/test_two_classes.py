"""Two classes as points: which images they are, their means, and angles between directions."""

from __future__ import annotations

import pytest
import torch

from intriguing.book import two_classes
from intriguing.data import Images


def _images() -> Images:
    pictures = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    return Images(pictures, torch.tensor([8, 2, 1, 8, 2, 8]), "made up")


def test_points_keep_the_order_of_the_file() -> None:
    images = _images()
    points, second = two_classes.points(images, 2, 8)
    assert points.dtype == torch.float64
    assert torch.equal(points, images.images[[0, 1, 3, 4, 5]].flatten(1).double())
    assert second.tolist() == [True, False, True, False, True]


def test_points_can_be_limited_to_the_first_of_each_class() -> None:
    images = _images()
    points, second = two_classes.points(images, 2, 8, at_most=1)
    assert torch.equal(points, images.images[[0, 1]].flatten(1).double())
    assert second.tolist() == [True, False]


@pytest.mark.parametrize(("labels", "words"), [((3, 3), "twice"), ((2, 9), r"\[2, 0\].*some of each")])
def test_labels_that_make_no_two_classes(labels: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        two_classes.points(_images(), *labels)


def test_means_and_what_lies_between_them() -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
    second = torch.tensor([False, False, True])
    assert [mean.tolist() for mean in two_classes.means(points, second)] == [[0, 1], [3, 5]]
    assert two_classes.middle(points, second).tolist() == [1.5, 3]
    assert two_classes.half_distance(points, second) == 2.5


@pytest.mark.parametrize("second", [[False, False], [True, True]])
def test_one_class_is_not_enough(second: list[bool]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        two_classes.means(torch.eye(2, dtype=torch.float64), torch.tensor(second))


def test_angles_are_those_of_the_rows() -> None:
    one = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]], dtype=torch.float64)
    other = torch.tensor([[0.0, 5.0], [-1.0, 0.0], [1.0, 1.0 + 1e-9]], dtype=torch.float64)
    found = two_classes.angles(one, other).tolist()
    assert found[:2] == pytest.approx([90, 180])
    assert found[2] == pytest.approx(torch.rad2deg(torch.tensor(5e-10)).item(), rel=1e-6)  # the cosine would say 0


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (torch.tensor([0, 1]), TypeError),
        (torch.tensor([True]), ValueError),
        (torch.tensor([[True], [False]]), ValueError),
    ],
)
def test_there_is_one_truth_value_for_each_point(second: torch.Tensor, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="truth value|expected bool"):
        two_classes.half_distance(torch.eye(2, dtype=torch.float64), second)
