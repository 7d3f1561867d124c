"""Ways from a page to its code: launch, issue and edit buttons, a sitemap.

All of it hangs on one setting, ``public_repository`` in ``_config.yml``: the address of the repository, such as
``https://github.com/owner/name``. The variable ``INTRIGUING_REPOSITORY`` goes before it, so that a workflow can name
the repository in which it runs. While both are empty the pages offer none of this. The address of the site follows
from that of the repository, ``https://owner.github.io/name/``.

Notebooks to download get a first cell that fetches and installs the package where it is missing (without the setting it
says what to do); those in ``notebooks/`` stay as they were executed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.sax.saxutils import escape

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

VARIABLE = "INTRIGUING_REPOSITORY"
BRANCH = "main"
LAUNCH_BRANCH = "launch"
"""Colab opens notebooks from a branch: this one holds the copies with the first cell, written when the site is."""

INSTALL_ID = "install-the-package"
_ADDRESS = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(\.git)?/?")

_INSTALL = """\
# Elsewhere than in a clone of the book, on Colab for instance, the book and what it needs are fetched first.
import importlib.util

if importlib.util.find_spec("intriguing") is None:
{remedy}"""
_CLONE = """\
    import os
    import sys

    !git clone --quiet --depth 1 --branch {branch} {repository}.git book
    %pip install --quiet --editable book
    sys.path.insert(0, os.path.abspath("book/src"))"""
_REFUSE = """\
    raise ModuleNotFoundError("No module named 'intriguing': run `pip install -e .` in a clone of the book.")"""


def repository(setting: str) -> str:
    """Returns the address of the repository without a slash or ``.git`` at its end, or an empty string.

    Args:
        setting: What ``_config.yml`` says; the variable goes before it.

    Raises:
        ExtensionError: It is no address of a repository on GitHub.
    """
    given = os.environ.get(VARIABLE) or setting
    if not given:
        return ""
    found = _ADDRESS.fullmatch(given)
    if found is None:
        raise ExtensionError(
            f"public_repository is {given!r}; expected https://github.com/owner/name; leave it empty for no address."
        )
    return f"https://github.com/{found['owner']}/{found['name']}"


def site(address: str) -> str:
    """Returns where GitHub Pages shows the site of a repository, with a slash at its end."""
    owner, name = address.removeprefix("https://github.com/").split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def install_cell(address: str) -> nbformat.NotebookNode:
    """Returns the cell that makes a notebook run where the package is missing, on Colab for instance.

    Args:
        address: Of the repository; empty where there is none, and then the cell says what to do.
    """
    remedy = _CLONE.format(repository=address, branch=BRANCH) if address else _REFUSE
    cell = nbformat.v4.new_code_cell(_INSTALL.format(remedy=remedy))
    cell.id = INSTALL_ID
    return cell


def prepare(path: Path, address: str) -> None:
    """Puts the cell at the head of a notebook, once, without touching any other."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [install_cell(address), *(cell for cell in notebook.cells if cell.get("id") != INSTALL_ID)]
    temporary = path.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def configure(app: Sphinx, config) -> None:
    """Switches the buttons of the theme on where there is an address."""
    config.public_repository = address = repository(config.public_repository)
    if not address:
        return
    config.html_baseurl = site(address)
    config.html_theme_options |= {
        "repository_url": address,
        "repository_branch": BRANCH,
        "path_to_docs": "",
        "use_repository_button": True,
        "use_issues_button": True,
        "use_edit_page_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def correct(address: str, button: dict) -> None:
    """Leads a button of the theme to the right file, and those of a group likewise.

    The text beside a notebook is its source, so that is what a reader edits; Colab opens the prepared copy.
    """
    for inner in button.get("buttons", []):
        correct(address, inner)
    if button.get("label") == "source-edit-button":
        button["url"] = re.sub(r"(/notebooks/\w+)\.ipynb$", r"\1.md", button["url"])
    if button.get("text") == "Colab":
        button["url"] = button["url"].replace(f"/blob/{BRANCH}/", f"/blob/{LAUNCH_BRANCH}/")


def page_context(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Corrects the buttons of a page."""
    if address := app.config.public_repository:
        for button in context.get("header_buttons", []):
            correct(address, button)


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Prepares the notebooks to download and writes the sitemap."""
    if problem is not None or app.builder.format != "html":
        return
    output, address = Path(app.outdir), app.config.public_repository
    for path in sorted((output / "_sources" / "notebooks").glob("*.ipynb")):
        prepare(path, address)
    target = output / "sitemap.xml"
    target.unlink(missing_ok=True)
    if address:
        target.write_text(sitemap(app, site(address)), encoding="utf-8")


def sitemap(app: Sphinx, base: str) -> str:
    """Returns the list of all pages as search engines read it."""
    pages = (app.builder.get_target_uri(name) for name in sorted(app.env.found_docs))
    lines = (f"  <url><loc>{escape(base + page)}</loc></url>" for page in pages)
    head = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    return "\n".join([head, *lines, "</urlset>", ""])


def setup(app: Sphinx) -> dict:
    app.add_config_value("public_repository", "", "html", str)
    app.connect("config-inited", configure, priority=100)  # before the theme reads its options
    app.connect("html-page-context", page_context, priority=900)  # after the theme has made its buttons
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
