"""The touchable figures of the book by name, each as HTML: what is computed anew stays in step with the stored runs.

Pictures come from the file that :mod:`intriguing.press.touch.study` writes; the numbers of tables and measurements are
those that are stored now.
"""

from __future__ import annotations

import html
import math
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intriguing.book import results
from intriguing.chapters import minimum
from intriguing.press.touch import form, study
from intriguing.press.touch.form import State

PROFILE = "paper"
"""Whose stored runs the numbers are."""

STRONGEST = 0.45
"""How opaque the strongest colour of a table is: letters on it can still be read, by day and by night."""

STATES = ("held at black", "held at white", "free, black before", "free, grey or white before")
"""What the states of pixels are called, in the order of :func:`intriguing.press.touch.study.states`."""

_SWATCHES = ("black", "white", "orange", "sky")


def path(kept: dict[str, Any]) -> str:
    """Returns the figure of the path in c: a slider along it, two curves, and the box.

    Args:
        kept: What :func:`intriguing.press.touch.study.path` returns.
    """
    target, digit, count = kept["target"], kept["digit"], len(kept["c"])
    start = bisect_left(kept["c"], kept["edge"]) - 1
    states = []
    for i, (c, size, lead, read) in enumerate(
        zip(kept["c"], kept["distortion"], kept["lead"], kept["reads"], strict=True)
    ):
        side = "is ahead" if lead > 0 else "is behind"
        where = (
            "The edge lies just above this c." if i == start else
            "The edge lies just below this c." if i == start + 1 else
            "Distortion is cheap: the minimiser goes further than it has to." if i < start else
            "Distortion is dear: the minimiser stays on this side of the boundary."
        )  # fmt: skip
        shares = "; ".join(f"{name} {share:.0%}" for name, share in zip(STATES, kept["shares"][i], strict=True))
        states.append(
            State(
                f"c = {c:.3g}: distortion {size:.4f}, read as {read}; the target {target} {side} by {abs(lead):.2f}. "
                f"{where}",
                (3 * i, 3 * i + 1, 3 * i + 2),
                (
                    f"The minimiser, read as {read}",
                    "Its perturbation: vermilion is added, blue taken away",
                    f"The box: {shares}. Pixels that were black carry {kept['black'][i]:.0%} of |r|²",
                ),
                i / (count - 1),
            )
        )
    here = start / (count - 1)
    lines = {"distortion": kept["distortion"], f"lead of {target} over its strongest rival": kept["lead"]}
    chooser = form.slider("price of distortion, c", states, start) + form.curves(lines, here)
    return form.figure(
        "path",
        f"Walk along the path in c: a {digit} on its way to a {target}",
        chooser + form.key(dict(zip(_SWATCHES, STATES, strict=True))),
        states,
        start=start,
        pictures=kept["tiles"],
        note=f"A test digit and {study.NETWORK} with its weights rounded to one byte, as in the laboratory. For each c "
        "the minimum is sought from the clean image.",
    )


def radius(kept: dict[str, Any]) -> str:
    """Returns the figure of one radius: what is proved within it, what was found, and what nobody knows.

    Args:
        kept: What :func:`intriguing.press.touch.study.radius` returns.
    """
    digit, nearest = kept["digit"], kept["nearest"]
    ends = kept["global"], kept["local"], kept["found"]
    furthest = kept["radius"][-1]
    states = []
    for i, size in enumerate(kept["radius"]):
        if size <= ends[0]:
            told = f"The global bound proves that every image within this radius is read as {digit}."
        elif size <= ends[1]:
            told = (
                f"The local bound proves that every image within this radius is read as {digit}; the global does not."
            )
        elif size < ends[2]:
            told = "Nobody knows: no proof reaches as far, and the search has found nothing as near."
        else:
            told = f"An image is known within this radius that is read as {nearest}."
        words = f"Distortion {size:.4f}. {told}"
        captions = (
            f"So far towards the nearest {nearest}: read as {kept['along'][i]}",
            f"As far along noise: read as {kept['noise'][i]}",
        )
        states.append(State(words, (2 * i, 2 * i + 1), captions, size / furthest))
    start = kept["radius"].index(kept["found"])
    bands = "".join(
        f'<i class="touch-{kind}" style="--from:{low / furthest:.4f};--to:{high / furthest:.4f}"></i>'
        for kind, low, high in (
            ("proved", 0.0, ends[0]),
            ("proved-here", ends[0], ends[1]),
            ("found", ends[2], furthest),
        )
    )
    line = f'<i class="touch-line" style="--place:{ends[2] / furthest:.4f}"></i>'
    return form.figure(
        "radius",
        f"Let a radius grow around a {digit}",
        form.slider("radius, as distortion", states, start)
        + f'<div class="touch-bands" aria-hidden="true">{bands}{line}</div>'
        + form.key(
            {
                "blue": "proved by the global bound",
                "sky": "proved by the local bound",
                "clear": "nobody knows",
                "vermilion": "an image is known",
            }
        ),
        states,
        start=start,
        pictures=kept["tiles"],
        note=f"A test digit and {study.NETWORK} with its weights rounded to one byte, as in the laboratory. Here the "
        f"proofs exclude every other class, not only the one that comes second; the search asked for each of the nine. "
        f"The global bound reaches to {ends[0]:.4f}, the local one to {ends[1]:.4f}, the nearest image found is at "
        f"{ends[2]:.4f}.",
    )


def travel(kept: dict[str, Any]) -> str:
    """Returns Table 2 with cells that open: five examples made for the one network and read by the other.

    Args:
        kept: What :func:`intriguing.press.touch.study.travel` returns.
    """
    names, tried = kept["networks"], kept["tried"]
    stored, clean = results.load("table2", PROFILE).to_frame(), results.load("table1", PROFILE).to_frame()
    states, rows = [], []
    for maker, line in zip(names, kept["cells"], strict=True):
        cells = []
        for reader, cell in zip(names, line, strict=True):
            error, before = float(stored.at[maker, reader]), float(clean.at[reader, "training error"])
            shown = cell["shown"]
            words = (
                f"Made for {maker}, read by {reader}: {error:.1%} of the training images are misread, {before:.1%} of "
                f"them as they were. Of {tried} test digits {cell['misread']} are misread; five are shown, each beside "
                "the digit it was made from."
            )
            captions = [text for _, _, label, was, now in shown for text in (f"a {label}, read as {was}", f"as {now}")]
            tiles = [tile for clean_tile, twin, *_ in shown for tile in (clean_tile, twin)]
            colour = f"rgba(0,114,178,{STRONGEST * error:.3f})"
            cells.append(
                f'<td style="background:{colour}"><button type="button" data-state="{len(states)}" '
                f'aria-pressed="false" aria-label="made for {html.escape(maker)}, read by {html.escape(reader)}: '
                f'{error:.1%}">'
                f"{100 * error:.1f}</button></td>"
            )
            states.append(State(words, tuple(tiles), tuple(captions)))
        rows.append(f'<tr><th scope="row">{html.escape(maker)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    start = names.index(study.NETWORK) * len(names)
    return form.figure(
        "travel",
        "Open a cell: five examples that were made for one network and are read by another",
        f'<table class="touch-map"><thead><tr><th scope="col">made for ↓, read by → (%)</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>",
        states,
        start=start,
        pictures=kept["tiles"],
        note=f"The numbers are those of Table 2 at paper scale. The pictures are among the first {tried} test digits, "
        "each with one wrong class drawn at random: first those that the reader took rightly before and misreads now, "
        "then others. They show what a cell is made of and are no sample.",
    )


def plane() -> str:
    """Returns cost against distortion, with a name for each point; the numbers are those measured."""
    measured = minimum.measured()
    states, parts = [], []
    for title, frame in minimum.panels(measured).items():
        rows = frame.dropna(subset=["seconds", "ratio"]).sort_values("seconds")
        times = _Axis(rows["seconds"].min() / 1.6, rows["seconds"].max() * 1.6)
        heights = _Axis(minimum.NEAREST / 1.8, 6)
        points = []
        for row in rows.itertuples():
            ours, whole = row.method.startswith("ours"), row.success >= 1
            excess = row.ratio - 1
            above = f"{excess:.3%} above" if excess >= minimum.NEAREST else "no higher than"
            both = f"; succeeds on {row.success:.0%} in both precisions. The mean is over what succeeds in single."
            said = f"{row.method}: {_time(row.seconds)} a picture, {above} the minimum{'.' if whole else both}"
            kind = "ours" if ours else "other" if whole else "failing"
            points.append(
                f'<button type="button" class="touch-{kind}" data-state="{len(states)}" data-hover '
                f'aria-pressed="false" style="--x:{times(row.seconds):.4f};'
                f'--y:{heights(max(excess, minimum.NEAREST)):.4f}" '
                f'aria-label="{html.escape(said)}" title="{html.escape(row.method)}"></button>'
            )
            states.append(State(said))
        across = "".join(
            f'<span class="touch-below" style="--x:{times(t):.4f}">{_time(t)}</span>'
            for t in (10.0**k for k in range(-6, 3))
            if times.low < t < times.high
        )
        levels = [(minimum.NEAREST, "0"), *((10.0**k, f"{100 * 10.0**k:g} %") for k in range(-5, 1))]
        upwards = "".join(
            f'<span class="touch-beside" style="--y:{heights(v):.4f}">{text}</span>' for v, text in levels
        )
        parts.append(
            f'<div class="touch-panel"><p>{html.escape(title)}</p><div class="touch-plane" role="group" '
            f'aria-label="{html.escape(title)}">{upwards}{across}{"".join(points)}</div></div>'
        )
    start = next(i for i, state in enumerate(states) if state.say.startswith("ours"))
    return form.figure(
        "plane",
        "Touch a point, or step through them with the Tab key: who is it, what does it cost, how low does it end?",
        f'<div class="touch-panels">{"".join(parts)}</div>'
        + form.key({"blue": "ours", "clear": "another package", "vermilion": "does not succeed on every image"}),
        states,
        start=start,
        note="Across: seconds per image on one thread. Upwards: mean distortion above the minimum. Both axes are "
        "logarithmic. For a batch of "
        f"{measured.peers['meta']['small']} images, or less where a method takes one at a time.",
    )


class _Axis:
    """A logarithmic axis: value -> place from 0 to 1."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)


def _time(seconds: float) -> str:
    """Seconds in a unit that leaves few digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.999 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


FIGURES: dict[str, Callable[..., str]] = {"path": path, "radius": radius, "travel": travel, "plane": plane}
"""The figures by the name that a page calls them by."""


def figure(name: str, root: Path) -> str:
    """Returns a figure as HTML.

    Args:
        name: One of ``FIGURES``.
        root: Where the file with the pictures lies: the checkout, or a book that was laid out.

    Raises:
        ValueError: There is no such figure.
        OSError: The file of the pictures is missing or cannot be read.
        ResultError: A stored run is missing or cannot be read.
    """
    if name not in FIGURES:
        raise ValueError(f"got {name!r}; expected one of {', '.join(FIGURES)}; correct the name on the page.")
    return plane() if name == "plane" else FIGURES[name](study.read(root)[name])
