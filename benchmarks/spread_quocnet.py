"""Measure how much the tables and claims of the chapter on QuocNet hang on luck, in the quick profile.

Networks of several seeds are trained on the same pictures, and those of the first seed once more in another arithmetic.
results/quick/spread_quocnet_*.json hold the standard deviation of each entry over seeds, on which the tolerances of the
chapter rest. What the other arithmetic changes is printed beside it, and what each claim comes to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

from intriguing.book import results, settings
from intriguing.book.results import Table
from intriguing.chapters.quocnet import study

SEEDS = 8
OTHER = {"ATEN_CPU_CAPABILITY": "default"}


def measure(seed: int) -> dict[str, dict]:
    """The tables of one seed by name, and its claims."""
    settings.seed_everything()
    sizes, cars = study.SIZES["quick"], study.at_hand()
    networks = study.networks(cars, sizes, seed=seed)
    heads, units = study.fit_heads(networks, cars), study.all_units(networks, cars)
    unmade = study.unmake_all(heads, cars, sizes.cars)
    made = study.all_tables(heads, units, unmade, cars, sizes)
    claims = study.decide(heads, cars, units, unmade, made)
    found = {table.name: {"columns": table.columns, "rows": table.rows, "meta": table.meta} for table in made.values()}
    return found | {"claims": {one.id: one.verdict for one in claims}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", type=int, metavar="SEED", help="only print the tables of one seed, as JSON")
    options = parser.parse_args()
    if options.measure is not None:
        with tempfile.TemporaryDirectory() as folder:  # what was kept was made in another arithmetic
            os.environ["INTRIGUING_CACHE"] = folder
            print(json.dumps(measure(options.measure)))
        return
    made = [measure(seed) for seed in range(SEEDS)]
    command = [sys.executable, __file__, "--measure", "0"]
    done = subprocess.run(
        command, env=os.environ | OTHER, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    other = json.loads(done.stdout)
    for name in [name for name in other if name != "claims"]:
        frames = [Table(name, **one[name]).to_frame() for one in made]
        spread = pd.DataFrame(np.std(frames, axis=0, ddof=1), index=frames[0].index, columns=frames[0].columns)
        quantity = "standard deviation of each entry over seeds"
        meta = {"data": made[0][name]["meta"]["data"], "quantity": quantity, "seeds": SEEDS}
        print(results.record(Table.from_frame(f"spread_{name}", spread, meta)))
        gap = (Table(name, **other[name]).to_frame() - frames[0]).abs()
        print(f"  the other arithmetic moves an entry by {float(gap.max(axis=None)):.4f} at most:")
        print(gap.max().to_frame("other arithmetic").assign(spread=spread.max()).round(4).to_string())
    for claim in other["claims"]:
        print(claim, *[one["claims"][claim] for one in [*made, other]], sep="; ")


if __name__ == "__main__":
    main()
