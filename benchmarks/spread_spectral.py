"""Measure how the sandwiches and growths of the quick profile move from seed to seed, like ``spread.py``."""

from __future__ import annotations

import pandas as pd
from spread import store

from intriguing.book import settings
from intriguing.chapters.spectral import everywhere, study
from intriguing.data import mnist

SEEDS = 8


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked tables of networks in the chapter on norms, from initial weights of this seed."""
    digits, profile = mnist(), settings.profile()
    test = digits.test.take(slice(0, profile.certified_images))
    first = digits.test.take(slice(0, everywhere.IMAGES[profile.name]))
    models = study.networks(digits.train, seed=seed)
    found = {name: study.sandwich(name, model, test) for name, model in models.items()}
    around = {name: everywhere.everywhere(name, model, first) for name, model in models.items()}
    made = (
        study.sandwich_table(found, digits.name),
        everywhere.table(around, digits.name),
        everywhere.growth(around, digits.name),
    )
    return {table.name: table.to_frame() for table in made}


if __name__ == "__main__":
    store(one_seed, SEEDS)
