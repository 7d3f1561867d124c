"""The form in a running notebook: a photograph, a class and a network in, the changed photograph out."""

from __future__ import annotations

import base64
import html
import tempfile
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from intriguing.chapters.photographs import own
from intriguing.data import DataError

STILL = "Run this page as a notebook to choose a photograph of your own here."


class Upload:
    """A form with a file, a class, a network and a probability. Without a kernel a sentence stands in its place.

    Attributes:
        file: chooses the photograph.
        target: the class, a name or a number.
        network: a name of :data:`intriguing.chapters.photographs.own.NETWORKS`.
        sure: the probability.
        button: begins.
        shown: what came out, as HTML.
    """

    def __init__(self) -> None:
        self.file = widgets.FileUpload(accept=".jpg,.jpeg,.png", description="Photograph")
        self.target = widgets.Text("ostrich", description="Class")
        self.network = widgets.Dropdown(options=list(own.NETWORKS), description="Network")
        self.sure = widgets.FloatSlider(own.SURE, min=0.5, max=0.99, step=0.01, description="Probability")
        self.button = widgets.Button(description="Change it")
        self.shown = widgets.HTML()
        self.button.on_click(lambda _: self.begin())
        rows = [self.file, self.target, self.network, self.sure, self.button, self.shown]
        self._box = widgets.VBox(rows)

    def begin(self) -> None:
        """Changes the photograph that was chosen, and shows it or says why not."""
        if not self.file.value:
            self.shown.value = "<p>Choose a photograph first.</p>"
            return
        self.button.disabled, self.shown.value = True, "<p>Half a minute, please.</p>"
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "photograph"
                path.write_bytes(bytes(self.file.value[0]["content"]))
                found = own.fool(path, self.target.value, network_name=self.network.value, sure=self.sure.value)
            self.shown.value = f"{_picture(found.clean)}{_picture(found.changed)}<p>{html.escape(str(found))}</p>"
        except (ValueError, DataError) as problem:
            self.shown.value = f"<p>{html.escape(str(problem))}</p>"
        finally:
            self.button.disabled = False

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self._box._repr_mimebundle_() | {"text/html": f"<p>{STILL}</p>", "text/plain": STILL}


def _picture(image: Tensor) -> str:
    content = base64.b64encode(own.png(image)).decode()
    return f'<img src="data:image/png;base64,{content}" alt="the photograph" style="margin-right: 6px">'
