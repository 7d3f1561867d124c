"""Measure how much the tables of the quick profile move from seed to seed; writes results/quick/spread_*.json.

The checked cells of the book allow a rerun a multiple of these standard deviations. Run with ``make spread``.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from rich.progress import track

from intriguing.attack.perturbations import random_targets
from intriguing.book import results, settings, tables
from intriguing.book.results import Table
from intriguing.book.tables import adversarial_sets
from intriguing.chapters import blind_spots, transfer
from intriguing.data import mnist
from intriguing.models.recipes import TABLE1_MODELS
from intriguing.models.training import trained

SEEDS = 10


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """Every checked table of the chapters, from networks whose initial weights have this seed."""
    digits = mnist()
    profile = settings.profile()
    models = {name: trained(name, digits.train, seed=seed).model for name in TABLE1_MODELS}
    images = digits.train.take(slice(0, profile.attack_images))
    few = digits.train.take(slice(0, profile.target_images))
    sets = adversarial_sets(models, images.images, random_targets(images.labels))
    made = (
        tables.table1(models, digits, sets),
        tables.table2(models, images, sets),
        tables.table2(models, images, sets, clip_noise=True),
        tables.equal_noise(models, images, sets),
        transfer.target_choice(models, few, random_targets(few.labels)),
        blind_spots.penalty_norms(models, few, random_targets(few.labels)),
        blind_spots.refined(models, few, random_targets(few.labels)),
    )
    return {table.name: table.to_frame() for table in made}


def store(one_seed: Callable[[int], dict[str, pd.DataFrame]], seeds: int) -> None:
    """Run all seeds and store the standard deviation of every entry.

    Args:
        one_seed: seed -> the tables by name.
        seeds: how many, from 0.
    """
    settings.seed_everything()
    runs = [one_seed(seed) for seed in track(range(seeds), "seeds")]
    for name in runs[0]:
        spread = pd.concat([run[name] for run in runs]).groupby(level=0, sort=False).std()
        meta = {"data": mnist().name, "seeds": seeds, "quantity": "standard deviation over seeds"}
        print(results.record(Table.from_frame(f"spread_{name}", spread, meta)))


if __name__ == "__main__":
    store(one_seed, SEEDS)
