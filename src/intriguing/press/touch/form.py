"""The form of a figure that a reader touches: a chooser, a sentence that answers, and small pictures beside it.

All that a figure can show stands in the page, as a list of states; ``touch.js`` shows the one that is chosen. Before
the script runs, and where none does, the page shows the state to begin with. Pictures lie in one sheet for a figure.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

SIDE = 28
"""Pixels along the edge of a tile."""

COLUMNS = 16
"""Tiles in a row of a sheet."""

BRIGHTER, DARKER = (213, 94, 0), (0, 114, 178)
"""Colours of pixels that a step makes brighter and darker: vermilion and blue of the book's palette."""


@dataclass(frozen=True)
class State:
    """What a figure shows for one choice.

    Attributes:
        say: The sentence that answers; it is announced to readers who listen.
        tiles: Numbers of the tiles in the sheet, as many in every state.
        captions: What stands below the tiles, as many.
        place: Where the upright line of a curve stands, from 0 to 1; None where there is no curve.
    """

    say: str
    tiles: tuple[int, ...] = ()
    captions: tuple[str, ...] = ()
    place: float | None = None


def grey(image: np.ndarray) -> np.ndarray:
    """Returns an image as a tile.

    Args:
        image: 784 numbers in [0, 1], in any shape; 0 is black.

    Returns:
        (28, 28, 4) uint8, opaque.
    """
    shade = np.rint(255 * np.asarray(image, dtype=float).reshape(SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    return np.dstack([shade, shade, shade, np.full_like(shade, 255)])


def signed(step: np.ndarray) -> np.ndarray:
    """Returns a step as a tile: vermilion where it brightens, blue where it darkens, clear where it does nothing.

    Args:
        step: 784 numbers in any shape; the one largest in size gets the full colour.
    """
    step = np.asarray(step, dtype=float).reshape(SIDE, SIDE)
    strength = np.abs(step) / (np.abs(step).max() or 1)
    colour = np.where((step > 0)[..., None], np.uint8(BRIGHTER), np.uint8(DARKER))
    return np.dstack([colour, np.rint(255 * strength).astype(np.uint8)])


def sheet(tiles: Sequence[np.ndarray]) -> str:
    """Returns all tiles in one PNG, row by row, as base64.

    Args:
        tiles: each (28, 28, 4) uint8.
    """
    rows = -(-len(tiles) // COLUMNS)
    whole = np.zeros((rows * SIDE, COLUMNS * SIDE, 4), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // COLUMNS * SIDE, number % COLUMNS * SIDE
        whole[top : top + SIDE, left : left + SIDE] = tile
    file = io.BytesIO()
    Image.fromarray(whole).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def figure(
    name: str, title: str, chooser: str, states: Sequence[State], *, start: int = 0, pictures: str = "", note: str = ""
) -> str:
    """Returns a figure as HTML.

    Args:
        name: Of the figure, in letters; it makes its place on the page.
        title: What the reader can do, in a few words.
        chooser: HTML of what is chosen with: :func:`slider`, or buttons with ``data-state``.
        states: All that the figure can show.
        start: The state to begin with.
        pictures: The sheet of the tiles, as :func:`sheet` returns it; empty where there are none.
        note: What it shows and from where, plain text below it.

    Raises:
        ValueError: The states are none or not of one kind, or the start is none of them.
    """
    if not 0 <= start < len(states) or len({(len(state.tiles), len(state.captions)) for state in states}) > 1:
        raise ValueError(
            f"got {len(states)} states and start {start}; expected one state or more, all with as many tiles and as "
            "many captions, and the number of one of them."
        )
    first = states[start]
    kept = json.dumps([asdict(state) for state in states], ensure_ascii=False, separators=(",", ":"))
    kept = kept.replace("</", "<\\/")  # what would end the script cannot stand inside it
    style = f"<style>#touch-{name} .touch-tile{{background-image:url(data:image/png;base64,{pictures})}}</style>"
    return (
        f'<figure class="touch" id="touch-{name}">{style if pictures else ""}'
        f'<p class="touch-title">{title}</p>{chooser}'
        f'<p class="touch-say" role="status">{html.escape(first.say)}</p>{_tiles(first)}'
        f"<figcaption>{html.escape(note)}</figcaption>"
        f'<script type="application/json">{kept}</script></figure>'
    )


def slider(label: str, states: Sequence[State], start: int = 0) -> str:
    """Returns a slider with one position for each state.

    Args:
        label: What it moves.
        states: As for :func:`figure`.
        start: As for :func:`figure`.
    """
    return (
        f'<label class="touch-slider"><span>{html.escape(label)}</span><input type="range" min="0" '
        f'max="{len(states) - 1}" step="1" value="{start}" autocomplete="off" '
        f'aria-valuetext="{html.escape(states[start].say)}"></label>'
    )


def key(colours: Mapping[str, str]) -> str:
    """Returns what colours mean, for those who see them; the sentence of a state says it to all.

    Args:
        colours: Name of a colour in the style sheet, ``touch-`` left out -> its meaning.
    """
    entries = "".join(f'<span class="touch-{name}">{html.escape(text)}</span>' for name, text in colours.items())
    return f'<p class="touch-key" aria-hidden="true">{entries}</p>'


def curves(lines: Mapping[str, Sequence[float]], start: float) -> str:
    """Returns curves over the positions of a slider, each in a box of its own, with a line where the slider stands.

    Args:
        lines: What a curve is -> its values at evenly spaced positions, at least two.
        start: Where the upright line stands, from 0 to 1.
    """
    drawn = []
    for label, values in lines.items():
        low, high = min(*values, 0.0), max(values)
        heights = [100 * (high - value) / ((high - low) or 1) for value in values]
        points = " ".join(f"{100 * i / (len(values) - 1):.2f},{y:.2f}" for i, y in enumerate(heights))
        nought = 100 * high / ((high - low) or 1)
        drawn.append(
            f'<div class="touch-curve"><span>{html.escape(label)}</span><div><svg viewBox="0 0 100 100" '
            f'preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="100" y1="{nought:.2f}" y2="{nought:.2f}"/>'
            f'<polyline points="{points}"/></svg><i class="touch-line" style="--place:{start:.4f}"></i></div></div>'
        )
    return f'<div class="touch-curves">{"".join(drawn)}</div>'


def _tiles(state: State) -> str:
    if not state.tiles:
        return ""
    tiles = "".join(
        f'<div><i class="touch-tile" role="img" aria-label="{html.escape(caption)}" '
        f'style="--column:{tile % COLUMNS};--row:{tile // COLUMNS}"></i><span>{html.escape(caption)}</span></div>'
        for tile, caption in zip(state.tiles, state.captions, strict=True)
    )
    return f'<div class="touch-tiles">{tiles}</div>'
