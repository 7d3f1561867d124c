"""How the tables of the chapter on density move from seed to seed in the quick profile: what their tolerances rest on.

Run it from the root of the checkout with ``python benchmarks/spread_density.py``; it writes
``results/quick/spread_density_*.json``.
"""

from __future__ import annotations

import pandas as pd

from intriguing import density, results, scale
from intriguing.data import mnist
from intriguing.models import TABLE1_MODELS
from intriguing.results import Table
from intriguing.training import trained

SEEDS = 3


def one_seed(seed: int) -> dict[str, pd.DataFrame]:
    """The four tables with networks from one seed, on the images of the quick profile."""
    profile, digits = scale.profile("quick"), mnist(scale.profile("quick"))
    names = (*TABLE1_MODELS, "ConvNet")
    models = {name: trained(name, digits.train, seed=seed).model for name in names}
    images = density.sample(digits.test, profile.density_images)
    found = density.study(models, images, samples=0, draws=density.DRAWS["quick"])
    made = (
        density.near_table(found.around, images.name),
        density.lines_table(found.around, found.inside, images.name),
        density.dimensions_table(found.around, found.inside, images.name),
        density.rates_table(found.rates, images.name),
    )
    return {table.name: table.to_frame() for table in made}


def main() -> None:
    """Run all seeds and store the standard deviation of every entry."""
    scale.seed_everything()
    runs = [one_seed(seed) for seed in range(SEEDS)]
    for name in runs[0]:
        spread = pd.concat([run[name] for run in runs]).groupby(level=0, sort=False).std()
        meta = {"data": mnist().name, "seeds": SEEDS, "quantity": "standard deviation over seeds"}
        print(results.record(Table.from_frame(f"spread_{name}", spread, meta)))


if __name__ == "__main__":
    main()
