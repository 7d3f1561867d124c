"""How good is the minimum? What was measured of every way to D(x, l), once, and what is computed again here and now."""

from __future__ import annotations

import copy
import functools
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.book import fingerprint, markdown, results
from intriguing.book.plots import NARROW, PALETTE, WIDTH, Figure, styled
from intriguing.book.results import Table
from intriguing.data import Images
from intriguing.models.training import predict

Found = Mapping[str, Sequence[Distortion]]
"""Name of the network -> what ``minimum_distortion`` found without ``refine``, and with it."""


TOLERANCES = {"penalty method": 4e-3, "projections": 4e-3, "ratio": 4e-3, "success": 0.0}
"""How far a rerun of ``table`` may lie from the stored one: trained weights differ a little between computers."""


LEFT_OUT = ("penalty-plain",)  # methods that the picture does not show


SLOWER = 1.5  # times as long as 100 steps of DDN that a search may take


SHARE = "{:.2%}"
"""How tables write a rate of success."""


ATTACKED = "images_where_an_attack_is_shorter"  # in what is told of a reference


LEVEL = 4000  # images from which on the time for one no longer grows with their number


@dataclass(frozen=True)
class Measured:
    """The stored measurements of time and memory, each as ``results.measured`` returns it.

    Attributes:
        peers: every method on the same images.
        floor: where the time of ours goes.
        growth: the search by projections on more and more images.
        large: photographs and a thousand classes.
        gpu: both of ours on a graphics processor.
        deep: the walk and its peers on a network with convolutions and on networks of photographs.
    """

    peers: dict[str, Any]
    floor: dict[str, Any]
    growth: dict[str, Any]
    large: dict[str, Any]
    gpu: dict[str, Any]
    deep: dict[str, Any]

    @property
    def kinds(self) -> dict[str, str]:
        """The networks on which the methods were compared -> what is called the minimum there."""
        return {
            # Where an attack went below the refinement, its perturbation is the reference of that image.
            about["model"]: "shortest any search found" if about.get(ATTACKED) else about["kind"]
            for about in self.peers["references"]
        }

    @property
    def methods(self) -> pd.DataFrame:
        """One row for each network, method and size of the batch; ``success`` is the smaller one of both precisions."""
        rows = pd.DataFrame(self.peers["rows"])
        rows["success"] = rows[["success_float32", "success_float64"]].min(axis=1)
        return rows

    @property
    def small(self) -> pd.DataFrame:
        """The rows of ``methods`` with the small batch, or with less where a method takes one image at a time."""
        rows = self.methods
        return rows[rows["batch"] <= self.peers["meta"]["small"]]

    @property
    def walks(self) -> pd.DataFrame:
        """One row for each deep network and method that ran; ``success`` is the smaller one of both precisions."""
        rows = pd.DataFrame(self.deep["rows"]).dropna(subset=["seconds"])
        rows["success"] = rows[["success_float32", "success_float64"]].min(axis=1)
        return rows

    @property
    def networks(self) -> list[dict[str, Any]]:
        """When each deep network was measured and under which load; one entry for all where that was not kept apart."""
        return [about for about in self.deep.get("references", []) if "load" in about] or [self.deep["meta"]]

    @property
    def grown(self) -> pd.DataFrame:
        """Time and memory by network and number of images."""
        rows = pd.DataFrame(self.growth["rows"])
        rows["ms per image"] = 1000 * rows["seconds_per_image"]
        shown = ["seconds", "ms per image", "growth", "peak_mib", "success"]
        titles = {"growth": "per image / smallest", "peak_mib": "peak memory, MiB"}
        return rows.set_index(["model", "images"])[shown].rename(columns=titles)

    @property
    def photographs(self) -> pd.DataFrame:
        """Both of our methods on photographs."""
        shown = ["images", "classes", "seconds_per_image", "mib_per_image", "success", "rms", "evaluations"]
        titles = {"seconds_per_image": "seconds per image", "mib_per_image": "MiB per image"}
        return pd.DataFrame(self.large["rows"]).set_index("method")[shown].rename(columns=titles)


def measured() -> Measured:
    """The measurements that are stored in the checkout.

    Raises:
        ResultError: one of them is missing or cannot be read.
    """
    names = ("peers", "floor", "growth", "large", "gpu")
    return Measured(*map(results.measured, names), results.measured("photographs", _all_rows))


def _all_rows(content: Mapping[str, Any]) -> float:
    """What one call of every method took: the file holds rows of several runs, and the time of the last alone."""
    return sum(row["batch"] * (row.get("wall_seconds") or 0) for row in content["rows"])


def machine(found: Measured) -> str:
    """The sentence on where and when the methods were compared.

    Args:
        found: what ``measured`` returns.

    Returns:
        The sentence.
    """
    meta = found.peers["meta"]
    hardware = meta["hardware"]
    return (
        f"Measured on {meta['created'][:10]}, {hardware['cpu']}, {hardware['threads']} thread of "
        f"{hardware['cores']} cores, torch {meta['versions']['torch']}, {meta['data']}, "
        f"batches of {meta['small']} and {meta['large']:,} images."
    )


def panels(found: Measured) -> dict[str, pd.DataFrame]:
    """What ``plane`` draws.

    Args:
        found: what ``measured`` returns.

    Returns:
        Title of the panel, which says what the minimum is -> the rows of one network with the small batch.
    """
    rows = found.small
    rows = rows[~rows["key"].isin(LEFT_OUT)]
    return {f"{name}: the minimum is the {kind}": rows[rows["model"] == name] for name, kind in found.kinds.items()}


def methods(found: Measured, model: str) -> Styler:
    """The methods on one network.

    Args:
        found: what ``measured`` returns.
        model: one of ``found.kinds``.

    Returns:
        The styled table, all sizes of the batch.
    """
    titles = {
        "method": "method",
        "batch": "batch",
        "success_float32": "success",
        "success_float64": "in float64",
        "ratio": "distortion / minimum",
        "seconds": "ms per image",
        "time_ratio": "time / DDN-100",
        "passes": "passes",
    }
    rows = found.methods
    frame = rows[rows["model"] == model][list(titles)].rename(columns=titles)
    frame["ms per image"] *= 1000
    formats = {"success": SHARE, "in float64": SHARE, "distortion / minimum": "{:.5f}", "passes": "{:.0f}"}
    shown = frame.style.hide(axis="index").format(precision=2, na_rep="–")
    return shown.format(formats, subset=list(formats), na_rep="–")


def findings(found: Measured) -> str:
    """What is worth reading off the comparison of the methods, as a list in Markdown, from the rows of ``small``.

    Args:
        found: what ``measured`` returns.

    Returns:
        Four entries: the penalty method in three implementations, the margin losses, the walk along the boundary with
        200 steps, and the search by projections.
    """
    rows = found.small.set_index(["key", "model"]).sort_index()
    names = list(found.kinds)

    def over(key: str, digits: int = 1) -> str:
        """How far above the minimum a method ends, network by network."""
        return " and ".join(f"{rows.at[(key, name), 'ratio'] - 1:.{digits}%}" for name in names)

    def span(column: str, keys: Sequence[str], form: str = "{:,.0f}") -> str:
        values = rows.loc[list(keys), column]
        low, high = form.format(values.min()), form.format(values.max())
        return low if low == high else f"{low} to {high}"

    def lost(keys: Sequence[str]) -> str:
        return span("lost", keys, "{:.0%}")

    rows["lost"] = 1 - rows["success"]
    rows["times ours"] = rows["time_ratio"] / rows["time_ratio"].xs("refined").reindex(rows.index, level="model")
    lower = [
        name for name in names if rows.at[("brendel-bethge-200", name), "ratio"] < rows.at[("refined", name), "ratio"]
    ]
    title = "In single precision, following the boundary ends lowest in the mean" + (
        "." if lower == names else f" on {' and '.join(lower)} alone." if lower else ", but for the projections."
    )
    cheaper = {name: _cheaper(rows.xs(name, level="model")) for name in names}
    first = [name for name in names if cheaper[name].empty]
    cost = " and cost least" if first == names else f", and on {' and '.join(first)} cost least" if first else ""
    beaten = "".join(
        f" Less time by the yardstick on {name}: "
        + "; ".join(
            f"{method.removeprefix('ours, ')} ({time:.2f}, {ratio - 1:.1%} above the minimum)"
            for method, time, ratio in less[["method", "time_ratio", "ratio"]].itertuples(index=False)
        )
        + "."
        for name, less in cheaper.items()
        if len(less)
    )
    shipped, margin, walk = ("cw-art", "cw-torchattacks"), ("cw-foolbox", "cw-cleverhans"), ("brendel-bethge-200",)
    return (
        f"* *The penalty method stays above the minimum, however it is minimised.* On {' and '.join(names)} our solver "
        f"ends {over('penalty')} above it, SciPy's loop {over('scipy')}, the package advertorch "
        f"{over('lbfgs-advertorch')}.\n"
        f"* *A margin loss gets close slowly.* Carlini and Wagner's attack ends {over('cw-foolbox', 2)} above the "
        f"minimum in foolbox and {over('cw-cleverhans', 2)} in cleverhans, after {span('passes', margin)} passes. With "
        f"the settings tried in ART and in torchattacks it ends far higher and misses {lost(shipped)} of the targets.\n"
        f"* *{title}* Brendel and Bethge's attack with 200 "
        f"steps ends {over(walk[0], 3)} above the minimum on the images that reach their target in single precision; "
        f"{lost(walk)} do not in both precisions, and it takes {span('times ours', walk)} times as long as the "
        "projections.\n"
        f"* *Projections succeed on every image{cost}.* They end {over('refined', 3)} above the minimum, "
        f"after {span('passes', ('refined',))} passes and {span('time_ratio', ('refined',), '{:.2f}')} of the time of "
        f"the yardstick.{beaten}"
    )


def _cheaper(rows: pd.DataFrame) -> pd.DataFrame:
    """The methods that cost less than the search by projections, by the yardstick that was timed in turn with each."""
    return rows[rows["time_ratio"] < rows.at["refined", "time_ratio"]]


def parts(found: Measured) -> Styler:
    """Where the time goes: its parts, the whole over the passes alone, and the passes with the products over them.

    Args:
        found: what ``measured`` returns.

    Returns:
        The styled table.
    """
    rows = pd.DataFrame(found.floor["rows"]).set_index(["model", "method"]).drop(columns=["images", "operations"])
    rows["seconds_per_image"] *= 1000
    titles = {"seconds_per_image": "ms per image", "above_floor": "whole / floor"}
    titles |= {"products_above_floor": "passes and products / floor"}
    frame = rows.rename(columns=titles)
    return frame.style.format("{:.0%}").format("{:.2f}", subset=list(titles.values()), na_rep="–")


def growth(found: Measured) -> Styler:
    """Time and memory from a thousand images to sixty thousand.

    Args:
        found: what ``measured`` returns.

    Returns:
        The styled table.
    """
    formats = {
        "seconds": "{:.1f}",
        "ms per image": "{:.2f}",
        "per image / smallest": "{:.2f}",
        "peak memory, MiB": "{:.0f}",
        "success": "{:.2%}",
    }
    return found.grown.style.format(formats)


def photographs(found: Measured) -> Styler:
    """Both of our methods on photographs of a thousand classes.

    Args:
        found: what ``measured`` returns.

    Returns:
        The styled table.
    """
    formats = {
        "seconds per image": "{:.0f}",
        "MiB per image": "{:.0f}",
        "success": SHARE,
        "rms": "{:.6f}",
        "evaluations": "{:.0f}",
    }
    return found.photographs.style.format(formats)


def photographs_line(found: Measured) -> str:
    """What the two methods cost on photographs, in a sentence of Markdown that says how many there were.

    Args:
        found: what ``measured`` returns.
    """
    rows = found.photographs
    fast = rows.loc["refine=True"]
    ratio = rows.loc["penalty method"] / fast
    return (
        f"On these {fast['images']:.0f} photographs the penalty method asked the network "
        f"{ratio['evaluations']:.1f} times as often as the search by projections and took "
        f"{ratio['seconds per image']:.0f} times as long; its perturbations are {ratio['rms'] - 1:.1%} longer."
    )


def deep_panels(found: Measured) -> dict[str, pd.DataFrame]:
    """What ``plane`` draws of the networks with convolutions.

    Args:
        found: what ``measured`` returns.

    Returns:
        Title of the panel -> the rows of one network.
    """
    rows = found.walks
    return {f"{name}: above the shortest found": part for name, part in rows.groupby("model", sort=False)}


def deep(found: Measured) -> Styler:
    """The methods on the networks with convolutions.

    Args:
        found: what ``measured`` returns.

    Returns:
        The styled table, by network and method.
    """
    titles = {
        "success": "success",
        "ratio": "distortion / shortest",
        "images_per_second": "images per second",
        "time_ratio": "time / DDN-100",
        "passes": "passes",
        "peak_mib": "memory, MiB",
    }
    frame = found.walks.set_index(["model", "method"])[list(titles)].rename(columns=titles)
    formats = {"success": SHARE, "distortion / shortest": "{:.4f}", "passes": "{:.0f}", "memory, MiB": "{:,.0f}"}
    shown = frame.style.format(precision=2, na_rep="–")
    return shown.format(formats, subset=list(formats), na_rep="–").format("{:.3g}", subset=["images per second"])


def deep_line(found: Measured) -> str:
    """How the networks with convolutions were measured, and what came out, in sentences of Markdown.

    Args:
        found: what ``measured`` returns.
    """
    meta, rows = found.deep["meta"], found.walks
    days = sorted({about["created"][:10] for about in found.networks})
    loads = sorted({f"{about['load']:.0f}" for about in found.networks}, key=int)
    walk, lead = _walk(rows), _lead(rows)
    plain, longer = (walk[walk["key"] == key] for key in ("walk", "walk-onward"))
    gained = 1 - longer["rms"] / plain["rms"]
    behind = [name for name, ratio in lead.items() if ratio >= 1]
    text = (
        f"Measured on {' to '.join(days[:: len(days) - 1 or 1])}, {meta['hardware']['cpu']}, one thread, in one "
        "process, method by method in turn, the photographs one by one and the digits in one batch, while "
        f"{' to '.join(loads[:: len(loads) - 1 or 1])} threads shared {meta['hardware']['cores']} cores, so that "
        f"ratios say more than seconds: {meta['images']} {meta['data']}, to become ostriches, and {meta['digits']}. "
        "The walk takes "
        f"{plain['time_ratio'].min():.2f} to {plain['time_ratio'].max():.2f} times as long as 100 steps of DDN, and "
        f"{longer['time_ratio'].min():.2f} to {longer['time_ratio'].max():.2f} times with steps that go on from its "
        f"end and take {gained.min():.1%} to {gained.max():.1%} off its length. "
    )
    if behind:
        text += f"On {', '.join(behind)} a peer that takes at most {SLOWER:g} times as long as that ends lower. "
    ahead = {name: ratio for name, ratio in lead.items() if ratio < 1}
    if ahead:
        least = math.floor(1000 * (1 - max(ahead.values())) + 1e-9) / 1000  # a bound is rounded downward
        text += (
            f"On {len(ahead)} of {len(lead)} networks it then ends lower than every peer that takes no longer than "
            f"{SLOWER:g} times that and succeeds on every image, by at least {least:.1%} of the "
            "best one's distortion. "
        )
    failed = [row for row in found.deep["rows"] if "failed" in row]
    names = sorted({f"{row['method']} on {row['model']} ({row['failed']})" for row in failed})
    return text + (f"Not measured: {'; '.join(names)}." if names else "")


def _walk(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the walk, with and without the steps that go on from its end, by network."""
    return rows[rows["key"].str.startswith("walk")].set_index("model")


def _lead(rows: pd.DataFrame) -> dict[str, float]:
    """Network -> distortion of the best walk over the least of other packages that succeed everywhere in such time."""
    others = rows[(rows["package"] != "intriguing") & (rows["success"] == 1) & (rows["time_ratio"] <= SLOWER)]
    best = others.groupby("model")["rms"].min()
    ours = _walk(rows).groupby(level="model", sort=False)["rms"].min()
    return {name: length / best.get(name, float("inf")) for name, length in ours.items()}


def graphics(found: Measured) -> Styler:
    """Both of our methods on a graphics processor, and on one thread of the other computer where that was timed.

    Args:
        found: what ``measured`` returns.

    Returns:
        The styled table.
    """
    titles = {
        "images_per_second": "images per second",
        "one thread": "the same on one thread",
        "success": "success",
        "rms": "distortion",
        "rms_float64": "in float64",
        "above_floor": "whole / floor",
    }
    rows = pd.DataFrame(found.gpu["speed"]).set_index(["model", "method"])
    processor = pd.DataFrame(found.floor["rows"]).set_index(["model", "method"])
    rows["one thread"] = (1 / processor["seconds_per_image"]).reindex(rows.index)
    formats = dict.fromkeys(("images per second", "the same on one thread"), "{:,.0f}")
    formats |= {"success": SHARE, "distortion": "{:.5f}", "in float64": "{:.5f}", "whole / floor": "{:.1f}"}
    return rows[list(titles)].rename(columns=titles).style.format(formats, na_rep="–")


def graphics_line(found: Measured) -> str:
    """On which graphics processor this was measured, what was checked there, and what was not run, in Markdown.

    Args:
        found: what ``measured`` returns.
    """
    meta, rows = found.gpu["meta"], found.gpu["speed"]
    hardware, checks = meta["hardware"], found.gpu["checks"]
    counts = {row["images"] for row in rows}
    failed = [row for row in checks if not row["passed"]]
    text = (
        f"Measured on {meta['created'][:10]} on one {hardware['gpu']} ({hardware['gpu_memory_gib']:.0f} GiB, CUDA "
        f"{hardware['cuda']}, torch {hardware['torch']}, {hardware['cpu']}, {hardware['cores']} cores), "
        f"{meta['data']}, {' or '.join(f'{count:,}' for count in sorted(counts))} test images at a time. "
        f"{len(checks) - len(failed)} of {len(checks)} checks passed that compare the device with the processor: where "
        "the searches end, exact optima, bounds, kept chunks, the same bits twice."
    )
    for row in failed:
        text += f" Not passed: *{row['says'].rstrip('.')}* ({_why(row['problem'])})."
    left = [name for name, about in found.gpu["parts"].items() if "not_run" in about]
    return text + (f" Not run there for want of time: {', '.join(left)}." if left else "")


def _why(problem: Sequence[str]) -> str:
    """Why a check did not pass; two lengths that differ, with their relative difference: that is what checks limit."""
    text = " ".join(" ".join(problem).split())
    pair = re.search(r"Expected ([\d.e+-]+) but got ([\d.e+-]+)\.", text)
    if pair is None:
        return text
    expected, got = map(float, pair.groups())
    return f"expected {expected:.5f}, got {got:.5f}, a difference of {got / expected - 1:+.1%}"


def table(found: Found, data: str) -> Table:
    """The mean distortion of both searches.

    Args:
        found: both searches, for the same images and targets.
        data: the name of the images.

    Returns:
        A ``Table`` named ``minimum``: per network both means, the first over the second, and the share of the images
        for which the search by projections succeeded.
    """
    rows = {
        name: [
            float(penalty.rms.mean()),
            float(nearest.rms.mean()),
            float(penalty.rms.mean() / nearest.rms.mean()),
            float(nearest.success.double().mean()),
        ]
        for name, (penalty, nearest) in found.items()
    }
    return Table("minimum", list(TOLERANCES), rows, {"data": data})


def both_means(found: Found, models: Mapping[str, nn.Module], images: Images) -> str:
    """The mean distortion of the search by projections over three populations of images, as a table in Markdown.

    Args:
        found: both searches, for the same images and targets.
        models: name -> the network that was searched.
        images: the clean images.

    Returns:
        For each network the share of images that are their target already, and the means over all images, over those
        that had to be moved and over those that the network reads correctly, which the paper speaks of.
    """
    rows = []
    for name, (_, nearest) in found.items():
        sizes, right = nearest.rms.cpu(), predict(models[name], images.images) == images.labels
        moved = sizes > 0
        means = [f"{float(sizes[which].mean()):.4f}" for which in (moved | True, moved, right)]
        rows.append([name, f"{1 - float(moved.double().mean()):.1%}", *means])
    return markdown.words(
        ["network", "target already", "all images", "images that moved", "correctly read images"], rows
    )


def excess(found: Found) -> dict[str, Tensor]:
    """How much longer the penalty method's perturbation is, image by image.

    Args:
        found: both searches, for the same images and targets.

    Returns:
        Name -> penalty method over projections, for the images that are not their target already.
    """
    return {name: (one.rms / other.rms)[other.rms > 0] for name, (one, other) in found.items()}


def double(models: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The same networks in double precision, on the CPU.

    Args:
        models: name -> network, left as it is.

    Returns:
        Name -> copy.
    """
    return {name: copy.deepcopy(model).cpu().double() for name, model in models.items()}


def claims(measurements: Measured, found: Found, models: Mapping[str, nn.Module], targets: Tensor) -> dict[str, bool]:
    """What is claimed of the search, and whether it came out so.

    Args:
        measurements: what ``measured`` returns.
        found: both searches, for the same images and targets.
        models: name -> the network that was searched.
        targets: (N,) long, the targets of that search.

    Returns:
        The claim, a sentence -> whether it holds.
    """
    peers, floor, growth, large = measurements.peers, measurements.floor, measurements.growth, measurements.large
    rows, small, grown = measurements.methods, measurements.small, measurements.grown
    names = list(measurements.kinds)
    ours = small[small["key"] == "refined"].set_index("model")
    refined = rows[(rows["batch"] == peers["meta"]["large"]) & (rows["key"] == "refined")].set_index("model")
    scipy = rows[rows["key"] == "scipy"].set_index("model")
    others = small[~small["method"].str.startswith("ours")].dropna(subset=["ratio"])
    lowest = others[others["success"] == 1].groupby("model")["ratio"].min()
    walks = small[small["key"] == "brendel-bethge-200"].set_index("model")
    margins = small[small["key"].isin(["cw-foolbox", "cw-cleverhans"])]
    many = grown[grown.index.get_level_values("images") >= LEVEL].groupby("model")["ms per image"]
    precise = double(models)
    return {
        "The code of the engine is the code that was timed": fingerprint.of(minimum_distortion)
        == peers["meta"]["engine"]
        == floor["meta"]["engine"]
        == growth["meta"]["engine"]
        == large["meta"]["engine"],
        "The search by projections ends within 0.2 % of the minimum": bool(
            (ours["ratio"] < 1.002).all() and (refined["ratio"] < 1.002).all()
        ),
        "It succeeds on every image, in single and in double precision": bool(
            (ours["success"] == 1).all() and (refined["success"] == 1).all()
        ),
        "On 2,000 images it takes no longer than 100 steps of DDN": bool((refined["time_ratio"] <= 1).all()),
        "No other method is cheaper on 100 images": all(
            _cheaper(small[small["model"] == name].set_index("key")).empty for name in names
        ),
        "No other method that succeeds on every image ends lower by more than 0.02 %": all(
            ours["ratio"][name] < lowest[name] + 2e-4 for name in names
        ),
        "In single precision a walk along the boundary ends lower in the mean over all images, and in double it loses "
        "some": all(
            # Where both succeed on all images, the difference of the means is the mean of the differences.
            walks.at[name, "success_float32"] == ours["success_float32"][name] == 1
            and walks.at[name, "rms"] < ours["rms"][name]
            and walks.at[name, "success_float64"] < 1
            for name in names
        ),
        "Carlini and Wagner's attack comes within half a percent in foolbox and cleverhans, after thousands of "
        "passes": bool((margins["ratio"] < 1.005).all() and (margins["passes"] > 1000).all()),
        "A loop over images with SciPy takes more than 100 times as long as projections of 2,000 images do": bool(
            (scipy["seconds"] / refined["seconds"] > 100).all()
        ),
        "Sixty thousand images need less than 2 GB": bool((grown["peak memory, MiB"] * 2**20 < 2e9).all()),
        "From 4,000 to 60,000 images the time for one stays the same to a quarter": bool(
            (many.max() / many.min() < 1.25).all()
        ),
        "On photographs with a thousand classes both methods succeed": bool(
            (measurements.photographs["success"] == 1).all()
        ),
        "On a graphics processor every image reaches its target, in both precisions": all(
            row["success"] == row.get("success_float64", 1) == 1 for row in measurements.gpu["speed"]
        ),
        "On networks with convolutions the walk takes at most half as long again as 100 steps of DDN": bool(
            (_walk(measurements.walks)["time_ratio"] <= SLOWER).all()
        ),
        "There it ends lower than every other package that takes no longer than that and succeeds on every image": all(
            ratio < 1 for ratio in _lead(measurements.walks).values()
        ),
        "Here and now every image reaches its target in double precision": all(
            bool((precise[name](nearest.images.double().cpu()).argmax(1) == targets.cpu()).all())
            for name, (_, nearest) in found.items()
        ),
    }


NEAREST = 2e-6
"""Excess over the minimum below which points are drawn on the lowest line: it is of the order of rounding."""

HIGHEST = 6
"""The largest excess over the minimum that is drawn: what lies beyond is named as such in the list."""

NUMBERS = np.array([(0, 8.5), (0, -8.5), (8.5, 0), (-8.5, 0), (7, 7), (-7, 7)])
"""Where the number of a point may stand, in typographic points from it, the best place first."""


@styled
def plane(panels: Mapping[str, pd.DataFrame], ours: str = "ours", *, width: float = WIDTH) -> Figure:
    """Cost against distortion, both on logarithmic axes: the further left and the lower, the better.

    Args:
        panels: Title -> a frame with one row per method and the columns ``method`` (its name), ``seconds`` (per
            image), ``ratio`` (mean distortion over the smallest known, at least about 1) and ``success`` (a
            fraction). Rows with NaN are left out.
        ours: Methods whose name begins like this are diamonds, the others circles.
        width: In inches; where it is less than a full one, the list stands below its panel.

    Returns:
        The figure, one panel below the other. Methods are numbered in the order of their cost in the first panel and
        named in a list beside it, each panel its own. What has failures is open and in vermilion, of the rest ours are
        blue. Grey is where a method would cost less than the cheapest of ours.

    Raises:
        ValueError: There is no panel.
    """
    if not panels:
        raise ValueError("got no panel; expected at least one.")
    panels = {title: frame.dropna(subset=["seconds", "ratio"]) for title, frame in panels.items()}
    every = pd.concat(panels.values()).groupby("method", sort=False)["seconds"].first().sort_values()
    numbers = {method: i + 1 for i, method in enumerate(every.index)}
    if narrow := width < WIDTH:
        listed = 0.17 * len(numbers)
        figure = Figure(figsize=(width, (3.1 + listed) * len(panels)))
        grid = figure.subplots(2 * len(panels), 1, height_ratios=(3.1, listed) * len(panels)).reshape(-1, 2)
    else:
        figure = Figure(figsize=(width, 3.1 * len(panels)))
        grid = figure.subplots(len(panels), 2, squeeze=False, width_ratios=(2.4, 1))
    for (axes, beside), (title, frame) in zip(grid, panels.items(), strict=True):
        excess = (frame["ratio"] - 1).clip(lower=NEAREST)
        own = frame["method"].str.startswith(ours)
        if own.any():  # what a better method would have to reach
            axes.axvspan(1e-9, frame["seconds"][own].min(), color="#f4f4f4", zorder=0)
        drawn = frame.assign(excess=excess, own=own)[excess <= HIGHEST]
        points = []
        for row in drawn.itertuples():
            colour = _colour(row.method, ours) if row.success >= 1 else PALETTE["vermilion"]
            points += axes.plot(
                row.seconds, row.excess, "D" if row.own else "o", color=colour, markersize=6.5 if row.own else 4.5,
                markerfacecolor=colour if row.success >= 1 else "white",
            )  # fmt: skip
        title = textwrap.fill(title, 42) if narrow else title
        axes.set(xscale="log", yscale="log", title=title, ylabel="mean excess over the smallest known")
        least, most = frame["seconds"].min() / 2, frame["seconds"].max() * 2
        axes.set_xlim(least, most)
        if most < 100 * least:  # where powers of ten alone might leave a single number
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(NEAREST / 1.6, 3 * HIGHEST)  # room for the number of a point up there
        ticks = [NEAREST, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        axes.set_yticks(ticks, ["0", "0.001 %", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
        axes.minorticks_off()
        axes.grid(axis="y")
        offsets = _offsets(axes, drawn[["seconds", "excess"]].to_numpy())
        for row, point, offset in zip(drawn.itertuples(), points, offsets, strict=True):
            axes.annotate(
                str(numbers[row.method]), (row.seconds, row.excess), xytext=offset, textcoords="offset points",
                ha="center", va="center", fontsize=7.5, color=point.get_color(),
                fontweight="bold" if row.own else "normal",
            )  # fmt: skip
        beside.axis("off")
        shown = [method for method in numbers if (frame["method"] == method).any()]
        for place, method in enumerate(shown):
            mine = frame[frame["method"] == method].iloc[0]
            failing = "" if mine["success"] >= 1 else f" ({mine['success']:.0%})"
            beyond = "" if mine["ratio"] - 1 <= HIGHEST else ", above the panel"
            beside.text(
                0, 1 - place / len(numbers), f"{numbers[method]}  {method}{failing}{beyond}", va="top",
                fontsize=7.5, color=PALETTE["vermilion"] if failing else _colour(method, ours),
                fontweight="bold" if method.startswith(ours) else "normal", transform=beside.transAxes,
            )  # fmt: skip
        if narrow or axes is grid[-1, 0]:
            axes.set_xlabel("CPU seconds per image, one thread")
    if not narrow:
        figure.redraw = functools.partial(plane, panels, ours, width=NARROW)
    return figure


def _offsets(axes: Axes, points: np.ndarray) -> list[np.ndarray]:
    """Where the number of each point stands, in typographic points from it: above, or where nothing else stands.

    Args:
        axes: with its final limits.
        points: (n, 2) in the data's units.
    """
    taken = list(axes.transData.transform(points) * 72 / axes.figure.dpi)
    offsets = []
    for place in taken[: len(points)]:
        # How far the nearest other thing is; the first of the places that are free, or else the emptiest.
        room = [min(math.dist(place + offset, other) for other in taken) for offset in NUMBERS]
        best = next((at for at, size in enumerate(room) if size >= 7.5), int(np.argmax(room)))
        offsets.append(NUMBERS[best])
        taken.append(place + NUMBERS[best])
    return offsets


def _colour(method: str, ours: str) -> str:
    return PALETTE["blue"] if method.startswith(ours) else PALETTE["black"]
