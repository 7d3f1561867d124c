"""A sweep whose tables are known in advance, for tests of what is read off them."""

import math

import torch

from intriguing.book import paper
from intriguing.chapters.protocol import misfit


class Known:
    """A sweep whose tables are the printed ones, moved by an amount that the protocol decides."""

    class digits:
        name = "made up"

    def __init__(self, shift):
        self.shift = shift

    def tables(self, protocol):
        made = {}
        for name in misfit.TABLES:
            rows = [[math.nan if v is None else v for v in row] for row in paper.TABLES[name].rows.values()]
            made[name] = torch.tensor(rows, dtype=torch.float64)
        units = misfit.findings()["unit"]
        for (table, row, column), unit in units.items():
            place = list(paper.TABLES[table].rows).index(row), paper.TABLES[table].columns.index(column)
            made[table][place] += self.shift(protocol) * unit
        return made
