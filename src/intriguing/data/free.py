"""Photographs that come inside packages of the book, free for everybody: nothing is downloaded to look at them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from intriguing.data import photographs
from intriguing.data.manifest import DataError


@dataclass(frozen=True)
class Picture:
    """One such photograph.

    Attributes:
        name: what is on it, in a word.
        package: that carries it, as it is imported.
        path: in the package.
        fits: the ImageNet classes that a careful person might give it; empty where none of the thousand does.
        credit: whose it is, and under which terms.
    """

    name: str
    package: str
    path: str
    fits: tuple[int, ...]
    credit: str


PICTURES = (
    Picture("cat", "skimage", "data/chelsea.png", (281, 282, 285), "Stéfan van der Walt, CC0"),
    Picture("coffee", "skimage", "data/coffee.png", (504, 967, 968), "Rachel Michetti, CC0"),
    Picture("temple", "sklearn", "datasets/images/china.jpg", (663, 698), "Daniel Buechele, CC BY 2.0"),
    Picture("admiral", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (652,), "U.S. Navy, public domain"),
    Picture("rocket", "skimage", "data/rocket.jpg", (657, 744), "SpaceX, public domain"),
    Picture("dahlia", "sklearn", "datasets/images/flower.jpg", (), "Flickr user vultilion, CC BY 2.0"),
    Picture("astronaut", "skimage", "data/astronaut.png", (), "NASA, public domain"),
)
"""Egyptian cat, tiger cat or tabby; coffee mug, espresso or cup; monastery or palace; military uniform; missile or
projectile. There is no class of dahlias and none of astronauts."""


@dataclass(frozen=True, eq=False)
class Free:
    """The photographs, as networks see them.

    Attributes:
        pictures: (N,) what is known about them.
        images: (N, 3, size, size) float32 in [0, 1]: the middle square, reduced.
    """

    pictures: tuple[Picture, ...]
    images: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def names(self) -> tuple[str, ...]:
        """(N,) what is on them."""
        return tuple(picture.name for picture in self.pictures)

    def fit(self, classes: Tensor) -> Tensor:
        """Which of these classes a careful person might give.

        Args:
            classes: (N,) long.

        Returns:
            (N,) bool.
        """
        return torch.tensor([int(one) in picture.fits for picture, one in zip(self.pictures, classes, strict=True)])


def free(size: int = photographs.SEEN) -> Free:
    """The photographs of :data:`PICTURES`.

    Args:
        size: height and width in pixels.

    Raises:
        DataError: a package is missing, or its file is.
    """
    squares = [photographs.square(place(picture), size) for picture in PICTURES]
    return Free(PICTURES, torch.stack(squares).float() / 255)


def place(picture: Picture) -> Path:
    """Where a photograph lies; its package is not imported.

    Args:
        picture: one of :data:`PICTURES`.

    Raises:
        DataError: the package is missing, or the file is.
    """
    found = importlib.util.find_spec(picture.package)
    path = None if found is None else Path(next(iter(found.submodule_search_locations or ["."]))) / picture.path
    if path is None or not path.is_file():
        raise DataError(
            f"got no {picture.path} of the package {picture.package}; expected it where the packages of "
            "requirements.txt are installed; install them."
        )
    return path
