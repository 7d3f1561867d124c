"""One setting leads from pages to code, downloads install what they need, and a page runs its own scripts only."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from docutils.utils import new_document
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from extensions import extension

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "https://github.com/owner/name"


ways_in, content_policy, cards = extension("ways_in"), extension("content_policy"), extension("cards")


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(ways_in.VARIABLE, raising=False)


# The setting.


def test_the_setting_stands_in_the_configuration_and_is_empty_or_an_address() -> None:
    setting = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["public_repository"]
    assert ways_in.repository(setting) == setting.rstrip("/")


@pytest.mark.parametrize("given", [ADDRESS, f"{ADDRESS}/", f"{ADDRESS}.git"])
def test_the_address_is_read_in_every_form(given: str) -> None:
    assert ways_in.repository(given) == ADDRESS


@pytest.mark.parametrize("given", ["http://github.com/a/b", "https://example.org/a/b", "https://github.com/a", "a/b"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ways_in.ExtensionError, match=re.escape(f"{given!r}; expected https://github.com/owner/name")):
        ways_in.repository(given)


def test_the_variable_goes_before_the_setting(monkeypatch) -> None:
    monkeypatch.setenv(ways_in.VARIABLE, "https://github.com/other/book")
    assert ways_in.repository(ADDRESS) == "https://github.com/other/book"


@pytest.mark.parametrize(
    ("address", "site"),
    [
        (ADDRESS, "https://owner.github.io/name/"),
        ("https://github.com/Owner/owner.github.io", "https://owner.github.io/"),
    ],
)
def test_the_site_follows_from_the_repository(address: str, site: str) -> None:
    assert ways_in.site(address) == site


def configured(setting: str) -> SimpleNamespace:
    config = SimpleNamespace(public_repository=setting, html_baseurl="", html_theme_options={"logo": 1})
    ways_in.configure(None, config)
    return config


def test_without_an_address_there_is_no_button() -> None:
    assert configured("").html_theme_options == {"logo": 1}


def test_the_address_switches_everything_on() -> None:
    config = configured(ADDRESS)
    options = config.html_theme_options
    assert config.html_baseurl == "https://owner.github.io/name/"
    assert options["repository_url"] == ADDRESS
    assert options["use_issues_button"] and options["use_edit_page_button"] and options["logo"] == 1
    assert set(options["launch_buttons"]) == {"notebook_interface", "binderhub_url", "colab_url"}


def test_buttons_lead_to_the_source_and_to_the_prepared_copy() -> None:
    edit = {"label": "source-edit-button", "url": f"{ADDRESS}/edit/main/notebooks/units.ipynb"}
    prose = {"label": "source-edit-button", "url": f"{ADDRESS}/edit/main/book/status.md"}
    colab = {"text": "Colab", "url": "https://colab.test/github/owner/name/blob/main/notebooks/units.ipynb"}
    binder = {
        "text": "Binder",
        "url": "https://binder.test/v2/gh/owner/name/main?urlpath=lab/tree/notebooks/units.ipynb",
    }
    before = binder["url"], prose["url"]
    ways_in.correct(ADDRESS, {"label": "group", "buttons": [edit, prose, colab, binder]})
    assert edit["url"] == f"{ADDRESS}/edit/main/notebooks/units.md"
    assert colab["url"].endswith("/blob/launch/notebooks/units.ipynb")
    assert (binder["url"], prose["url"]) == before


def test_shared_pages_have_one_address() -> None:
    app = SimpleNamespace(
        config=SimpleNamespace(
            public_repository=ADDRESS, html_baseurl=ways_in.site(ADDRESS), html_title="Book", project="Book"
        ),
        builder=SimpleNamespace(get_target_uri=lambda name: f"{name}.html"),
    )
    context = {"pageurl": "https://owner.github.io/name/a.html", "metatags": "<meta/>"}
    ways_in.page_context(app, "a", "page.html", context, None)
    cards.add(app, "a", "page.html", context, new_document("a"))
    assert context["metatags"].count('<meta property="og:url" content="https://owner.github.io/name/a.html" />') == 1
    assert context["metatags"].count("og:url") == 1


def test_the_sitemap_lists_every_page() -> None:
    builder = SimpleNamespace(get_target_uri=lambda name: f"{name}.html")
    app = SimpleNamespace(builder=builder, env=SimpleNamespace(found_docs={"b", "a&c"}))
    text = ways_in.sitemap(app, "https://owner.github.io/name/")
    assert re.findall("<loc>(.*?)</loc>", text) == [
        f"https://owner.github.io/name/{page}.html" for page in ("a&amp;c", "b")
    ]


# The notebooks to download.


def test_a_download_gets_one_cell_more_and_nothing_else_changes(tmp_path) -> None:
    path = tmp_path / "units.ipynb"
    cells = [new_markdown_cell("# Units"), new_code_cell("1 + 1", execution_count=1)]
    nbformat.write(new_notebook(cells=cells, metadata={"kept": 1}), path)
    before = nbformat.read(path, as_version=4)
    for _ in range(2):
        ways_in.prepare(path, ADDRESS)
    after = nbformat.read(path, as_version=4)
    nbformat.validate(after)
    assert after.cells[1:] == before.cells
    assert after.metadata == before.metadata
    assert after.cells[0].id == ways_in.INSTALL_ID


class Shell:
    """Writes down what a notebook asks its shell to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def system(self, command: str) -> None:
        self.asked.append(command)

    def run_line_magic(self, name: str, line: str) -> None:
        self.asked.append(f"%{name} {line}")


def run_cell(address: str, *, there: bool, monkeypatch) -> list[str]:
    shell = Shell()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if there else None)
    monkeypatch.setattr("sys.path", [])
    source = TransformerManager().transform_cell(ways_in.install_cell(address).source)
    exec(compile(source, "cell", "exec"), {"get_ipython": lambda: shell})
    return shell.asked


def test_where_the_package_is_missing_the_cell_fetches_it(monkeypatch) -> None:
    asked = run_cell(ADDRESS, there=False, monkeypatch=monkeypatch)
    assert asked == [
        f"git clone --quiet --depth 1 --branch main {ADDRESS}.git book",
        "%pip install --quiet --editable book",
    ]


def test_where_the_package_is_the_cell_does_nothing(monkeypatch) -> None:
    assert run_cell(ADDRESS, there=True, monkeypatch=monkeypatch) == []
    assert run_cell("", there=True, monkeypatch=monkeypatch) == []


def test_without_an_address_the_cell_says_what_to_do(monkeypatch) -> None:
    with pytest.raises(ModuleNotFoundError, match="run `pip install -e .` in a clone of the book"):
        run_cell("", there=False, monkeypatch=monkeypatch)


# The policy.

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"/>
<script src="a.js"></script><script>let a = "1 < 2";</script><script type="text/plain"> </script>
</head><body><input type="range" oninput="let x=&quot;y&quot;"/><button onclick='go()'>go</button>
<p>a lesson=&quot;no handler&quot;</p></body></html>"""


def named(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_scripts_and_handlers_are_named_by_their_hash() -> None:
    assert content_policy.inline(PAGE) == ({'let a = "1 < 2";'}, {'let x="y"', "go()"})
    page = content_policy.protect(PAGE)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    scripts = rules["script-src"].split()
    assert scripts[0] == "'self'"
    assert set(scripts) == {"'self'", "'unsafe-hashes'", named('let a = "1 < 2";'), named('let x="y"'), named("go()")}
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert re.sub(r"\n<meta http-equiv.*?/>", "", page) == PAGE


def test_a_page_without_scripts_allows_none_in_it() -> None:
    page = content_policy.protect('<meta http-equiv="Refresh" content="0; url=book/welcome.html" />\n')
    assert page.startswith('<meta charset="utf-8"/>\n<meta http-equiv="Content-Security-Policy"')
    assert "script-src 'self';" in page
    assert "unsafe-hashes" not in page


# Workflows.

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["publish", "test", "weekly"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_permissions_are_few(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    used = re.findall(r" uses: ([^.]\S+)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    for job in workflow["jobs"].values():
        granted = {name for name, level in job["permissions"].items() if level == "write"}
        assert granted <= {"pages", "id-token"} or granted == {"contents"}
        assert "timeout-minutes" in job or job["uses"].startswith("./")  # whose own jobs have a limit


def test_only_what_was_tested_is_published() -> None:
    publish, tests = (yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.stem in ("publish", "test"))
    jobs = publish["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert "workflow_call" in tests[True]  # YAML 1.1 reads the key `on` as a truth value
    assert "make test" in [step.get("run") for step in tests["jobs"]["test"]["steps"]]
    assert "if" not in jobs["test"] and "if" not in jobs["build"]
    assert jobs["build"]["needs"] == "test"
    assert {name for name, job in jobs.items() if "needs" not in job} == {"test"}


def test_commands_of_the_workflows_are_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    asked = {
        word for path in WORKFLOWS for line in re.findall(r"run: make (.*)", path.read_text()) for word in line.split()
    }
    assert asked == {"test", "book", "pdf", "links", "audit"}
    assert asked <= targets


def test_the_lock_has_a_hash_for_every_package_and_holds_every_pin() -> None:
    text = (ROOT / "requirements.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", text, re.M)
    assert len(re.findall(r"^(\S.*==.*\\)\n    --hash=sha256:[0-9a-f]{64}", text, re.M)) == len(locked)
    wanted = re.findall(r"^([A-Za-z0-9-]+)==(\S+)", (ROOT / "requirements.in").read_text(), re.M)
    wanted += re.findall(r'^    "([A-Za-z0-9-]+)==([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert len(wanted) > 40
    assert {(name.lower(), version) for name, version in wanted} - set(locked) == set()
