"""The built book as a reader meets it: links lead somewhere, pictures are there, no request leaves the host.

The first part reads the files of ``_build/html``. The second opens each page in headless Chromium, served on
127.0.0.1, wherever Chromium and its driver are installed.
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: run `make book`")

# What a browser fetches by itself when it opens a page; links that a reader may follow are another matter.
FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "srcset", "video": "src", "link": "href"}
FETCHED_RELATIONS = {"stylesheet", "icon", "shortcut", "preload", "prefetch", "modulepreload", "manifest"}


@dataclass
class Page:
    """What one page refers to."""

    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    images: list[tuple[str, str | None]] = field(default_factory=list)
    narrow: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.page.links.append(given["href"])
        if tag == "img":
            self.page.images.append((given.get("src") or "", given.get("alt")))
        if tag == "source":
            self.page.narrow.append(given["srcset"])
        target = given.get(FETCHED.get(tag, ""))
        if target and (tag != "link" or FETCHED_RELATIONS & set((given.get("rel") or "").lower().split())):
            self.page.fetched.append(target)


@functools.cache
def _read(name: str) -> Page:
    reader = _Reader()
    reader.feed((SITE / name).read_text(encoding="utf-8"))
    return reader.page


def _resolve(name: str, target: str) -> tuple[Path, str] | None:
    """Returns the file and the anchor that a reference means, or None when it leads out of the site."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    path = (SITE / name).parent / unquote(parts.path) if parts.path else SITE / name
    path = path.resolve()
    return (path / "index.html" if path.is_dir() else path), unquote(parts.fragment)


def _is_description(alt: str | None, source: str) -> bool:
    """Whether an alt text says what is to be seen, instead of where the file lies."""
    text = (alt or "").strip()
    is_path = bool(re.fullmatch(r"\S*\.(png|jpe?g|svg|gif|webp)", text, re.I)) or text == source
    return bool(text) and not is_path


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    broken = []
    for target in _read(name).links:
        found = _resolve(name, target)
        if found is None:
            continue
        path, anchor = found
        if not path.is_file():
            broken.append(f"{target}: no such file")
        elif anchor and path.suffix == ".html":
            other = path.relative_to(SITE.resolve()).as_posix()
            if anchor not in _read(other).anchors:
                broken.append(f"{target}: no such place on the page")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_from_another_host(name: str) -> None:
    outside = [t for t in _read(name).fetched if not t.startswith("data:") and _resolve(name, t) is None]
    missing = [t for t in _read(name).fetched if (found := _resolve(name, t)) is not None and not found[0].is_file()]
    assert not outside, f"fetched from elsewhere: {outside}"
    assert not missing, f"not in the built book: {missing}"


@pytest.mark.parametrize("name", PAGES)
def test_pictures_are_described(name: str) -> None:
    bare = [(source[:80], alt) for source, alt in _read(name).images if not _is_description(alt, source)]
    assert not bare, f"pictures without a description: {bare}"


@pytest.mark.parametrize(
    ("alt", "good"),
    [
        ("A seven and its twin", True),
        ("", False),
        (None, False),
        ("../_images/ab12.png", False),
        ("x.svg", False),
    ],
)
def test_description_is_told_from_a_path(alt: str | None, good: bool) -> None:
    assert _is_description(alt, "_images/other.png") is good


# In a browser.


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serves the built book on this computer only."""

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _first(names: tuple[str, ...]) -> str | None:
    return next((path for path in map(shutil.which, names) if path), None)


def screen(width: int) -> dict[str, int | bool]:
    """What Chromium is told of a screen; a narrow one is a phone's."""
    return {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}


ARRIVED = """
const [wanted, here] = [arguments[0], location.href];
const led = wanted.endsWith('/index.html') && here.endsWith('/book/welcome.html');
return document.readyState === 'complete' && (here === wanted || led);
"""


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that can reach 127.0.0.1 and nothing else."""
    chromium = _first(("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    driver = _first(("chromedriver", "chromium-driver"))
    if chromium is None or driver is None:
        pytest.skip("Chromium or its driver is not installed: the pages were checked as files only")
    pytest.importorskip("selenium", reason="selenium, which asks the browser, is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--window-size=1280,1024",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})

    class Patient(webdriver.Chrome):
        """Now and then a busy Chromium says that a page has come while it still shows what was there before."""

        def get(self, url: str) -> None:
            super().get(url)
            WebDriverWait(self, 60).until(lambda _: self.execute_script(ARRIVED, url))

    instance = Patient(options=options, service=Service(driver))
    instance.set_page_load_timeout(60)
    instance.set_script_timeout(300)
    yield instance
    instance.quit()


SETTLED = """
const done = arguments[0];
const pictures = [...document.images];
pictures.forEach((picture) => { picture.loading = 'eager'; });
const loaded = pictures.map((picture) => picture.decode().catch(() => null));
const typeset = window.MathJax && MathJax.startup ? MathJax.startup.promise : null;
Promise.all([...loaded, typeset]).then(() => done(pictures.map((picture) => (
    {source: picture.getAttribute('src'), alt: picture.alt, width: picture.naturalWidth}
))));
"""


@dataclass(frozen=True)
class Opened:
    """A page in the browser, and what came to light while it was opened."""

    name: str
    pictures: list[dict]
    errors: list[str]
    elsewhere: list[str]


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, browser, address: str) -> Opened:
    """Opens a page once for all tests that only look at it."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(f"{address}/{request.param}")
    pictures = browser.execute_async_script(SETTLED)
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # The browser asks for this by itself where a page names no icon: on the one that leads on to the first page.
    errors = [error for error in errors if not error.startswith(f"{address}/favicon.ico ")]
    return Opened(request.param, pictures, errors, _requests_elsewhere(browser.get_log("performance"), address))


@pytest.mark.parametrize("opened", PAGES, indirect=True)
def test_page_in_a_browser(browser, opened: Opened) -> None:
    broken = [picture["source"] for picture in opened.pictures if not picture["width"]]
    bare = [picture["source"] for picture in opened.pictures if not _is_description(picture["alt"], picture["source"])]
    formulas = browser.execute_script("return document.querySelectorAll('mjx-merror').length")
    assert not broken, f"pictures that did not load: {broken}"
    assert not bare, f"pictures without a description: {bare}"
    assert not opened.errors, "\n".join(opened.errors)
    assert formulas == 0, f"{formulas} formulas could not be set"
    assert opened.elsewhere == []


def _requests_elsewhere(log: list[dict], address: str) -> list[str]:
    """Returns the addresses on other hosts that the browser asked for."""
    events = (json.loads(entry["message"])["message"] for entry in log)
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith((address + "/", "data:", "blob:", "chrome:", "about:"))]


# Layout.

LAYOUT = (Path(__file__).parent / "layout_checks.js").read_text(encoding="utf-8")
WIDTHS = (1400, 1024, 390)
FITTED = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"


def _complaints(browser, width: int, theme: str) -> list[str]:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen(width))
    root = "document.documentElement.dataset"
    browser.execute_script(
        f"{root}.theme = {root}.mode = arguments[0]; window.dispatchEvent(new Event('resize'))", theme
    )
    browser.execute_async_script(FITTED)
    return [f"{width} px, {theme}: {complaint}" for complaint in browser.execute_script(LAYOUT)]


@pytest.mark.parametrize("opened", PAGES, indirect=True)
def test_page_fits_and_can_be_read(browser, opened: Opened) -> None:
    """Three widths, two themes: nothing is cut, no letter is below 9 pixels, contrast is that of WCAG AA."""
    assert browser.current_url.endswith(opened.name) or opened.name == "index.html"
    if not browser.find_elements("css selector", "article"):
        return  # a page that leads on to another one
    try:
        wrong = [line for width in WIDTHS for theme in ("light", "dark") for line in _complaints(browser, width, theme)]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert not wrong, "\n".join(wrong)


# How much of a page is code.

CODE_SHARE = """
const article = document.querySelector('article');
const height = (element) => element.getBoundingClientRect().height;
const shown = [...article.querySelectorAll('.cell_input')].filter((cell) => cell.checkVisibility());
return shown.reduce((sum, cell) => sum + height(cell), 0) / height(article);
"""
MOST_CODE = 0.15
CHAPTERS = [name for name in PAGES if name.startswith("notebooks/")]


@pytest.mark.parametrize("opened", CHAPTERS, indirect=True)
def test_a_chapter_is_no_listing(browser, opened: Opened) -> None:
    """At most 15 % of a chapter's height is code, on a wide screen and with everything folded that can be."""
    size = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.execute_async_script(FITTED)
        share = browser.execute_script(CODE_SHARE)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    print(f"{opened.name}: {share:.1%}")
    assert 0 < share <= MOST_CODE, f"{share:.1%} of the page is code; expected at most {MOST_CODE:.0%}: fold a cell"


def test_code_that_is_shown_counts_and_no_other(browser, address: str) -> None:
    browser.get(f"{address}/book/citing.html")
    tall = "<div class='cell_input' style='height: 100px'></div>"
    browser.execute_script(
        "document.querySelector('article').outerHTML = arguments[0]",
        f"<article>{tall}<details>{tall}</details><div style='height: 400px'></div></article>",
    )
    assert 0.15 < browser.execute_script(CODE_SHARE) < 0.21  # the line of what is folded is as high as it is
    browser.execute_script("document.querySelector('article details').open = true")
    assert browser.execute_script(CODE_SHARE) > 0.25


# Readers with other senses.

AXE = """
const done = arguments[0];
const elsewhere = ['color-contrast', 'link-in-text-block'], mild = ['region', 'landmark-one-main', 'landmark-unique'];
const options = {
    resultTypes: ['violations'], selectors: false, preload: false,
    rules: Object.fromEntries([...elsewhere, ...mild].map((name) => [name, {enabled: false}])),
};
const told = (one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 120)} (${node.failureSummary})`);
const grave = (one) => ['serious', 'critical'].includes(one.impact);
axe.run(document, options).then((found) => done(found.violations.filter(grave).flatMap(told)));
"""
STILL = "<style>* { transition: none !important; animation: none !important; }</style>"
SHORTER = "document.querySelectorAll(':is(li, tr, dl):nth-child(n+25)').forEach((one) => one.remove())"


def _hindrances(browser) -> list[str]:
    """What axe-core calls serious or critical, of long lists the first entries.

    Its slowest rules, contrast and links in the text, are left to the layout checks, which know both themes and three
    widths; those that it never calls serious are left out.
    """
    from selenium_axe_python import Axe

    Axe(browser).inject()
    browser.execute_script("document.head.insertAdjacentHTML('beforeend', arguments[0])", STILL)
    browser.execute_script(SHORTER)
    return browser.execute_async_script(AXE)


@pytest.mark.parametrize("opened", PAGES, indirect=True)
def test_nothing_hinders_readers_with_other_senses(browser, opened: Opened) -> None:
    assert browser.current_url.endswith(opened.name) or opened.name == "index.html"
    if browser.find_elements("css selector", "article"):
        assert _hindrances(browser) == []


def test_hindrances_are_seen(browser, address: str) -> None:
    browser.get(f"{address}/book/citing.html")
    browser.execute_script(
        "document.querySelector('article').innerHTML = '<canvas role=\"img\"></canvas><img src=\"../x.png\">'"
        " + '<a href=\"#\"></a>'"
    )
    found = "\n".join(_hindrances(browser))
    for rule in ("role-img-alt", "image-alt", "link-name"):
        assert rule in found


# What moves while a page arrives.

# All of it: a browser takes half a second of movement for asked for, after a page was made wider as well, and here
# nobody asks for anything.
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))
    .observe({type: 'layout-shift', buffered: true});
"""
SHIFTED = "return window.shifts.reduce((sum, one) => sum + one.value, 0)"
SLOW = {"offline": False, "latency": 40, "downloadThroughput": 1_500_000, "uploadThroughput": 750_000}
PAINTED = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 200)));"


@pytest.fixture(scope="module")
def watched(browser):
    """The browser over a slow line, with nothing kept, that adds up what moves."""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SHIFTS})
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW)
    yield browser
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW | {"latency": 0, "downloadThroughput": -1})
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


ARRIVING = [
    *("book/welcome", "book/laboratory", "book/solver", "book/notation"),
    *("notebooks/blind_spots", "notebooks/framework", "notebooks/transfer"),
]


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", ARRIVING)
def test_hardly_anything_moves_while_a_page_arrives(watched, address: str, name: str, width: int) -> None:
    watched.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen(width))
    watched.get(f"{address}/{name}.html")
    watched.execute_async_script(SETTLED)
    watched.execute_async_script(PAINTED)
    assert watched.execute_script(SHIFTED) < 0.1


@pytest.mark.parametrize("width", [1400, 390])
def test_what_moves_is_noticed(watched, address: str, width: int) -> None:
    watched.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen(width))
    watched.get(f"{address}/book/welcome.html")
    watched.execute_async_script(PAINTED)
    watched.execute_script("document.querySelector('article').insertAdjacentHTML('afterbegin', arguments[0])",
                           "<div style='height: 500px'></div>")  # fmt: skip
    watched.execute_async_script(PAINTED)
    assert watched.execute_script(SHIFTED) > 0.1


def test_layout_checks_see_what_is_wrong(browser, address: str) -> None:
    browser.get(f"{address}/book/welcome.html")
    browser.execute_script(
        "document.querySelector('article').innerHTML = '<p style=\"color:#999;background:#fff\">pale</p>'"
        " + '<p style=\"font-size:8px;color:#000;background:#fff\">small</p>'"
        ' + \'<p style="color:#000">see <a href="x" style="color:#333; text-decoration:none">it</a></p>\''
        " + '<table style=\"min-width:3000px;color:#000;background:#fff\"><tr><td>wide</td></tr></table>'"
    )
    wrong = browser.execute_script(LAYOUT)
    for found in ("contrast 2.8: pale", "letters of 8 px: small", "TABLE is cut: wide"):
        assert found in wrong
    assert "a link that looks like text: it" in wrong
    assert any(line.startswith("the page is ") for line in wrong)


@pytest.fixture
def sized(browser):
    """Gives the browser a screen of some width until the test ends."""
    yield lambda width: browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen(width))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


EXPONENTS = """
const size = (element) => parseFloat(getComputedStyle(element).fontSize);
const small = [...document.querySelectorAll('article mjx-script mjx-c')];
return small.map((letter) => size(letter) / size(letter.closest('mjx-container')));
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_exponents_are_smaller_than_what_they_stand_on(browser, address: str, width: int, sized) -> None:
    """In the small letters of a table on a phone they were larger."""
    sized(width)
    browser.get(f"{address}/book/notation.html")
    browser.execute_async_script(SETTLED)
    ratios = browser.execute_script(EXPONENTS)
    assert ratios and max(ratios) < 0.8


GROUNDS = """
return [...document.querySelectorAll('article td')].map((cell) => {
    const {backgroundColor, filter} = getComputedStyle(cell);
    return [cell.textContent.trim(), backgroundColor, filter];
}).filter(([, ground]) => ground !== 'rgba(0, 0, 0, 0)');
"""


def test_cells_that_are_shaded_stay_so_by_night(browser, address: str) -> None:
    """Their grounds are those of the day, turned over."""
    browser.get(f"{address}/notebooks/photographs.html")
    seen = {}
    for theme in ("light", "dark"):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        seen[theme] = browser.execute_script(GROUNDS)
    assert [one[:2] for one in seen["dark"]] == [one[:2] for one in seen["light"]]
    assert len({ground for _, ground, _ in seen["dark"]}) > 5
    assert {turned for _, _, turned in seen["light"]} == {"none"}
    assert all("invert" in turned for _, _, turned in seen["dark"])


PIECES = """
const range = document.createRange(), found = [];
const texts = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
    const text = texts.currentNode;
    const around = text.parentElement;
    if (!around.checkVisibility() || around.closest('table, pre, .lab, mjx-container')) continue;
    for (const name of text.data.matchAll(/FC\\d+(-\\d+)+|FC10\\(1e-\\d\\)/g)) {
        range.setStart(text, name.index);
        range.setEnd(text, name.index + name[0].length);
        found.push([name[0], range.getClientRects().length]);
    }
}
return found;
"""


@pytest.mark.parametrize("name", ["notebooks/transfer", "notebooks/disjoint_sets", "book/api/chapters_blind_spots"])
def test_names_of_networks_stay_in_one_piece(browser, address: str, name: str, sized) -> None:
    sized(390)
    browser.get(f"{address}/{name}.html")
    browser.execute_async_script(SETTLED)
    found = browser.execute_script(PIECES)
    assert found and [network for network, lines in found if lines > 1] == []


def test_a_slider_does_not_move_the_drawing_below_it(browser, address: str, sized) -> None:
    """Words beside it that took several lines pushed the drawing away below the finger."""
    sized(390)
    browser.get(f"{address}/notebooks/tilting.html")
    browser.execute_async_script(SETTLED)
    tops = browser.execute_script(
        """
        const drawn = document.querySelector('.drawn'), tops = [];
        for (const input of drawn.querySelectorAll('input')) {
            for (const value of [input.min, input.max, input.value]) {
                input.value = value;
                input.dispatchEvent(new Event('input', {bubbles: true}));
                tops.push(drawn.querySelector('canvas').getBoundingClientRect().top);
            }
        }
        return tops;
        """
    )
    assert len(tops) == 6 and len(set(tops)) == 1


def test_a_figure_is_enlarged_by_touch_and_closed_again(browser, address: str, sized) -> None:
    from selenium.webdriver.common.keys import Keys

    sized(390)  # where another picture is on the page
    browser.get(f"{address}/notebooks/transfer.html")
    browser.execute_async_script(SETTLED)
    opener = browser.find_element("css selector", "figure button.larger")
    assert opener.accessible_name.startswith("Enlarge: ")
    opener.send_keys(Keys.ENTER)
    dialog = browser.find_element("css selector", "dialog.larger")
    picture = browser.find_element("css selector", "dialog.larger img")
    # Drawn 200 pixels to the inch with letters of 8 points: at 81 pixels to the inch these are 9 pixels high.
    width = float(browser.execute_script("return arguments[0].naturalWidth", picture))
    assert dialog.is_displayed() and picture.size["width"] >= width / 200 * 81
    browser.find_element("css selector", "dialog.larger button").send_keys(Keys.ENTER)
    assert not dialog.is_displayed()


def test_the_first_page_moves_unless_that_is_unwanted(browser, address: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    running = "return document.getAnimations().filter((a) => a.playState === 'running').length"
    browser.get(f"{address}/book/welcome.html")
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(running) > 0)
    browser.find_element("css selector", ".twins-still input").click()
    assert browser.execute_script(running) == 0
    wish = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
    try:
        assert browser.execute_script("return document.getAnimations().length") == 0
        for picture in browser.find_elements("css selector", ".twins-flip img"):
            assert picture.is_displayed() and picture.value_of_css_property("opacity") == "1"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith(("book/", "notebooks/"))])
def test_pages_say_what_they_are_to_those_who_link(name: str) -> None:
    text = (SITE / name).read_text(encoding="utf-8")
    for tag in ("og:title", "og:description", "og:site_name", "citation_title"):
        assert f'"{tag}"' in text, tag


# Sliders.

SHOWN = """
return [...document.querySelectorAll('.pages')].filter((all) => all.querySelector('input')).map((all) => ({
    pictures: [...all.querySelectorAll('.pages-stack > div')].filter((page) => page.checkVisibility())
        .map((page) => page.querySelector('img').src),
    words: [...all.querySelectorAll('input')].map((input) => input.getAttribute('aria-valuetext')),
    beside: [...all.querySelectorAll('b')].map((word) => word.textContent),
}));
"""


def _sliders(name: str) -> int:
    return (SITE / name).read_text(encoding="utf-8").count('class="pages-slider"')


@pytest.mark.parametrize("name", [name for name in PAGES if _sliders(name)])
def test_sliders_move_by_keyboard(browser, address: str, name: str) -> None:
    """Each arrow key shows another picture, and only one; nothing is asked for, nothing goes wrong."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(f"{address}/{name}")
    browser.get_log("browser")
    browser.get_log("performance")
    groups = browser.find_elements(By.CSS_SELECTOR, ".pages:has(input)")
    assert sum(len(group.find_elements(By.TAG_NAME, "input")) for group in groups) == _sliders(name)
    for number, group in enumerate(groups):
        for place, slider in enumerate(group.find_elements(By.TAG_NAME, "input")):
            assert slider.accessible_name, "a slider without a name"
            slider.send_keys(Keys.HOME)
            seen = []
            last = int(slider.get_attribute("max"))
            for _ in range(last + 1):
                shown = browser.execute_script(SHOWN)[number]
                assert len(shown["pictures"]) == 1, "not exactly one picture is shown"
                assert shown["words"] == shown["beside"], "the word beside a slider is not the one it reports"
                seen.append((shown["words"][place], shown["pictures"][0]))
                slider.send_keys(Keys.ARROW_RIGHT)
            words, pictures = zip(*seen, strict=True)
            assert len(set(words)) == len(words) == last + 1, "two positions have one name"
            assert len(set(pictures)) == len(pictures), "two positions show one picture"
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors, "\n".join(errors)
    assert _requests_elsewhere(browser.get_log("performance"), address) == []


@pytest.mark.parametrize("name", PAGES)
def test_what_sets_formulas_is_fetched_where_there_are_some(name: str) -> None:
    text = (SITE / name).read_text(encoding="utf-8")
    assert ("/mathjax/" in text) is bool(re.search(r'<(span|div) class="[^"]*\bmath\b', text))


def test_formulas_are_set_in_a_file_that_was_saved(browser) -> None:
    browser.get_log("browser")
    browser.get((SITE / "book" / "solver.html").as_uri())
    browser.execute_async_script(SETTLED)
    assert browser.execute_script("return document.querySelectorAll('mjx-container mjx-math').length")
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_stay_light(name: str) -> None:
    """With all pictures that a wide screen is shown, or a narrow one, and without what pages share."""
    wide = {_resolve(name, source)[0] for source, _ in _read(name).images if not source.startswith("data:")}
    narrow = {_resolve(name, source)[0] for source in _read(name).narrow}
    others = {path for path in wide if path.with_stem(f"{path.stem}-narrow") not in narrow}
    for files in (wide, narrow | others):
        size = (SITE / name).stat().st_size + sum(path.stat().st_size for path in files if path.is_file())
        assert size < 2e6, f"{size / 1e6:.1f} MB"


@pytest.mark.parametrize("name", [name for name in PAGES if _sliders(name)])
def test_sliders_move_in_a_file_that_was_saved(browser, name: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get((SITE / name).as_uri())
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(SHOWN))  # drawn after the page has loaded
    before = browser.execute_script(SHOWN)[0]["pictures"]
    slider = browser.find_element(By.CSS_SELECTOR, ".pages-slider input")
    slider.send_keys(Keys.HOME)
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    # A busy computer takes its time to draw what a key has asked for.
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(SHOWN)[0]["pictures"] != before)
    assert len(browser.execute_script(SHOWN)[0]["pictures"]) == 1
