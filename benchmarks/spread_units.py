"""Measure how much the tables and claims of the chapter on units hang on luck, in the quick profile.

Luck has two sources: the seed of a network, and the arithmetic of the computer, since another order of summing ends in
other weights. So networks of several seeds are trained, each of them under several arithmetics, one process for each of
these. Populations of the size that the chapter uses are then drawn from all networks, again and again. Two things come
of it:

* results/quick/spread_units_purity.json and its like, on which the tolerances of the chapter rest: the standard
  deviation of the difference between the tables of two populations;
* for each claim, what it comes to under each arithmetic, and the share of all populations that decide it as most do.
  A claim below one hangs on luck: give it another threshold, or more networks.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from intriguing.book import results, settings
from intriguing.book.results import Table
from intriguing.chapters.units import study
from intriguing.data import mnist

SEEDS = 16  # under the first arithmetic; under each other one as many as the chapter has networks
POPULATIONS = 400
ARITHMETICS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "torch without vectors": {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"},
    "torch AVX2": {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2"},
    "oneDNN SSE4.1": {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN AVX2": {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "MKL SSE4.2": {"OMP_NUM_THREADS": "1", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "all three": {
        "OMP_NUM_THREADS": "2",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}  # fmt: skip

Numbers = dict[str, pd.DataFrame]


def measure(seeds: int, file: Path) -> None:
    """Train networks under the arithmetic of this process and keep their numbers."""
    settings.seed_everything()
    digits, sizes = mnist(), study.SIZES[settings.profile().name]
    file.write_bytes(pickle.dumps([study.network(digits, sizes, seed).numbers for seed in range(seeds)]))


def under(name: str, seeds: int, folder: Path) -> list[Numbers]:
    """The numbers of networks under one arithmetic, from a process and a cache of its own."""
    file = folder / f"{name}.pickle"
    if not file.exists():
        environment = os.environ | ARITHMETICS[name] | {"INTRIGUING_CACHE": str(folder / name)}
        command = [sys.executable, __file__, "--measure", str(seeds), "--file", str(file)]
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    return pickle.loads(file.read_bytes())


def population(networks: list[Numbers]) -> study.Population:
    """Networks as the chapter takes them; nothing here needs a picture of the first one."""
    return study.Population(None, study.together(networks), mnist().name)


def tables(found: study.Population) -> dict[str, pd.DataFrame]:
    """The tables that the chapter checks."""
    made = (
        study.purity_table(found),
        study.measures_table(found),
        study.matched_table(found),
        study.ablation_table(found),
    )
    return {table.name: table.to_frame() for table in made}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", type=int, metavar="SEEDS", help="only train so many networks, into --file")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--folder", type=Path, help="keep what was measured here, and go on from it")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.file)
        return
    networks = study.SIZES["quick"].networks
    chance = study.random_purity(mnist().test.labels)
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for place, name in enumerate(ARITHMETICS):
            made[name] = under(name, networks if place else max(SEEDS, networks), options.folder or Path(folder))
            print(f"{name}: {len(made[name])} networks", flush=True)
    whole = {name: population(some[:networks]) for name, some in made.items()}
    pool = [one for some in made.values() for one in some]
    draw = np.random.default_rng(settings.SEED)
    drawn = [population([pool[i] for i in draw.integers(len(pool), size=networks)]) for _ in range(POPULATIONS)]

    spreads = {}
    for name in tables(whole["one thread"]):
        frames = pd.concat([tables(found)[name] for found in drawn]).groupby(level=0, sort=False)
        spreads[name] = 2**0.5 * frames.std()
        meta = {
            "data": mnist().name,
            "quantity": f"standard deviation of the difference between two populations of {networks} networks",
            "seeds": SEEDS,
            "arithmetics": len(made),
        }
        print(results.record(Table.from_frame(f"spread_{name}", spreads[name], meta)))
        first = tables(whole["one thread"])[name]
        for other in list(whole)[1:]:
            gap = (tables(whole[other])[name] - first).abs()
            print(f"  {other}: at most {(gap / spreads[name].clip(lower=0.005)).max().max():.1f} spreads from here")

    verdicts = pd.DataFrame({name: study.claims(found, chance) for name, found in whole.items()})
    several = pd.DataFrame([study.claims(found, chance) for found in drawn]).map(str)
    for claim in verdicts.index:
        said, share = several[claim].mode()[0], several[claim].value_counts(normalize=True).max()
        under_each = " ".join(str(holds)[0] for holds in verdicts.loc[claim])
        print(f"{said:5} in {share:6.1%}; under each arithmetic {under_each}: {claim}")


if __name__ == "__main__":
    main()
