"""What can be seen of a figure once it is a picture."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

NEAR = 40  # of 255, in each channel: thin lines are mixed with the ground


def lines_seen(figure: Figure) -> int:
    """How many lines with points can be seen in the picture: each has to leave its colour within its own panel.

    Args:
        figure: One of the book's.
    """
    content = figure.png()
    assert content.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(content)) as picture:
        assert min(picture.size) > 50
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)  # not cropped, so that panels lie where they say
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    seen = 0
    for axes in figure.axes:
        box = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        height = len(pixels)
        rows = slice(max(0, height - int(box.y1 * 100) - 5), height - int(box.y0 * 100) + 5)
        panel = pixels[rows, max(0, int(box.x0 * 100) - 5) : int(box.x1 * 100) + 5].reshape(-1, 3)
        for line in axes.lines:
            away = np.abs(panel - 255 * np.array(to_rgb(line.get_color()))).max(axis=1)
            seen += bool(len(line.get_xdata()) and away.min() < NEAR)
    return seen
