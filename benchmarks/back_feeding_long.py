"""One plan of benchmarks/back_feeding.py trained for long on a CPU, network by network.

``python benchmarks/back_feeding_long.py`` reads results/benchmarks/back_feeding.json. Of the two ReLU plans that were
best on the images held out it takes the one of the larger dose, because long training wants more of it, and then the
best weight decay. It trains them for 200 epochs on all training images and reads the test set once for each network. It
writes results/benchmarks/back_feeding_long.json after every network, so that it may
be stopped at any time; it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "back_feeding_long.json"


def main(arguments: list[str] | None = None) -> int:
    """Trains what is missing and writes the file after every network."""
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from dataclasses import asdict

    from gpu import hardware
    from harness import write_json

    from intriguing.book import results
    from intriguing.chapters.back_feeding import campaign
    from intriguing.data import mnist

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5, help="networks of each plan, the fed ones first")
    parser.add_argument("--profile", choices=("quick", "paper"), default="paper")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    stored = results.measured("back_feeding")
    confirmed, chosen = (
        [row for row in stored[part] if row["activation"] == "ReLU"] for part in ("confirmation", "selection")
    )
    fed = max(campaign.best(confirmed, campaign.FED, 2), key=lambda row: row["plan"]["size"])
    picked = [fed, campaign.best(chosen, ("weight decay",))[0]]
    entries = [campaign.entry_of(row) for row in picked]
    digits = mnist(options.profile)
    train, test = (campaign.Pixels(part.images.flatten(1), part.labels) for part in (digits.train, digits.test))
    content = {"meta": {"hardware": hardware(torch.device("cpu")), "data": digits.name}, "networks": []}
    if options.output.is_file():
        content["networks"] = json.loads(options.output.read_text())["networks"]
    done = {(row["name"], row["seed"], row["epochs"]) for row in content["networks"]}
    for entry in entries:
        for seed in range(options.seeds):
            if (entry.name, seed, options.epochs) in done:
                continue
            started = time.process_time()
            errors = campaign.alone(entry, seed, options.epochs, train, test)
            seconds = {"cpu_seconds": time.process_time() - started}
            row = {"activation": entry.plan.activation, **asdict(entry), "seed": seed, "epochs": options.epochs}
            content["networks"].append(row | errors | seconds)
            write_json(options.output, content)
            print(entry.name, seed, errors, seconds, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
