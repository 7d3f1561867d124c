"""The laboratory: weights of one byte, the file of the page, and the page itself in a browser beside Python."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import test_site
from intriguing.attack.distortion import distortion_to_all, minimum_distortion
from intriguing.attack.perturbations import rms, wrong_classes
from intriguing.chapters import laboratory
from intriguing.data import Images
from intriguing.lipschitz.certificates import global_certificate, local_certificate
from intriguing.models.recipes import CLASSES, recipe
from intriguing.models.training import error_rate
from intriguing.press import commands, publishing

WRITTEN = publishing.repository() / laboratory.PLACE
PAGE = "book/laboratory.html"
PARITY = 0.01  # relative difference of two distortions that counts as none
address, browser = test_site.address, test_site.browser  # fixtures


def test_a_layer_is_rounded_by_hand():
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.634, 0.006], [0.0, 0.0, 0.0]]))
        layer.bias.copy_(torch.tensor([0.5, -0.25]))
    found = laboratory.quantised(layer)
    assert found.weight.tolist() == [[127, -63, 1], [0, 0, 0]] and found.weight.dtype == torch.int8
    assert found.scale.tolist() == pytest.approx([0.01, 1.0]) and found.bias.tolist() == [0.5, -0.25]


def test_no_weight_is_off_by_more_than_half_of_its_scale():
    layer = nn.Linear(50, 20)
    found = laboratory.quantised(layer)
    rebuilt = found.scale.double()[:, None] * found.weight.double()
    off = (rebuilt - layer.weight.detach().double()).abs() / found.scale.double()[:, None]
    assert float(off.max()) <= 0.5 + 1e-5
    assert found.weight.abs().amax(1).tolist() == [laboratory.LEVELS] * 20  # the whole range is used


def test_a_network_has_sigmoids_between_its_layers():
    first = laboratory.Layer(torch.tensor([[2, -4]], dtype=torch.int8), torch.tensor([0.5]), torch.tensor([1.0]))
    last = laboratory.Layer(torch.tensor([[3], [-3]], dtype=torch.int8), torch.tensor([1.0, 2.0]), torch.zeros(2))
    network = laboratory.network([first, last])
    x = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    hidden = 1 / (1 + np.exp(-(0.25 * 1 - 0.75 * 2 + 1)))
    assert network(x)[0].tolist() == pytest.approx([3 * hidden, -6 * hidden], rel=1e-12)
    assert not network.training


def test_digits_are_chosen_class_by_class_and_always_the_same():
    labels = torch.arange(200) % CLASSES
    images = Images(torch.rand(200, 1, 28, 28), labels, "made up")
    rows = laboratory.chosen(images)
    assert labels[rows].tolist() == [label for label in range(CLASSES) for _ in range(laboratory.EACH)]
    assert len(set(rows.tolist())) == len(rows) and rows.tolist() == laboratory.chosen(images).tolist()


def test_what_is_written_is_read_again(brief, tmp_path, monkeypatch):
    sets, models = brief
    monkeypatch.setattr(laboratory, "NETWORKS", tuple(models))
    monkeypatch.setattr(laboratory, "mnist", lambda: sets)
    monkeypatch.setattr(laboratory, "trained", lambda name, images: SimpleNamespace(model=models[name]))
    path = tmp_path / "new" / "weights.js"
    written = laboratory.write(path)
    content = laboratory.read(path)
    assert content == json.loads(json.dumps(written))
    digits, networks = laboratory.stored_digits(content), laboratory.stored_networks(content)
    rows = content["digits"]["rows"]
    assert torch.equal(digits.images, sets.test.images[rows]) and torch.equal(digits.labels, sets.test.labels[rows])
    for (name, network), entry in zip(networks.items(), content["networks"], strict=True):
        layers = [laboratory.quantised(layer) for layer in models[name] if isinstance(layer, nn.Linear)]
        x = digits.images.double()
        assert torch.equal(network(x), laboratory.network(layers)(x))
        assert entry["errors"] == {
            "images": len(sets.test),
            "trained": error_rate(models[name], sets.test.images, sets.test.labels),
            "page": error_rate(network, sets.test.images.double(), sets.test.labels),
        }
        assert f"{name}: {entry['errors']['trained']:.2%} of 1000" in laboratory.summary(content)
    assert content["networks"][0]["bound"] == 1  # nothing stretches before the only layer of a linear network


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.js"
    path.write_text("const nothing = {};")
    with pytest.raises(ValueError, match="nothing is assigned"):
        laboratory.read(path)


def test_the_command_writes_where_the_page_looks(tmp_path, monkeypatch, capsys):
    entry = {"name": "FC10(1)", "errors": {"images": 10, "trained": 0.1, "page": 0.2}}

    def write(path):
        path.parent.mkdir(parents=True)
        path.write_text("here")
        return {"networks": [entry]}

    monkeypatch.setattr(laboratory, "write", write)
    monkeypatch.setattr(publishing, "repository", lambda: tmp_path)
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")
    assert commands.main(["laboratory", "--profile", "quick"]) == 0
    assert (tmp_path / laboratory.PLACE).read_text() == "here"
    assert "10.00% of 10 test images are misread, 20.00% by the copy" in capsys.readouterr().out


# The file that the page has.


@pytest.fixture(scope="module")
def content() -> dict:
    return laboratory.read(WRITTEN)


def test_the_file_belongs_to_the_networks_as_they_are_defined_now(content, monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", content["about"]["profile"])
    message = f"run `python -m intriguing laboratory --profile {content['about']['profile']}`"
    assert content["about"]["training"] == laboratory.definition(), message
    assert tuple(entry["name"] for entry in content["networks"]) == laboratory.NETWORKS, message
    for entry in content["networks"]:
        widths = (784, *recipe(entry["name"]).hidden, CLASSES)
        assert [(layer["inputs"], layer["units"]) for layer in entry["layers"]] == list(
            zip(widths, widths[1:], strict=False)
        )
        assert entry["description"] == recipe(entry["name"]).description


def test_the_file_holds_three_digits_of_each_class_and_stays_light(content):
    assert content["digits"]["labels"] == [label for label in range(CLASSES) for _ in range(laboratory.EACH)]
    assert WRITTEN.stat().st_size < 600_000
    for entry in content["networks"]:
        assert abs(entry["errors"]["trained"] - entry["errors"]["page"]) < 0.01, "rounding has changed the network"


# The page, in a browser.

in_a_browser = pytest.mark.skipif(
    not (test_site.SITE / PAGE).is_file(), reason="the book is not built: run `make book`"
)
SOLVED = """
const [name, targets] = arguments, network = laboratory.networks.find((one) => one.name === name);
return laboratory.shelf.map(({image}, i) => {
    const started = performance.now(), found = laboratory.projections(network, image, targets[i]);
    return {milliseconds: performance.now() - started, ...found, image: [...found.image]};
});
"""
STATE = """
const {image, found, target, network, digit, own} = laboratory.state;
return {image: [...image], distortion: found.distortion, target, network: network.name, digit, own};
"""


def text(browser, name: str) -> str:
    return browser.execute_script(f"return document.getElementById('lab-{name}').textContent")


def settle(browser) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    idle = "return document.querySelectorAll('.lab [data-busy=true], .lab[data-busy=true]').length === 0"
    WebDriverWait(browser, 120).until(lambda _: browser.execute_script(idle))


def problems(browser, own: str) -> list[str]:
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return errors + test_site._requests_elsewhere(browser.get_log("performance"), own)


@pytest.fixture(scope="module")
def nearest(content):
    """name -> network in single precision, and the closest picture of each of the thirty digits for nine targets."""
    digits = laboratory.stored_digits(content)
    networks = {name: network.float() for name, network in laboratory.stored_networks(content).items()}
    return digits, {
        name: (network, distortion_to_all(network, digits.images, digits.labels, refine=True))
        for name, network in networks.items()
    }


def test_the_furthest_class_is_more_than_twice_as_far_as_the_nearest(nearest):
    for _, found in nearest[1].values():
        assert (found.rms.amax(1) > 2 * found.rms.amin(1)).float().mean() > 0.5


def test_the_network_that_reads_worst_resists_longest(nearest):
    digits, networks = nearest
    length = {name: float(found.rms.mean()) for name, (_, found) in networks.items()}
    wrong = {name: error_rate(network, digits.images, digits.labels) for name, (network, _) in networks.items()}
    hardest = length.pop("FC10(1)")
    assert max(length.values()) < 2 / 3 * hardest
    assert max(wrong[name] for name in length) < wrong["FC10(1)"]


def test_noise_as_long_as_the_closest_picture_changes_no_answer(nearest):
    digits, networks = nearest
    images = digits.images.flatten(1)[:, None]
    normals = torch.randn(len(digits), 50, images.shape[2], generator=torch.Generator().manual_seed(0))
    for network, _ in networks.values():
        with torch.no_grad():
            before = network(digits.images).argmax(1)  # the nearest class is another than this, misread or not
        goal = distortion_to_all(network, digits.images, before, refine=True).rms.amin(1).float()[:, None, None]
        assert bool((goal > 0).all())
        noise = goal * normals
        for _ in range(40):  # stretched until what the box leaves of it is as long
            kept = (images + noise).clamp(0, 1) - images
            noise = noise * goal / kept.square().mean(2, keepdim=True).sqrt().clamp_min(1e-12)
        kept = (images + noise).clamp(0, 1)
        length = (kept - images).square().mean(2, keepdim=True).sqrt()
        torch.testing.assert_close(length, goal.expand_as(length), rtol=1e-3, atol=1e-6)
        with torch.no_grad():
            after = network(kept.view(-1, *digits.images.shape[1:])).argmax(1).view(len(digits), -1)
        assert (after == before[:, None]).all()


def test_the_penalty_ends_above_the_projections_or_on_them_to_within_a_thousandth(content):
    digits = laboratory.stored_digits(content)
    targets = (digits.labels + 1 + torch.arange(len(digits)) % (CLASSES - 1)) % CLASSES
    for network in laboratory.stored_networks(content).values():
        penalised, refined = (
            minimum_distortion(network, digits.images, targets, refine=refine).rms for refine in (False, True)
        )
        assert (penalised >= 0.999 * refined).all()


def test_more_than_half_of_the_frame_does_not_move(nearest):
    digits, networks = nearest
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[4:-4, 4:-4] = False
    for _, found in networks.values():
        moved = (found.images - digits.images[:, None])[..., frame]
        assert (moved.abs() < 1e-6).float().mean() > 0.5


def test_no_weight_touches_some_pixels_near_the_rim_of_some_networks(content):
    inner = torch.zeros(28, 28, dtype=torch.bool)
    inner[5:-5, 5:-5] = True
    untouched = [(network[1].weight == 0).all(0) for network in laboratory.stored_networks(content).values()]
    assert 0 < sum(bool(pixels.any()) for pixels in untouched) < len(untouched)
    assert not any(bool((pixels & inner.flatten()).any()) for pixels in untouched)


def test_what_is_proved_goes_most_of_the_way_for_a_softmax_and_not_through_sigmoids(nearest):
    digits, networks = nearest
    targets = wrong_classes(digits.labels, CLASSES).T
    for name, (network, found) in networks.items():
        double, images = copy.deepcopy(network).double(), digits.images.double()
        moved = found.rms > 0  # the others are their target already
        certified, followed = (
            torch.stack([certificate(double, images, target).rms(784) for target in targets], 1)[moved]
            / found.rms[moved]
            for certificate in (global_certificate, local_certificate)
        )
        if name.startswith("FC10("):
            assert certified.min() > 0.5
        else:
            assert certified.max() < 0.3
            assert (followed > certified).all() and followed.max() < 1


@pytest.fixture
def page(browser, address):
    """The page, opened anew, with all that it computes by itself done."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(f"{address}/{PAGE}")
    settle(browser)
    yield browser
    assert problems(browser, address) == []


@pytest.fixture
def still(browser, address):
    """The page as it was opened, for tests that change nothing: opened anew only where another one did."""
    if not browser.execute_script("return window.untouched === true"):
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(f"{address}/{PAGE}")
        settle(browser)
        browser.execute_script("window.untouched = true")
    yield browser
    assert problems(browser, address) == []


@in_a_browser
@pytest.mark.parametrize("name", laboratory.NETWORKS)
def test_thirty_digits_are_solved_as_in_python(still, content, name):
    digits, network = laboratory.stored_digits(content), laboratory.stored_networks(content)[name]
    targets = (digits.labels + 1 + torch.arange(len(digits)) % (CLASSES - 1)) % CLASSES
    found = still.execute_script(SOLVED, name, targets.tolist())
    wanted = minimum_distortion(network, digits.images, targets, refine=True)
    images = torch.tensor([one["image"] for one in found], dtype=torch.float64)
    assert bool(((images >= 0) & (images <= 1)).all())
    assert network(images).argmax(1).tolist() == targets.tolist()
    assert all(one["reached"] for one in found) and bool(wanted.success.all())
    distortions = rms(digits.images.double().flatten(1), images)
    assert distortions.tolist() == pytest.approx([one["distortion"] for one in found], abs=1e-12)
    off = (distortions - wanted.rms).abs() / wanted.rms.clamp(min=1e-12)
    assert float(off.max()) <= PARITY, f"digit {int(off.argmax())}"
    times = sorted(one["milliseconds"] for one in found)
    print(f"{name}: {times[len(times) // 2]:.0f} ms a picture in the median, {times[-1]:.0f} ms at most")


OTHERWISE = """
const network = laboratory.networks.find((one) => one.name === arguments[0]), target = arguments[1];
const {image} = laboratory.shelf[0];
let edge;
for (edge of laboratory.search(network, image, target));
// A network that shows the projections the wrong way, for as long as they last.
const misleading = Object.create(network);
let calls = 0;
misleading.gradients = (...given) => {
    calls++;
    const found = network.gradients(...given);
    return calls > 1 && calls <= 31 ? found.map((slope) => slope.map((g) => -g)) : found;
};
return {
    edge: edge.distortion, c: edge.c, certified: laboratory.certified(network, image, target),
    plain: laboratory.projections(network, image, target), misled: laboratory.projections(misleading, image, target),
};
"""


CROWDED = """
const [weights, biases, image] = arguments, inner = (w, z) => w.reduce((sum, value, i) => sum + value * z[i], 0);
const logits = (z) => [0, ...weights.map((w, k) => inner(w, z) + biases[k])];
const gradients = (_, all) => all.map((signs) => Float64Array.from(
  image, (_, i) => weights.reduce((sum, w, k) => sum + signs[k + 1] * w[i], 0)));
const found = laboratory.projections(
  {logits, outputs: (z) => [z, logits(z)], gradients}, Float64Array.from(image), 0);
return [found.distortion, found.reached, found.steps];
"""


@in_a_browser
def test_all_nine_rivals_can_meet_at_the_closest_picture(still):
    generator = torch.Generator().manual_seed(0)
    image = (0.4 + 0.2 * torch.rand(784, generator=generator)).double()
    weights = torch.linalg.qr(torch.randn(784, 9, generator=generator).double())[0].T
    ahead = 0.3 + 0.02 * torch.rand(9, generator=generator).double()  # at right angles: whoever is left out overtakes
    arguments = weights.tolist(), (ahead - weights @ image).tolist(), image.tolist()
    distortion, reached, steps = still.execute_script(CROWDED, *arguments)
    assert reached and steps < 12
    assert distortion == pytest.approx(float(ahead.square().sum().sqrt()) / 784**0.5, rel=3e-4)


@in_a_browser
@pytest.mark.parametrize("name", laboratory.NETWORKS)
def test_the_price_and_what_is_proved_are_those_of_python(still, content, name):
    image, network = laboratory.stored_digits(content).images[:1], laboratory.stored_networks(content)[name]
    target = torch.tensor([3])
    found = still.execute_script(OTHERWISE, name, int(target))
    penalised = minimum_distortion(network, image, target)
    assert found["edge"] == pytest.approx(float(penalised.rms), rel=PARITY)
    assert found["c"] == pytest.approx(float(penalised.penalty), rel=5 * PARITY)  # the search stops within a bracket
    assert found["certified"] == pytest.approx(float(global_certificate(network, image, target).rms(784)), rel=1e-9)
    # Where no projection arrives, the edge in c is a place to start from.
    assert found["misled"]["steps"] > 30 and found["misled"]["reached"]
    assert found["misled"]["distortion"] == pytest.approx(found["plain"]["distortion"], rel=PARITY)


@in_a_browser
def test_the_page_answers_as_soon_as_it_is_opened(still):
    state = still.execute_script(STATE)
    answer = text(still, "answer")
    assert f"{state['network']} reads the digit 0 as {state['own']}." in answer
    assert f"reads as {state['target']} has distortion {state['distortion']:.4f}, found in " in answer
    assert " ms by " in answer and " projections." in answer
    assert text(still, "noise-words").count("200") == 1
    assert "the edge" in text(still, "price-words")
    distances = [
        float(one)
        for one in still.execute_script(
            "return [...document.querySelectorAll('#lab-targets small')].map((small) => small.textContent)"
        )
        if one != "now"
    ]
    assert len(distances) == CLASSES - 1 and min(distances) > 0


@in_a_browser
def test_everything_has_a_name(still):
    from selenium.webdriver.common.by import By

    controls = still.find_elements(By.CSS_SELECTOR, ".lab :is(input, button, canvas[tabindex])")
    assert len(controls) > 50
    assert [one.get_attribute("outerHTML") for one in controls if not one.accessible_name and one.is_enabled()] == []
    pictures = still.find_elements(By.CSS_SELECTOR, ".lab canvas[role=img]")
    assert [one.get_attribute("id") for one in pictures if not one.get_attribute("aria-label")] == []


@in_a_browser
def test_the_keyboard_chooses(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def chosen(group: str):
        return page.find_element(By.CSS_SELECTOR, f"#lab-{group} input:checked")

    chosen("networks").send_keys(Keys.ARROW_RIGHT)
    assert page.execute_script(STATE)["network"] == laboratory.NETWORKS[-1]
    chosen("shelf").send_keys(Keys.ARROW_RIGHT)
    assert page.execute_script(STATE)["digit"] == 1
    before = page.execute_script(STATE)["target"]
    chosen("targets").send_keys(Keys.ARROW_RIGHT)
    settle(page)
    state = page.execute_script(STATE)
    assert state["target"] == before + 1 and f"reads as {before + 1} has distortion" in text(page, "answer")
    for slider, words in (("price", "price-words"), ("radius", "radius-words")):
        control = page.find_element(By.ID, f"lab-{slider}")
        seen = {text(page, words)}
        for key in (Keys.HOME, Keys.ARROW_RIGHT, Keys.END):
            control.send_keys(key)
            seen.add(text(page, words))
            assert control.get_attribute("aria-valuetext")
        assert len(seen) == 4, f"{slider} says the same in two places"


@in_a_browser
def test_the_keyboard_draws(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    pad = page.find_element(By.ID, "lab-pad")
    page.execute_script("document.getElementById('lab-pad').focus()")
    pad.send_keys(Keys.DELETE)
    assert sum(page.execute_script(STATE)["image"]) == 0 and "pad is empty" in text(page, "answer")
    pad.send_keys(Keys.SPACE, *[Keys.ARROW_DOWN] * 6, Keys.SPACE)
    settle(page)
    state = page.execute_script(STATE)
    assert sum(state["image"]) > 5 and state["digit"] is None
    assert "reads your drawing as" in text(page, "answer")
    assert not page.execute_script("return document.querySelector('#lab-shelf input:checked')")


@in_a_browser
def test_the_pointer_draws_and_the_drawing_is_made_like_mnist(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    page.find_element(By.ID, "lab-clear").click()
    pad = page.find_element(By.ID, "lab-pad")
    chain = ActionChains(page, duration=20).move_to_element_with_offset(pad, -100, -90).click_and_hold()
    chain.move_by_offset(50, 0).move_by_offset(-20, 60).release().perform()
    settle(page)
    image = np.array(page.execute_script(STATE)["image"]).reshape(28, 28)
    rows, columns = np.nonzero(image > 0.05)
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22, "not scaled into the box of 20 pixels"
    places = np.arange(28) + 0.5
    centre = (image.sum(1) @ places / image.sum(), image.sum(0) @ places / image.sum())
    assert centre == pytest.approx((14, 14), abs=0.2), "its centre of mass is not in the middle"
    assert np.allclose(np.round(255 * image), 255 * image, atol=1e-4), "not in 8 bits"
    page.find_element(By.ID, "lab-fit").click()
    raw = np.array(page.execute_script(STATE)["image"]).reshape(28, 28)
    assert raw[:14, :14].sum() > 0.95 * raw.sum(), "where it was drawn"


@in_a_browser
def test_a_line_that_is_drawn_while_the_page_computes_leaves_nothing_of_the_old_image(browser, address):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    browser.get_log("browser")
    browser.get(f"{address}/{PAGE}")  # and at once, while the path in c of the first digit is being computed:
    pad = browser.find_element(By.ID, "lab-pad")
    chain = ActionChains(browser, duration=60).move_to_element_with_offset(pad, -60, -60).click_and_hold()
    for step in (30, -20, 40, -30, 25):
        chain.move_by_offset(step, 20)
    chain.release().perform()
    settle(browser)
    edge, distortion = (
        float(text(browser, name).split("istortion ")[1].split(",")[0].rstrip("."))
        for name in ("price-words", "found-words")
    )
    assert edge == pytest.approx(distortion, rel=0.2)  # of one image: the edge of the penalty method lies above
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@in_a_browser
def test_a_cell_of_the_map_opens_five_pictures(page):
    from selenium.webdriver.common.by import By

    page.find_element(By.ID, "lab-run").click()
    settle(page)
    cells = page.find_elements(By.CSS_SELECTOR, "#lab-map-rows button")
    size = len(laboratory.NETWORKS)
    assert len(cells) == (size + 1) * size
    assert [cells[size * (i + 1) + i].text for i in range(size)] == ["100 %"] * size  # what they were made for
    page.execute_script("arguments[0].click()", cells[size + 1])
    assert len(page.find_elements(By.CSS_SELECTOR, "#lab-five canvas[role=img]")) == 5
    assert "Five of them are shown" in text(page, "map-words")


HEIGHTS = """
return [...document.querySelectorAll('.lab, .lab-answer, .lab-pictures, .lab-two, .lab-map, .lab-choices > *')]
    .map((one) => [one.id || one.className || one.querySelector('legend').textContent, one.offsetHeight]);
"""
CUT = """
return [...document.querySelectorAll('.lab, .lab *:not(.visually-hidden)')]
    .filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML);
"""


@in_a_browser
@pytest.mark.parametrize("width", [390, 1024, 1400])
def test_nothing_is_cut_and_nothing_jumps(browser, address, width):
    """Every part is as high before its script has run as afterwards, and no wider than its place."""
    from selenium.webdriver.support.ui import WebDriverWait

    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Network.enable", {})
    try:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/laboratory*.js"]})
        browser.get(f"{address}/{PAGE}")
        before = WebDriverWait(browser, 30).until(lambda page: page.execute_script(HEIGHTS))
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        browser.refresh()
        settle(browser)
        after = browser.execute_script(HEIGHTS)
        assert len(after) > 10 and [name for name, _ in before] == [name for name, _ in after]
        jumps = [(name, old, new) for (name, old), (_, new) in zip(before, after, strict=True) if abs(old - new) > 2]
        assert jumps == []
        assert browser.execute_script(CUT) == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@in_a_browser
def test_it_works_in_a_file_that_was_saved(browser):
    browser.get_log("browser")
    browser.get((test_site.SITE / PAGE).as_uri())
    settle(browser)
    assert "has distortion" in text(browser, "answer")
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@in_a_browser
def test_the_radius_says_a_picture_is_known_from_where_it_was_found(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    radius, target = page.find_element(By.ID, "lab-radius"), page.execute_script(STATE)["target"]
    assert f"a picture is known that is read as {target}" in text(page, "radius-words")  # it begins there
    radius.send_keys(Keys.ARROW_LEFT)
    assert f"no picture is known that is read as {target}" in text(page, "radius-words")
    radius.send_keys(Keys.HOME)
    assert f"it is proved that no picture is read as {target}" in text(page, "radius-words")
