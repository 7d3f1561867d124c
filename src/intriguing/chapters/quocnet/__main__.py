"""Learn the filters of the chapter ahead of its page: ``torchrun --nproc-per-node 2 -m intriguing.chapters.quocnet``.

The processes share every batch. What they learn is kept where the page looks for it. Without ``torchrun`` one process
does all.
"""

from __future__ import annotations

import sys

import torch
from torch import distributed

from intriguing.book import cache, settings
from intriguing.chapters.quocnet import study
from intriguing.data import DataError, cifar
from intriguing.models import quocnet


class _Missing(Exception):
    """Nothing usable is kept."""


def _kept(key: dict) -> bool:
    """Whether usable filters are kept under a key."""

    def make() -> dict[str, torch.Tensor]:
        raise _Missing

    try:
        cache.load_or_make(study.KEPT, key, make)
    except _Missing:
        return False
    return True


def main() -> int:
    """Returns 0 when the filters are kept, 1 where that was impossible."""
    settings.seed_everything()
    sizes = study.SIZES[settings.profile().name]
    try:
        cars = study.at_hand()
        if cars is None:
            print(cifar.absence(), file=sys.stderr)
            return 1
        with quocnet.workers() as (rank, size):
            key = study.unlabelled_key(cars.unlabelled, sizes, settings.SEED)
            there = torch.tensor(float(rank == 0 and _kept(key)), device=settings.device())
            if size > 1:
                distributed.broadcast(there, 0)  # all learn or none does
            if rank == 0:
                study.without_labels(cars.unlabelled, sizes)
                print(f"The filters are kept; {size} processes shared each batch.")
            elif not bool(there):
                images = cars.unlabelled.to(settings.device())
                quocnet.learn(images, study.STAGES, study.schedules(sizes), folder=study.unfinished(key))
    except (ValueError, OSError, DataError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
