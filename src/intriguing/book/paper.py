"""The numbers printed in "Intriguing properties of neural networks" (Szegedy et al., 2014), as data.

Rates are fractions, not percent. Distortions are root mean squares per pixel, with pixels in [0, 1]. The
models bear the paper's names, written without superscripts: ``FC10(1e-4)`` is the linear classifier with
weight decay 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd


@dataclass(frozen=True)
class PaperTable:
    """A table as it is printed.

    Attributes:
        name: ``table1`` to ``table5``, the name under which our own table is recorded.
        title: What it shows.
        where: Where it stands in the paper.
        columns: The names of the columns.
        rows: The entries by name of the row, one per column; None where nothing is printed.
    """

    name: str
    title: str
    where: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float | None, ...]]

    def to_frame(self) -> pd.DataFrame:
        """Returns the table as a data frame of floats, with NaN where nothing is printed."""
        frame = pd.DataFrame.from_dict(dict(self.rows), orient="index", columns=list(self.columns))
        return frame.astype(float)

    def value(self, row: str, column: str) -> float | None:
        """Returns one entry.

        Args:
            row: The name of the row.
            column: The name of the column.

        Raises:
            KeyError: There is no such row or column.
        """
        if row not in self.rows or column not in self.columns:
            raise KeyError(
                f"{self.name} has no entry ({row!r}, {column!r}); its rows are {list(self.rows)} and its "
                f"columns {list(self.columns)}."
            )
        return self.rows[row][self.columns.index(column)]


@dataclass(frozen=True)
class Printed:
    """A number in the running text or in a caption.

    Attributes:
        value: The number.
        meaning: What it says.
        where: Where it stands in the paper.
    """

    value: float
    meaning: str
    where: str


MODELS = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")
"""The six models of Tables 1 and 2, in the paper's order."""

HALF_MODELS = ("FC100-100-10", "FC123-456-10", "FC100-100-10'")
"""The three models of Tables 3 and 4: the first two are trained on P1, the last one on P2."""

WEIGHT_DECAY = MappingProxyType(
    {
        "FC10(1e-4)": (1e-4,),
        "FC10(1e-2)": (1e-2,),
        "FC10(1)": (1.0,),
        "FC100-100-10": (1e-5, 1e-5, 1e-6),
        "FC200-200-10": (1e-5, 1e-5, 1e-6),
        "AE400-10": (1e-6,),
    }
)
"""The lambdas of the quadratic weight decay, layer by layer, as Table 1 describes the models."""


def half_unit(value: float, *, percent: bool = False) -> float:
    """Half a unit of the last digit of a number that is not zero, behind the point or just before it.

    It is the largest rounding error of a printed number, unless the number was printed with zeros at its end: 7.0 %
    is not told from 7 %.

    Args:
        value: a number as the paper prints it.
        percent: whether it is a fraction that is printed as percent.

    Returns:
        In the unit of ``value``.
    """
    text = f"{round(100 * value if percent else value, 6):g}"
    return 0.5 * 10.0 ** -len(text.partition(".")[2]) / (100 if percent else 1)


def percent(value: float) -> str:
    """A fraction as the paper prints it, with the digits that it gives and no more.

    Args:
        value: in [0, 1].
    """
    return f"{100 * value:.4g}%"


def _table(name: str, title: str, where: str, columns: tuple[str, ...], rows: dict) -> PaperTable:
    return PaperTable(name, title, where, columns, MappingProxyType(rows))


TABLE1 = _table(
    "table1",
    "Errors of the six models and the mean minimum distortion that fools each on all training images",
    "Table 1, page 7",
    ("training error", "test error", "distortion"),
    {
        "FC10(1e-4)": (0.067, 0.074, 0.062),
        "FC10(1e-2)": (0.10, 0.094, 0.1),
        "FC10(1)": (0.212, 0.20, 0.14),
        "FC100-100-10": (0.0, 0.0164, 0.058),
        "FC200-200-10": (0.0, 0.0154, 0.065),
        "AE400-10": (0.0057, 0.019, 0.086),
    },
)

TABLE2 = _table(
    "table2",
    "Error of each model (column) on the training images distorted for each model (row) or by noise",
    "Table 2, page 7",
    (*MODELS, "distortion"),
    {
        "FC10(1e-4)": (1.0, 0.117, 0.227, 0.02, 0.039, 0.027, 0.062),
        "FC10(1e-2)": (0.871, 1.0, 0.352, 0.359, 0.273, 0.098, 0.1),
        "FC10(1)": (0.719, 0.762, 1.0, 0.481, 0.47, 0.344, 0.14),
        "FC100-100-10": (0.289, 0.137, 0.211, 1.0, 0.066, 0.02, 0.058),
        "FC200-200-10": (0.382, 0.14, 0.238, 0.203, 1.0, 0.027, 0.065),
        "AE400-10": (0.234, 0.16, 0.248, 0.094, 0.066, 1.0, 0.086),
        "Gaussian noise 0.1": (0.05, 0.101, 0.183, 0.0, 0.0, 0.008, 0.1),
        "Gaussian noise 0.3": (0.156, 0.113, 0.227, 0.05, 0.043, 0.031, 0.3),
    },
)

TABLE3 = _table(
    "table3",
    "Errors of the models trained on disjoint halves of the training set",
    "Table 3, page 8",
    ("error on P1", "error on P2", "test error", "distortion"),
    {
        "FC100-100-10": (0.0, 0.024, 0.02, 0.062),
        "FC123-456-10": (0.0, 0.025, 0.021, 0.059),
        "FC100-100-10'": (0.023, 0.0, 0.021, 0.058),
    },
)

# The last column is not printed as one: it repeats the stddev that stands in the name of each row.
TABLE4 = _table(
    "table4",
    "Error of each model (column) on test images distorted for each model (row), amplified, or by noise",
    "Table 4, page 8",
    (*HALF_MODELS, "distortion"),
    {
        "FC100-100-10": (1.0, 0.262, 0.059, 0.062),
        "FC123-456-10": (0.0625, 1.0, 0.051, 0.059),
        "FC100-100-10'": (0.082, 0.082, 1.0, 0.058),
        "Gaussian noise 0.06": (0.022, 0.026, 0.024, 0.06),
        "FC100-100-10 amplified to 0.1": (1.0, 0.98, 0.43, 0.1),
        "FC123-456-10 amplified to 0.1": (0.96, 1.0, 0.22, 0.1),
        "FC100-100-10' amplified to 0.1": (0.27, 0.50, 1.0, 0.1),
        "Gaussian noise 0.1": (0.026, 0.028, 0.027, 0.1),
    },
)

# A fully connected layer has no extent in the plane and no stride.
TABLE5 = _table(
    "table5",
    "Upper bound of the operator norm of each layer of AlexNet",
    "Table 5, page 9",
    ("inputs", "kernel", "outputs", "stride", "upper bound"),
    {
        "Conv. 1": (3, 11, 96, 4, 2.75),
        "Conv. 2": (96, 5, 256, 1, 10.0),
        "Conv. 3": (256, 3, 384, 1, 7.0),
        "Conv. 4": (384, 3, 384, 1, 7.5),
        "Conv. 5": (384, 3, 256, 1, 11.0),
        "FC. 1": (9216, None, 4096, None, 3.12),
        "FC. 2": (4096, None, 4096, None, 4.0),
        "FC. 3": (4096, None, 1000, None, 4.0),
    },
)

TABLES = MappingProxyType({table.name: table for table in (TABLE1, TABLE2, TABLE3, TABLE4, TABLE5)})
"""All five tables by name."""

TABLE5_PRODUCT = math.prod(row[-1] for row in TABLE5.rows.values())
"""The product of the bounds in Table 5, about 793,000; the paper prints the factors only."""

NUMBERS = MappingProxyType(
    {
        "pixels": Printed(784, "pixels of one image", "section 4.2, page 7"),
        "training images": Printed(60000, "training images of MNIST", "section 4.2, page 8"),
        "part images": Printed(30000, "training images in each of P1 and P2", "section 4.2, page 8"),
        "autoencoder units": Printed(400, "units of the sparse autoencoder", "section 4.2, page 6"),
        "figure 5 distortion": Printed(0.006508, "mean distortion on AlexNet", "Figure 5, page 6"),
        "figure 5 examples": Printed(64, "examples in that mean", "Figure 5, page 6"),
        "figure 5 magnification": Printed(10, "magnification of the differences", "Figure 5, page 6"),
        "figure 5 shift": Printed(128, "shift of the differences, 8-bit pixel values", "Figure 5, page 6"),
        "figure 7 linear": Printed(0.06, "stddev of the distortion, linear classifier", "Figure 7a, page 7"),
        "figure 7 sigmoid": Printed(0.063, "stddev of the distortion, 200-200-10", "Figure 7b, page 7"),
        "figure 7 noise": Printed(1.0, "stddev of the Gaussian noise", "Figure 7c, page 7"),
        "figure 7 noise accuracy": Printed(0.51, "accuracy under that noise", "Figure 7c, page 7"),
        "figure 7 adversarial accuracy": Printed(
            0.0, "accuracy of each model on the examples made for it", "Figure 7, page 7"
        ),
        "back-feeding error": Printed(
            0.012, "test error of 100-100-10 is below this with back-feeding", "section 4.2, page 5"
        ),
        "weight decay error": Printed(0.016, "test error of 100-100-10 with weight decay alone", "section 4.2, page 6"),
        "dropout error": Printed(0.013, "test error of 100-100-10 with dropout", "section 4.2, page 6"),
        "amplified distortion": Printed(0.1, "distortion after amplification", "section 4.2, page 8"),
        "amplification": Printed(0.4, "mean relative growth by amplification", "section 4.2, page 8"),
        "normalisation exponent, lowest": Printed(0.5, "usual range of gamma", "section 4.3, page 9"),
        "normalisation exponent, highest": Printed(1.0, "usual range of gamma", "section 4.3, page 9"),
    }
)
"""Numbers outside the tables; the paper prints more of them."""
