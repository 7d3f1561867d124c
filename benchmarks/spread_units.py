"""Measure how much the tables of the chapter on units move from seed to seed in the quick profile.

Writes results/quick/spread_units_purity.json and its like, on which the tolerances of that chapter rest.
"""

from __future__ import annotations

import pandas as pd
from spread import store

from intriguing import scale, units_study
from intriguing.data import mnist
from intriguing.models import build
from intriguing.training import trained

SEEDS = 4


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked tables of the chapter, from networks whose initial weights have this seed."""
    digits, profile = mnist(), scale.profile()
    names = ("ConvNet", "FC100-100-10")
    models = [trained(name, digits.train, seed=seed).model for name in names]
    blank = [build(name, seed=seed).eval().requires_grad_(False) for name in names]
    layers = units_study.layers(*models, *blank, digits.test.images)
    surveys = units_study.surveys(layers, digits.test, resamples=profile.resamples)
    made = units_study.purity_table(surveys, digits.name), units_study.measures_table(surveys, digits.name)
    return {table.name: table.to_frame() for table in made}


if __name__ == "__main__":
    store(one_seed, SEEDS)
