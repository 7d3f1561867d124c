"""Measure how much the tables of the chapter on the protocol move from seed to seed in the quick profile.

Writes results/quick/spread_protocol_misfit.json and its like, on which the tolerances of that chapter rest. It trains
some thirty networks for each seed; run with ``python benchmarks/spread_protocol.py``.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from rich.progress import track

from intriguing import forensics, results, scale
from intriguing.data import mnist
from intriguing.protocol import Sweep
from intriguing.results import Table

SEEDS = 2


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked tables of the chapter, from networks whose initial weights have this seed."""
    digits, profile = mnist(), scale.profile()
    sweep = Sweep(digits, profile.protocol_images, seed=seed)
    small = Sweep(replace(digits, train=forensics.first_images(digits)), profile.protocol_images, seed=seed)
    made = (
        forensics.one_at_a_time(sweep, forensics.FEW),
        forensics.coarseness(sweep, forensics.FEW),
        forensics.sigmoid_decay(small),
    )
    return {table.name: table.to_frame() for table in made}


def main() -> None:
    """Run all seeds and store the standard deviation of every entry."""
    scale.seed_everything()
    runs = [one_seed(seed) for seed in track(range(SEEDS), "seeds")]
    for name in runs[0]:
        spread = pd.concat([run[name] for run in runs]).groupby(level=0, sort=False).std()
        meta = {"data": mnist().name, "seeds": SEEDS, "quantity": "standard deviation over seeds"}
        print(results.record(Table.from_frame(f"spread_{name}", spread, meta)))


if __name__ == "__main__":
    main()
