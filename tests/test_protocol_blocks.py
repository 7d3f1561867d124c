"""Blocks of training images under noise: the printed counts, blocks that show them, and what chance would do."""

import numpy as np
import pytest

from intriguing.chapters.protocol import blocks


def test_the_printed_rates_are_counts_of_256_images():
    assert blocks.printed().tolist() == [[13, 26, 47], [40, 29, 58]]


def flags(counts, many=6, size=8):
    """Images of which each block misreads so many, for each noise and network, the first of the block."""
    found = np.zeros((2, 3, many * size), dtype=bool)
    for noise in range(2):
        for network in range(3):
            for block in range(many):
                found[noise, network, block * size :][: counts[block][noise][network]] = True
    return found


def test_blocks_that_show_what_is_wanted_are_counted():
    wanted = np.array([[1, 2, 3], [2, 3, 4]])
    counts = [wanted, [[1, 2, 3], [2, 3, 5]], [[1, 2, 4], [2, 3, 4]], [[0, 2, 3], [2, 3, 4]], wanted, [[0, 0, 0]] * 2]
    found = blocks.compared(flags(counts), wanted, size=8, draws=50)
    assert (found["blocks"], found["noise"], found["both"]) == (6, 3, 2)
    assert found["mean"] == pytest.approx(np.mean(counts, 0))


def test_the_last_images_that_make_no_block_are_left_out_of_the_blocks_alone():
    misread = np.zeros((2, 3, 11), dtype=bool)
    misread[:, :, 8:] = True
    found = blocks.compared(misread, np.zeros((2, 3), dtype=int), size=4, draws=10)
    assert (found["blocks"], found["both"]) == (2, 2) and found["mean"] == pytest.approx(np.full((2, 3), 12 / 11))


def test_chance_is_the_binomial_share():
    """Networks and noises that misread the same half of the images: one coin, thrown for each image of a block."""
    misread = np.broadcast_to(np.arange(1000) % 2 == 0, (2, 3, 1000))
    found = blocks.compared(misread, np.full((2, 3), 2), size=4, draws=4000)
    assert found["chance"] == pytest.approx([250 * 6 / 16] * 2, rel=0.1)
    apart = np.random.default_rng(1).random((2, 3, 20_000)) < 0.5
    found = blocks.compared(apart, np.full((2, 3), 2), size=4, draws=4000)
    assert found["chance"][0] == pytest.approx(5000 * (6 / 16) ** 3, rel=0.2) and found["chance"][1] < 50


def test_what_is_said_of_them():
    one = {"mean": [[19.66, 25.9, 54.0], [44.8, 30.2, 57.2]], "blocks": 234, "noise": 1, "both": 0}
    ways = {
        "uncut": one | {"chance": [0.05, 0.0]},
        "cut": one | {"mean": [[24.0] * 3, [115.1] * 3], "chance": [0.0] * 2},
    }
    campaign = {"blocks": {"x0.5, biases decayed": ways}}
    frame = blocks.table(campaign, ["x0.5, biases decayed"])
    assert frame.index.tolist() == ["the paper", "λ × 0.5, biases decayed; uncut", "λ × 0.5, biases decayed; cut"]
    assert frame.iloc[0, :2].tolist() == ["13 · 26 · 47", "40 · 29 · 58"]
    assert frame.iloc[1].tolist() == [
        "19.7 · 25.9 · 54.0",
        "44.8 · 30.2 · 57.2",
        "1 of 234",
        "0.05",
        "0 of 234",
        "0.00",
    ]
    said = blocks.about(campaign)
    assert "**2** blocks of 234" in said and "0 those of both" in said and "0.05 would" in said
    assert "misreads 115.1 of 256 or more, in the mean over all images, where pixels are cut; printed are 40" in said
