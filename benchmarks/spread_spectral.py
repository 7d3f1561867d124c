"""Measure how the sandwich of the quick profile moves from seed to seed, like ``spread.py``."""

from __future__ import annotations

import pandas as pd
from spread import store

from intriguing.book import settings
from intriguing.chapters.spectral import study
from intriguing.data import mnist

SEEDS = 3


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked table of the chapter on norms, from networks whose initial weights have this seed."""
    digits = mnist()
    test = digits.test.take(slice(0, settings.profile().certified_images))
    models = study.networks(digits.train, seed=seed)
    found = {name: study.sandwich(name, model, test) for name, model in models.items()}
    return {"sandwich": study.sandwich_table(found, digits.name).to_frame()}


if __name__ == "__main__":
    store(one_seed, SEEDS)
