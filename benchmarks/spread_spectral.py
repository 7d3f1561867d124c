"""Measure how the sandwich of the quick profile moves from seed to seed, like ``spread.py``."""

from __future__ import annotations

import pandas as pd
from spread import store

from intriguing import scale, spectral
from intriguing.data import mnist

SEEDS = 3


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked table of the chapter on norms, from networks whose initial weights have this seed."""
    digits = mnist()
    test = digits.test.take(slice(0, scale.profile().certified_images))
    models = spectral.networks(digits.train, seed=seed)
    found = {name: spectral.sandwich(name, model, test) for name, model in models.items()}
    return {"sandwich": spectral.sandwich_table(found, digits.name).to_frame()}


if __name__ == "__main__":
    store(one_seed, SEEDS)
