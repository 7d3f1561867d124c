"""The paper's numbers against a second transcription, made from the printed tables in percent."""

import math
from decimal import Decimal

import pandas as pd
import pytest

from intriguing.book import paper

# As printed: per cent, except for the distortions. Columns are separated by blanks, rows by lines.
TABLE1 = """
6.7%  7.4%  0.062
10%   9.4%  0.1
21.2% 20%   0.14
0%    1.64% 0.058
0%    1.54% 0.065
0.57% 1.9%  0.086
"""
TABLE2 = """
100%  11.7% 22.7% 2%    3.9%  2.7%  0.062
87.1% 100%  35.2% 35.9% 27.3% 9.8%  0.1
71.9% 76.2% 100%  48.1% 47%   34.4% 0.14
28.9% 13.7% 21.1% 100%  6.6%  2%    0.058
38.2% 14%   23.8% 20.3% 100%  2.7%  0.065
23.4% 16%   24.8% 9.4%  6.6%  100%  0.086
5.0%  10.1% 18.3% 0%    0%    0.8%  0.1
15.6% 11.3% 22.7% 5%    4.3%  3.1%  0.3
"""
TABLE3 = """
0%   2.4% 2%   0.062
0%   2.5% 2.1% 0.059
2.3% 0%   2.1% 0.058
"""
TABLE4 = """
100%  26.2% 5.9% 0.062
6.25% 100%  5.1% 0.059
8.2%  8.2%  100% 0.058
2.2%  2.6%  2.4% 0.06
100%  98%   43%  0.1
96%   100%  22%  0.1
27%   50%   100% 0.1
2.6%  2.8%  2.7% 0.1
"""
TABLE5 = """
3    11  96   4   2.75
96   5   256  1   10
256  3   384  1   7
384  3   384  1   7.5
384  3   256  1   11
9216 N/A 4096 N/A 3.12
4096 N/A 4096 N/A 4
4096 N/A 1000 N/A 4
"""
# The lambdas in the description of each model in Table 1, as powers of ten.
DECAYS = """
FC10(1e-4)   -4
FC10(1e-2)   -2
FC10(1)      0
FC100-100-10 -5 -5 -6
FC200-200-10 -5 -5 -6
AE400-10     -6
"""
PRINTED = {"table1": TABLE1, "table2": TABLE2, "table3": TABLE3, "table4": TABLE4, "table5": TABLE5}
TABLES = list(paper.TABLES.values())


def parsed(text):
    """Reads a transcription, turning per cent into fractions and N/A into None."""

    def number(word):
        if word == "N/A":
            return None
        return float(Decimal(word[:-1]) / 100 if word.endswith("%") else Decimal(word))

    return [tuple(number(word) for word in line.split()) for line in text.strip().splitlines()]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_entry_is_the_printed_one(table):
    printed = parsed(PRINTED[table.name])
    assert len(printed) == len(table.rows)
    for row, expected in zip(table.rows.values(), printed, strict=True):
        assert row == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_complete_and_cannot_be_changed(table):
    assert all(len(row) == len(table.columns) for row in table.rows.values())
    with pytest.raises(TypeError):
        table.rows["new"] = ()
    frame = table.to_frame()
    assert list(frame.columns) == list(table.columns) and list(frame.index) == list(table.rows)
    for row in table.rows:
        for column in table.columns:
            value = table.value(row, column)
            assert frame.loc[row, column] == value or (value is None and pd.isna(frame.loc[row, column]))


@pytest.mark.parametrize("text", [TABLE1, TABLE2, TABLE3, TABLE4])
def test_a_rate_is_written_with_the_printed_digits(text):
    rates = [word for word in text.split() if word.endswith("%")]
    assert [paper.percent(float(word[:-1]) / 100) for word in rates] == [word.replace(".0%", "%") for word in rates]


@pytest.mark.parametrize("table", TABLES[:4], ids=lambda table: table.name)
def test_rates_are_fractions(table):
    assert all(0 <= value <= 1 for row in table.rows.values() for value in row)


@pytest.mark.parametrize("table", [paper.TABLE2, paper.TABLE4], ids=lambda table: table.name)
def test_a_model_always_fails_on_its_own_examples_and_nowhere_else_is_the_error_whole(table):
    for row in table.rows:
        own = row.removesuffix(" amplified to 0.1")
        if own in table.columns:
            assert table.value(row, own) == 1.0
        else:
            assert row.startswith("Gaussian noise")
    unamplified = [row for row in table.rows if "amplified" not in row]
    assert sum(table.value(row, column) == 1 for row in unamplified for column in table.columns) == len(
        [row for row in unamplified if row in table.columns]
    )


def test_the_names_are_the_ones_used_everywhere():
    assert tuple(paper.TABLE1.rows) == paper.MODELS == tuple(paper.WEIGHT_DECAY)
    assert tuple(paper.TABLE2.rows) == (*paper.MODELS, "Gaussian noise 0.1", "Gaussian noise 0.3")
    assert paper.TABLE2.columns == (*paper.MODELS, "distortion")
    assert tuple(paper.TABLE3.rows) == paper.HALF_MODELS == paper.TABLE4.columns[:3]
    assert list(paper.TABLES) == [table.name for table in TABLES] == sorted(PRINTED)


def test_tables_repeat_each_other_s_distortions():
    for model in paper.MODELS:
        assert paper.TABLE1.value(model, "distortion") == paper.TABLE2.value(model, "distortion")
    for model in paper.HALF_MODELS:
        assert paper.TABLE3.value(model, "distortion") == paper.TABLE4.value(model, "distortion")
    for table in (paper.TABLE2, paper.TABLE4):
        for row in table.rows:
            if "0." in row:
                assert table.value(row, "distortion") == float(row.split()[-1])


def test_a_network_has_one_decay_per_layer_and_it_is_the_printed_one():
    layers = {"FC10": 1, "FC100-100-10": 3, "FC200-200-10": 3, "AE400-10": 1}
    printed = {model: powers for model, *powers in map(str.split, DECAYS.strip().splitlines())}
    for model, decay in paper.WEIGHT_DECAY.items():
        assert decay == tuple(float(f"1e{power}") for power in printed[model])
        assert len(decay) == layers[model.split("(")[0]]
        if "(" in model:
            assert decay == (float(model.split("(")[1].rstrip(")")),)


def test_the_product_of_table_5_is_the_known_one():
    assert math.isclose(paper.TABLE5_PRODUCT, 792_792)
    assert math.isclose(paper.TABLE5_PRODUCT, 793_000, rel_tol=5e-4)


def test_the_numbers_of_the_text():
    printed = {
        "pixels": 784,
        "training images": 60000,
        "part images": 30000,
        "autoencoder units": 400,
        "figure 5 distortion": 0.006508,
        "figure 5 examples": 64,
        "figure 5 magnification": 10,
        "figure 5 shift": 128,
        "figure 7 linear": 0.06,
        "figure 7 sigmoid": 0.063,
        "figure 7 noise": 1,
        "figure 7 noise accuracy": 51 / 100,
        "figure 7 adversarial accuracy": 0,
        "back-feeding error": 1.2 / 100,
        "weight decay error": 1.6 / 100,
        "dropout error": 1.3 / 100,
        "amplified distortion": 0.1,
        "amplification": 40 / 100,
        "normalisation exponent, lowest": 0.5,
        "normalisation exponent, highest": 1,
    }
    assert {name: number.value for name, number in paper.NUMBERS.items()} == pytest.approx(printed)
    assert all(number.meaning and "page" in number.where for number in paper.NUMBERS.values())
    assert math.sqrt(paper.NUMBERS["pixels"].value) == 28


def test_an_unknown_entry_is_named():
    with pytest.raises(KeyError, match="table1 has no entry .'FC10', 'distortion'.; its rows are"):
        paper.TABLE1.value("FC10", "distortion")
    with pytest.raises(KeyError, match="its columns"):
        paper.TABLE1.value("FC10(1)", "error")
