"""Measure how the quick tables of the chapter on disjoint training sets move from seed to seed, like ``spread.py``.

Writes results/quick/spread_*.json; the checked cells allow a rerun a multiple of these standard deviations.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from spread import store

from intriguing.attack.perturbations import FORMS, random_targets
from intriguing.book import results, settings
from intriguing.book.halves import networks
from intriguing.book.results import Table
from intriguing.chapters.disjoint_sets import seeds, study
from intriguing.data import mnist
from intriguing.models.recipes import TABLE1_MODELS
from intriguing.models.training import trained

SEEDS = 10


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The checked tables of the chapter that are computed once, from networks with these initial weights."""
    digits, profile = mnist(), settings.profile()
    test = digits.test.take(slice(0, profile.attack_images))
    halves = networks(digits, repetition=seed)
    sets = study.attack_all(halves, test, random_targets(test.labels))
    made = [study.table3(halves, digits, sets), study.noise_of_equal_size(halves, test, sets)]
    made += [study.table4(halves, test, sets, form=form) for form in FORMS]

    few = slice(0, profile.convolutional_images)
    seven = {name: trained(name, digits.train, seed=seed).model for name in (*TABLE1_MODELS, "ConvNet")}
    train, test = digits.train.take(few), digits.test.take(few)
    sets = study.attack_all(seven, train, random_targets(train.labels))
    made += study.convolutional_tables(seven, digits, train, sets)
    five = halves | networks(digits, ("ConvNet", "ConvNet'"), repetition=seed)
    sets = study.attack_all(five, test, random_targets(test.labels))
    made.append(replace(study.table4(five, test, sets), name="table4_convolutional"))
    return {table.name: table.to_frame() for table in made}


def seeds_tables() -> dict[str, pd.DataFrame]:
    """The tables over seeds, whose entries are a mean and a deviation each: how far either may move."""
    profile = settings.profile()
    found = seeds.trained_anew(mnist(), images=profile.seed_images, repetitions=SEEDS, attacked=profile.seed_attacks)
    spread = {f"seeds_{name}": moved.join(moved.add_prefix("± ")) for name, moved in found.deviations.items()}
    kinds = found.same_or_other.to_frame()
    # Pairs share networks, so they count as many as the chapter has repetitions.
    moved = kinds["over pairs"] / profile.table_seeds**0.5
    return spread | {"same_or_other": pd.DataFrame({"error": moved, "over pairs": moved, "pairs": 0.0})}


def main() -> None:
    """Store the standard deviation of every entry, and how far the tables over seeds may move."""
    store(one_seed, SEEDS)
    for name, spread in seeds_tables().items():
        meta = {"data": mnist().name, "seeds": SEEDS, "quantity": "standard deviation over seeds"}
        print(results.record(Table.from_frame(f"spread_{name}", spread, meta)))


if __name__ == "__main__":
    main()
