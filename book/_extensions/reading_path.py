"""How long to read: a list of chapters with minutes, counted from their text while the book is built."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from intriguing.press import publishing

WORDS_A_MINUTE = 200
_FENCED = re.compile(r"^(`{3,}).*?^\1[ \t]*$", re.M | re.S)
_HEAD = re.compile(r"\A---\n.*?^---\n", re.M | re.S)


def minutes(text: str) -> int:
    """Returns how many minutes the prose of a chapter takes, at least 1; code is left out."""
    prose = _FENCED.sub("", _HEAD.sub("", text))
    return max(1, round(len(prose.split()) / WORDS_A_MINUTE))


def lines(root: Path, chosen: list[str]) -> list[str]:
    """Returns the chosen chapters with their minutes, and what they and the whole book take, in Markdown."""
    took = {name: minutes((root / "notebooks" / f"{name}.md").read_text("utf-8")) for name in publishing.names(root)}
    listed = [f"{n}. [](../notebooks/{name}.ipynb), {took[name]} minutes" for n, name in enumerate(chosen, 1)]
    path, whole = sum(took[name] for name in chosen), sum(took.values())
    return [*listed, "", f"Together {path} minutes without the code; all chapters take {whole / 60:.1f} hours."]


class ReadingPath(Directive):
    """``{reading-path}``: names of chapters, one a line."""

    has_content = True

    def run(self) -> list:
        environment = self.state.document.settings.env
        root = Path(environment.srcdir)
        for name in publishing.names(root):
            environment.note_dependency(str(root / "notebooks" / f"{name}.md"))
        container = nodes.container()
        chosen = [line.strip() for line in self.content if line.strip()]
        self.state.nested_parse(StringList(lines(root, chosen), source="reading-path"), self.content_offset, container)
        return container.children


def setup(app) -> dict:
    app.add_directive("reading-path", ReadingPath)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
