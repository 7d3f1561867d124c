"""Measure how much the coarse searches of the chapter on the protocol move from seed to seed in the quick profile.

Writes results/quick/spread_coarse_search.json, on which the tolerances of that chapter rest; run with
``python benchmarks/spread_protocol.py``.
"""

from __future__ import annotations

import pandas as pd
from spread import store

from intriguing.book import settings
from intriguing.chapters.protocol import questions
from intriguing.chapters.protocol.study import Sweep
from intriguing.data import mnist

SEEDS = 8


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked table of the chapter, from networks whose initial weights have this seed."""
    table = questions.coarseness(Sweep(mnist(), settings.profile().protocol_images, seed=seed))
    return {table.name: table.to_frame()}


if __name__ == "__main__":
    store(one_seed, SEEDS)
