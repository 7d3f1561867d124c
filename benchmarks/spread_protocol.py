"""Measure how much the tables of the chapter on the protocol move from seed to seed in the quick profile.

Writes results/quick/spread_protocol_misfit.json and its like, on which the tolerances of that chapter rest. It trains
some thirty networks for each seed; run with ``python benchmarks/spread_protocol.py``.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from spread import store

from intriguing.book import settings
from intriguing.chapters.protocol import forensics, questions
from intriguing.chapters.protocol.study import Sweep
from intriguing.data import mnist

SEEDS = 2


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked tables of the chapter, from networks whose initial weights have this seed."""
    digits, profile = mnist(), settings.profile()
    sweep = Sweep(digits, profile.protocol_images, seed=seed)
    small = Sweep(replace(digits, train=questions.first_images(digits)), profile.protocol_images, seed=seed)
    made = (
        forensics.one_at_a_time(sweep),
        questions.coarseness(sweep),
        questions.sigmoid_decay(small),
    )
    return {table.name: table.to_frame() for table in made}


if __name__ == "__main__":
    store(one_seed, SEEDS)
