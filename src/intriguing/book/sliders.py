"""Pictures that a reader moves through: on a printed page without a kernel, and in a notebook with one.

Two kinds. Beside this module only ``uploads``, the form of the chapter on photographs, imports ipywidgets.

* :func:`pages` lays out pictures that were drawn beforehand, one for each position of one or several sliders. The
  output is plain HTML: the browser's own slider, the pictures, and a few lines of script inside the output itself. It
  needs no kernel, no widget library and no request, and so moves on the published page, in JupyterLab and in a file
  that was saved from either. Arrow keys move it, and a screen reader says where it stands.
* :func:`explore` asks the kernel for a new picture whenever a choice changes. Where there is no kernel the first
  picture is shown in its place.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import ipywidgets
from PIL import Image

DPI = 120
"""Pixels per inch of a picture behind a slider: sharp on a page, small in a file."""

COLOURS = 160
"""Colours that such a picture is reduced to."""

# The sliders are the digits of a number, the first the most significant one, and that number is the page to show.
_MOVE = (
    "const all=this.closest('.pages'),inputs=[...all.querySelectorAll('input')];"
    "const chosen=inputs.reduce((n,i)=>n*(Number(i.max)+1)+Number(i.value),0);"
    "[...all.querySelector('.pages-stack').children].forEach((page,n)=>{page.hidden=n!==chosen});"
    "const word=JSON.parse(this.dataset.values)[this.value];"
    "this.setAttribute('aria-valuetext',word);"
    "this.nextElementSibling.textContent=word"
)


class _Drawn(Protocol):
    def savefig(self, file: Any, **settings: Any) -> None: ...


class Pages:
    """Pictures behind sliders, as a notebook shows them.

    Attributes:
        html: The output: sliders, pictures with their descriptions, and the script that swaps them.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "Pages"


def pages(
    pictures: Sequence[_Drawn | bytes],
    choices: Mapping[str, Sequence[object]],
    descriptions: Sequence[str],
    *,
    captions: Sequence[str] | None = None,
    start: Mapping[str, int] | None = None,
    dpi: int = DPI,
    colours: int = COLOURS,
) -> Pages:
    """Pictures drawn beforehand, one for each position of the sliders.

    Args:
        pictures: matplotlib figures, or the bytes of PNG files; in the order of ``itertools.product`` over the choices,
            so that the last slider runs fastest. All should be of one size, so that nothing jumps.
        choices: Label of a slider -> what its positions are called, at least two each.
        descriptions: What is to be seen on each picture, for readers who do not see it.
        captions: A line of text below each picture, for instance the numbers that belong to it; None for none.
        start: Label -> the position to begin with, from 0; the middle one where it is left out.
        dpi: Pixels per inch at which figures are drawn.
        colours: To how many colours a picture is reduced, 2 to 256, which makes the page several times lighter.

    Returns:
        The output, which is the same for the same pictures: it holds no name that is drawn anew in each run.

    Raises:
        ValueError: The numbers of pictures, positions, descriptions and captions do not fit, a description is empty, or
            a start lies outside its slider.
    """
    count = _count(choices)
    captions = [""] * count if captions is None else captions
    if not (len(pictures) == len(descriptions) == len(captions) == count):
        raise ValueError(
            f"got {len(pictures)} pictures, {len(descriptions)} descriptions and {len(captions)} captions for {count} "
            "positions of the sliders; expected one of each for every position."
        )
    if not all(str(text).strip() for text in descriptions):
        raise ValueError("got an empty description; say what is to be seen on each picture.")
    places = _starts(choices, start or {})
    shown = 0
    for place, values in zip(places, choices.values(), strict=True):
        shown = shown * len(values) + place
    stack = "".join(
        f"<div{'' if n == shown else ' hidden'}>{_picture(small_png(picture, dpi, colours), alt)}"
        + (f"<p>{html.escape(caption)}</p>" if caption else "")
        + "</div>"
        for n, (picture, alt, caption) in enumerate(zip(pictures, descriptions, captions, strict=True))
    )
    inputs = "".join(
        _slider(label, list(map(str, values)), place)
        for (label, values), place in zip(choices.items(), places, strict=True)
    )
    # The text of a page is announced when it changes; the picture's description is read on demand.
    return Pages(f'<div class="pages">{inputs}<div class="pages-stack" aria-live="polite">{stack}</div></div>')


def positions(choices: Mapping[str, Sequence[object]]) -> Iterator[tuple[object, ...]]:
    """Yields the positions of the sliders in the order in which :func:`pages` expects its pictures.

    Args:
        choices: As for :func:`pages`.
    """
    return itertools.product(*choices.values())


def small_png(picture: _Drawn | bytes, dpi: int = DPI, colours: int = COLOURS) -> bytes:
    """Returns a picture as a PNG with a palette, the same bytes in each run.

    Args:
        picture: A matplotlib figure, or the bytes of a PNG.
        dpi: Pixels per inch at which a figure is drawn; its size stays what it was made with, so that pictures of one
            size line up.
        colours: Size of the palette, 2 to 256.
    """
    if not isinstance(picture, bytes):
        file = io.BytesIO()
        picture.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
        picture = file.getvalue()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    reduced = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    reduced.save(file, format="png", optimize=True)
    return file.getvalue()


class Explorer:
    """Controls and the picture that the kernel draws for them; without a kernel, the first picture.

    Attributes:
        controls: The widgets by the name of the choice.
        picture: The widget that shows the picture.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[_Drawn, str]],
        choices: Mapping[str, Sequence[object]],
        places: Sequence[int],
    ) -> None:
        self._draw = draw
        self._names = {label: label.replace(" ", "_") for label in choices}
        self.controls = {
            label: ipywidgets.SelectionSlider(
                options=[(str(value), value) for value in values],
                index=place,
                description=label,
                continuous_update=False,
                style={"description_width": "9em"},
                layout={"width": "32em"},
            )
            for (label, values), place in zip(choices.items(), places, strict=True)
        }
        self.picture = ipywidgets.HTML()
        self._box = ipywidgets.VBox([*self.controls.values(), self.picture])
        for control in self.controls.values():
            control.observe(self._update, "value")
        self._update()

    def _update(self, _: object = None) -> None:
        chosen = {self._names[label]: control.value for label, control in self.controls.items()}
        figure, text = self._draw(**chosen)
        self.picture.value = _picture(small_png(figure), text) + f"<p>{html.escape(text)}</p>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        # A reader without a kernel gets the second entry. Shown to one with a kernel, the widget goes first.
        still = (
            '<div class="pages">' + self.picture.value + "<p>Run this page as a notebook to choose "
            f"{html.escape(', '.join(self.controls))}.</p></div>"
        )
        return self._box._repr_mimebundle_() | {"text/html": still, "text/plain": "Explorer"}


def explore(
    draw: Callable[..., tuple[_Drawn, str]],
    choices: Mapping[str, Sequence[object]],
    *,
    start: Mapping[str, int] | None = None,
) -> Explorer:
    """Controls whose every change asks the kernel for a new picture.

    Args:
        draw: Called with one keyword for each choice, its label with underscores for blanks; returns a matplotlib
            figure and a sentence that says what is to be seen, numbers included. It should take less than a second.
        choices: Label of a control -> its values.
        start: As for :func:`pages`.

    Returns:
        What a notebook shows: live with a kernel, the first picture without.

    Raises:
        ValueError: A choice has no values, or a start lies outside of them.
    """
    for label, values in choices.items():
        if not len(values):
            raise ValueError(f"choice {label!r} has no values; expected at least one.")
    return Explorer(draw, choices, _starts(choices, start or {}))


def _count(choices: Mapping[str, Sequence[object]]) -> int:
    if not choices or any(len(values) < 2 for values in choices.values()):
        raise ValueError(f"got sliders with {[len(v) for v in choices.values()]} positions; expected two or more each.")
    count = 1
    for values in choices.values():
        count *= len(values)
    return count


def _starts(choices: Mapping[str, Sequence[object]], start: Mapping[str, int]) -> list[int]:
    places = [start.get(label, len(values) // 2) for label, values in choices.items()]
    for place, (label, values) in zip(places, choices.items(), strict=True):
        if not 0 <= place < len(values):
            raise ValueError(f"slider {label!r} starts at {place}; expected 0 to {len(values) - 1}.")
    if set(start) - set(choices):
        raise ValueError(f"start names {sorted(set(start) - set(choices))}; expected sliders among {list(choices)}.")
    return places


def _slider(label: str, values: list[str], place: int) -> str:
    words = html.escape(json.dumps(values, ensure_ascii=False), quote=True)
    # autocomplete: a browser that keeps the slider over a reload would show it beside the wrong picture.
    return (
        f'<label class="pages-slider"><span>{html.escape(label)}</span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{place}" autocomplete="off" '
        f'aria-valuetext="{html.escape(values[place], quote=True)}" data-values="{words}" oninput="{_MOVE}">'
        f'<b aria-hidden="true">{html.escape(values[place])}</b></label>'
    )


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
