"""How rare and how dense adversarial images are: what the chapter measures of every network, kept on disk once made."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from scipy import stats
from torch import Tensor, nn

from intriguing.attack.boundary import (
    MARGIN,
    aligned_frames,
    exit_along,
    nearest_exit,
    random_frames,
)
from intriguing.attack.distortion import distortion_to_all
from intriguing.book import cache, fingerprint
from intriguing.book.results import Table
from intriguing.book.tables import median
from intriguing.chapters.density.exits import TURNS, at_right_angles, linear, shortest, walked
from intriguing.chapters.density.natural import Company
from intriguing.chapters.density.noise import error_counts, half_space, interval, linear_bracket, tilted
from intriguing.data import Images
from intriguing.lipschitz.network import lipschitz_bound
from intriguing.models.recipes import Standardize
from intriguing.models.training import predict

PIXELS = 784
CONVOLUTIONAL_NETWORK = "ConvNet"
KNOWN = {Standardize: lambda layer, size: 1 / layer.std}
SLOW = {CONVOLUTIONAL_NETWORK: 5}  # networks that are so many times more expensive get a smaller sample and fewer draws
MULTIPLES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)  # radii of the noise over the adversarial distance
COUNTED = 4  # the first multiple at which it is worth counting
EPSILONS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5)
ALIGNED = (1, 2, 4, 9, 16, 25, 36, 49, 64, 100)  # sizes of the aligned frames; mostly squares: a plane needs the root
SUBSPACES = (3, 10, 30, 100, 300)  # dimensions of random subspaces
LINES = 10  # random lines through every image
ORTHOGONAL = 20  # exits at right angles looked for
COUNTING = {"FC10(1e-4)": 1, "FC100-100-10": 1, "ConvNet": 1000}  # networks whose errors are counted, draws over this
KINDS = ("boxed", "free")  # exits that stay in the box, and those that may leave it
WIDE = (-9.0, 10.0)  # a box so wide that no exit reaches its walls
RIVALS = 4  # rivals followed where a network is not linear and the search is repeated many times


@dataclass(frozen=True)
class Sizes:
    """How much the chapter looks at, beside the sample itself.

    Attributes:
        closer: images of the sample that are looked at in many directions and under noise.
        slow: how many of these a network of ``SLOW`` gets, for the searches in many directions.
        draws: tilted draws per image and radius.
        misread: misread test images whose distance to the boundary is searched, at most.
    """

    closer: int
    slow: int
    draws: int
    misread: int


SIZES = {
    "quick": Sizes(closer=3, slow=1, draws=1000, misread=100),
    "paper": Sizes(closer=30, slow=30, draws=4000, misread=10_000),  # all of them,
}
"""The sizes by profile."""

TOLERANCES = {"density_near": 0.1, "density_lines": 0.5, "density_dimensions": 10.0, "density_rates": 3.0}
"""How far a rerun may lie from the stored tables, chosen wide and not measured over seeds: fractions of a small sample
move by several images when training ends in other weights; decimal logarithms of probabilities near 1e-172 by a few
where the estimate rests on few draws."""

CONVOLUTIONAL = {"density_near": 0.45, "density_lines": 0.5, "density_dimensions": 10.0, "density_rates": 9.0}
"""The same for the convolutional network, of which a fifth of the quick sample is searched, five images: two of
them may change sides."""

MOVED = 6.0  # by so much may the number of images behind an entry differ in a rerun
KINDS_AT = (8.0, 16.0)  # those of ``MULTIPLES`` at which kinds of noise are compared
SHOWN = (1, 2, 4, 8, 16)  # those of ``MULTIPLES`` at which probabilities are listed
SEEN = 10  # errors below which a count is not set against an estimate
ENOUGH = 3.0  # effective draws below which an estimate of a probability is none
LUCK = 0.95  # probability that all comparisons of a check stay below the limit, if nothing but luck parts the two
RANDOM_SETS = 150  # sets of random vectors beside the normals of a network; with seven networks one in twenty at most
# would lie below all of its sets by luck

FORMATS = {
    "images": "{:.0f}",
    "images, lines": "{:.0f}",
    "images, spaces": "{:.0f}",
    "images, ways": "{:.0f}",
    "images, normals": "{:.0f}",
    "test images": "{:,.0f}",
    "misread": "{:.1%}",
    "searched": "{:.0f}",
    "median distance, misread": "{:.3f}",
    "median distance, right": "{:.3f}",
    "misread within 0.02": "{:.2%}",
    "way out to own class": "{:.0%}",
    "with a twin": "{:,.0f}",
    "digits with twins": "{:.0f}",
    "of these misread": "{:.0f}",
    "at most": "{:.1%}",
    **{f"{kind}, {which} ratio": "{:.4f}" for kind in KINDS for which in ("smallest", "median", "largest")},
    "error": "{:.1%}",
    "median distance": "{:.3f}",
    "largest": "{:.3f}",
    "within 0.02": "{:.0%}",
    "within 0.05": "{:.0%}",
    "within 0.1": "{:.0%}",
    "certain ball": "{:.1e}",
    "lines that leave": "{:.1%}",
    "right angles, 2×": "{:g}",
    "right angles, 3×": "{:g}",
    "aligned, 2.1×": "{:g}",
    "aligned, 3.15×": "{:g}",
    "aligned, 5.25×": "{:g}",
    "normals, 90 %": "{:.0f}",
    "as many random, 90 %": "{:.0f}",
}
"""How the columns of this chapter's tables are written; those that are missing here have two decimals."""


@dataclass(frozen=True)
class Study:
    """What is measured around test images, by name of the network; ``noise_curve`` and ``penalty_check`` stand apart.

    Attributes:
        around: what ``surroundings`` returns.
        inside: what ``dimensions`` returns.
        rates: what ``rates`` returns.
        few: the images of the last two, read rightly by every network.
    """

    around: dict[str, dict[str, Tensor]]
    inside: dict[str, dict[str, Tensor]]
    rates: dict[str, dict[str, Tensor]]
    few: Images


def study(models: Mapping[str, nn.Module], images: Images, *, samples: int, sizes: Sizes) -> Study:
    """What the chapter measures of a few networks around test images: the parts of ``Study``.

    Args:
        models: name -> network in evaluation mode.
        images: a random sample of test images; the first of them that every network reads rightly are looked at closer.
        samples: random perturbations counted per image and radius, for the networks of ``COUNTING``.
        sizes: how many images that are, and how many tilted draws.
    """
    right = torch.stack([predict(model, images.images) == images.labels for model in models.values()]).all(0)
    few = images.take(right.nonzero()[: sizes.closer, 0])
    around, inside, found = {}, {}, {}
    for name, model in models.items():
        around[name] = surroundings(name, model, images)
        inside[name] = dimensions(name, model, closer(name, few, sizes))
        counted = samples // COUNTING[name] if name in COUNTING else 0
        found[name] = rates(name, model, few, counted, sizes.draws // SLOW.get(name, 1))
    return Study(around, inside, found, few)


def closer(name: str, few: Images, sizes: Sizes) -> Images:
    """The images in whose surroundings a network is searched in many directions.

    Args:
        name: of the network.
        few: those of ``Study``.
        sizes: how many a slow network gets.
    """
    return few.take(slice(sizes.slow)) if name in SLOW else few


def surroundings(name: str, model: nn.Module, images: Images) -> dict[str, Tensor]:
    """What lies around each image of a sample: distances to the boundary, nearest and at random, boxed and free.

    Args:
        name: of the network.
        model: in evaluation mode.
        images: the sample; a slow network gets the first part of it.

    Returns:
        ``right`` (N,) bool, read rightly; ``boxed`` and ``free`` (N,) rms of the nearest exit, zero where wrong;
        ``normals`` (N, n) of the boundary there; and for the M read rightly: ``lines`` (M, LINES, 2) rms along both
        senses of random lines; ``ball`` (M,) rms of a ball that certainly holds no other class.
    """
    images = images.take(slice(len(images) // SLOW.get(name, 1)))

    def make() -> dict[str, Tensor]:
        pixels, labels = images.images, images.labels
        right = predict(model, pixels) == labels
        boxed = shortest(model, pixels, labels, box=True, rivals=RIVALS)
        free = shortest(model, pixels, labels, rivals=RIVALS)
        clean, given = pixels[right], labels[right]
        rays = random_frames(1, LINES, PIXELS)[0]
        rays = torch.stack([rays, -rays], 1).flatten(0, 1).expand(len(clean), -1, -1)
        along = exit_along(model, clean, given, rays, free.rms[right])
        with torch.no_grad():
            logits = torch.cat([model(part) for part in clean.split(500)]).double()
        lead = logits.gather(1, given[:, None])[:, 0] - logits.scatter(1, given[:, None], -torch.inf).amax(1)
        return {
            "right": right,
            "boxed": boxed.rms,
            "free": free.rms,
            "normals": free.normals.float(),
            "lines": along.unflatten(1, (LINES, 2)),
            "ball": lead / lipschitz_bound(model, known=KNOWN) / PIXELS**0.5,
        }

    return _kept(f"density-surroundings-{name}", model, images, make, surroundings)


def dimensions(name: str, model: nn.Module, images: Images) -> dict[str, Tensor]:
    """In how many directions one can leave: exits at right angles, aligned frames, random subspaces.

    Args:
        name: of the network.
        model: in evaluation mode.
        images: read rightly by the network.

    Returns:
        All as multiples of the nearest exit that any of the searches at right angles found: ``orthogonal`` (N, K) of
        the K nearest exits at right angles; ``aligned`` (N, A), the radius at which all directions of an aligned frame
        have left, by its size; ``subspaces`` (N, S), nearest exit inside a random subspace, by its dimension.
    """

    def make() -> dict[str, Tensor]:
        pixels, labels = images.images, images.labels
        orthogonal, basis = at_right_angles(model, pixels, labels, ORTHOGONAL)
        unit = orthogonal[:, :1]
        aligned = [
            exit_along(
                model,
                pixels,
                labels,
                aligned_frames(basis[:, 0], size),
                orthogonal[:, 0],
                growth=1.25,
            ).amax(1)
            for size in ALIGNED
        ]
        subspaces = [
            shortest(
                model, pixels, labels, within=frame.expand(len(pixels), -1, -1), rivals=RIVALS, turns=TURNS[-1:]
            ).rms
            for frame in (random_frames(1, size, PIXELS) for size in SUBSPACES)
        ]
        return {
            "orthogonal": orthogonal / unit,
            "aligned": torch.stack(aligned, 1) / unit,
            "subspaces": torch.stack(subspaces, 1) / unit,
        }

    return _kept(f"density-dimensions-{name}", model, images, make, dimensions)


def rates(
    name: str, model: nn.Module, images: Images, samples: int, draws: int, *, counted: int = 3
) -> dict[str, Tensor]:
    """Probability of an error against the radius of the noise, for images that the network reads rightly.

    Args:
        name: of the network.
        model: in evaluation mode.
        images: read rightly by the network.
        samples: draws counted per image and radius, for Gaussian noise that is not cut; a tenth of it for the
            others. Zero counts nothing.
        draws: tilted draws per image and radius.
        counted: how many of the images are counted, the first ones.

    Returns:
        ``distance`` (N,) rms of the free nearest exit; ``radii`` (N, R), ``MULTIPLES`` of it; ``log10``, ``relative``
        and ``effective`` (N, R) of the tilted estimate; ``bracket`` (2, N, R), which holds the truth for a linear
        network, and for the others what planes at the nearest exits would give; and, counted at the radii from
        ``COUNTED`` on, ``gaussian``, ``sphere`` and ``clipped``.
    """

    def make() -> dict[str, Tensor]:
        pixels, labels = images.images, images.labels
        exits = shortest(model, pixels, labels)
        radii = exits.rms[:, None] * torch.tensor(MULTIPLES)
        found = tilted(model, pixels, labels, radii, exits.each, draws)
        planes = exits.each.norm(dim=2) / (1 + MARGIN)  # an exit lies that much beyond its plane
        distances = (planes / PIXELS**0.5).nan_to_num(torch.inf)
        counts = {}
        for kind, options in _COUNTS.items():
            number = samples if kind == "gaussian" else samples // 10
            if number:
                part = slice(counted)
                counts[kind] = error_counts(model, pixels[part], labels[part], radii[part, COUNTED:], number, **options)
        return {
            "distance": exits.rms,
            "radii": radii,
            "log10": found.log10,
            "relative": found.relative_error,
            "effective": found.effective,
            "bracket": torch.stack(linear_bracket(distances, radii, PIXELS)),
            **counts,
        }

    sizes = {"samples": samples, "draws": draws, "counted": counted}
    return _kept(f"density-rates-{name}", model, images, make, rates, sizes)


_COUNTS = {
    "gaussian": {"kind": "gaussian"},
    "sphere": {"kind": "sphere"},
    "clipped": {"kind": "gaussian", "clip": True},
}


def noise_curve(name: str, model: nn.Module, images: Images, *, draws: int = 5) -> dict[str, Tensor]:
    """The error of a network under noise on spheres of the radii ``EPSILONS``, over many images.

    Args:
        name: of the network.
        model: in evaluation mode.
        images: the sample.
        draws: perturbations per image and radius.

    Returns:
        ``free`` and ``clipped`` (E,) fractions, the second with images cut back to [0, 1]; ``more`` (N,), by how much
        the fraction of each image is larger with it cut back, at the largest radius.
    """
    images = images.take(slice(len(images) // SLOW.get(name, 1)))

    def make() -> dict[str, Tensor]:
        wrong = {}
        for clip in (False, True):
            errors = torch.zeros(len(EPSILONS), len(images), dtype=torch.float64)
            for draw in range(draws):
                generator = torch.Generator().manual_seed(draw)
                noise = torch.randn(images.images.shape, generator=generator)
                noise /= noise.flatten(1).square().mean(1).sqrt()[:, None, None, None]
                for i, radius in enumerate(EPSILONS):
                    noisy = images.images + radius * noise
                    errors[i] += (predict(model, noisy.clamp(0, 1) if clip else noisy) != images.labels).double()
            wrong["clipped" if clip else "free"] = errors / draws
        return {kind: each.mean(1) for kind, each in wrong.items()} | {"more": wrong["clipped"][-1] - wrong["free"][-1]}

    return _kept(f"density-noise-{name}", model, images, make, noise_curve, {"draws": draws})


def penalty_check(name: str, model: nn.Module, images: Images) -> dict[str, Tensor]:
    """The nearest of nine targets by the refined search, beside the shortest exit, in the box and out of it.

    Args:
        name: of the network.
        model: in evaluation mode.
        images: a few.

    Returns:
        For each of ``KINDS`` ``nearest`` (N, 2), rms of the nearest of the nine, in a box too wide to matter for the
        free ones; ``exit`` (N, 2), rms of the shortest exit; ``projections`` (N, 2), that of the nearest one before
        walks go on.
    """

    def make() -> dict[str, Tensor]:
        pixels, labels = images.images, images.labels
        found: dict[str, list[Tensor]] = {"nearest": [], "exit": [], "projections": []}
        for box, bounds in ((True, (0.0, 1.0)), (False, WIDE)):
            other = distortion_to_all(model, pixels, labels, refine=True, bounds=bounds)
            first = nearest_exit(model, pixels, labels, box=box)
            last = first if linear(model) else walked(model, pixels, labels, first, box=box)
            found["nearest"].append(torch.where(other.success, other.rms, torch.inf).amin(1))
            found["exit"].append(last.rms)
            found["projections"].append(first.rms)
        return {what: torch.stack(columns, 1) for what, columns in found.items()}

    return _kept(f"density-check-{name}", model, images, make, penalty_check)


def near_table(around: Mapping[str, dict[str, Tensor]], data: str) -> Table:
    """How near: the boxed adversarial distance over a sample.

    Args:
        around: name -> what ``surroundings`` returns.
        data: what the images are.

    Returns:
        A ``Table`` named ``density_near``. The median and the largest distance, and the median radius of the ball that
        certainly holds no other class, are those of the images that the network reads rightly. In the shares within a
        radius all images count, those that it reads wrongly with distance zero.
    """
    rows = {}
    for name, one in around.items():
        right = one["right"]
        boxed = one["boxed"]
        rows[name] = [
            len(right),
            float((~right).double().mean()),
            float(median(boxed[right])),
            float(boxed[right].max()),
            *(float((boxed <= limit).double().mean()) for limit in (0.02, 0.05, 0.1)),
            float(median(one["ball"])),
        ]
    columns = [
        "images",
        "error",
        "median distance",
        "largest",
        "within 0.02",
        "within 0.05",
        "within 0.1",
        "certain ball",
    ]
    return Table("density_near", columns, _without_infinities(rows), {"data": data})


def lines_table(around: Mapping[str, dict[str, Tensor]], inside: Mapping[str, dict[str, Tensor]], data: str) -> Table:
    """Random ways against the nearest: medians of the ratio over sqrt(n), or over sqrt(n / m) in m dimensions.

    Args:
        around: name -> what ``surroundings`` returns.
        inside: name -> what ``dimensions`` returns.
        data: what the images are.
    """
    rows = {}
    for name, one in around.items():
        free = one["free"][one["right"]]
        ratio = (one["lines"].amin(2) / free[:, None]).flatten()
        columns = [SUBSPACES.index(size) for size in (10, 100)]
        roots = [(PIXELS / size) ** 0.5 for size in (10, 100)]
        spaces = inside[name]["subspaces"]
        rows[name] = [
            len(free),
            float(median(one["boxed"][one["right"]] / free)),
            float(median(ratio) / PIXELS**0.5),
            float(ratio.isfinite().double().mean()),
            len(spaces),
            *(float(median(spaces[:, i]) / root) for i, root in zip(columns, roots, strict=True)),
        ]
    names = ["images, lines", "boxed / free", "random line / √n", "lines that leave"]
    names += ["images, spaces", "10 dimensions / √(n/10)", "100 / √(n/100)"]
    return Table("density_lines", names, _without_infinities(rows), {"data": data})


def dimensions_table(
    around: Mapping[str, dict[str, Tensor]], inside: Mapping[str, dict[str, Tensor]], data: str
) -> Table:
    """How many directions lead out: medians over images, and the dimension of the boundary's normals.

    Args:
        around: name -> what ``surroundings`` returns.
        inside: name -> what ``dimensions`` returns.
        data: what the images are.

    Returns:
        A ``Table`` named ``density_dimensions``. Its last two columns hold the singular directions with 90 % of the
        energy of the normals, and the fewest that hold as much in ``RANDOM_SETS`` sets of as many random vectors.
    """
    rows = {}
    for name, one in inside.items():
        sizes = torch.tensor(ALIGNED)
        normals = around[name]["normals"][around[name]["right"]]
        rows[name] = [
            len(one["orthogonal"]),
            *(float(median((one["orthogonal"] <= limit).sum(1).double())) for limit in (2, 3)),
            *(
                float(median(torch.where(one["aligned"] <= limit, sizes, 0).amax(1).double()))
                for limit in (2.1, 3.15, 5.25)  # on a plane k directions leave at sqrt(k); a bent one may need 5 % more
            ),
            (count := len(spectrum(normals))),
            float(effective_dimension(spectrum(normals))),
            float(min(map(effective_dimension, random_spectra(count)))),
        ]
    columns = [
        "images, ways",
        "right angles, 2×",
        "right angles, 3×",
        "aligned, 2.1×",
        "aligned, 3.15×",
        "aligned, 5.25×",
        "images, normals",
        "normals, 90 %",
        "as many random, 90 %",
    ]
    return Table("density_dimensions", columns, _without_infinities(rows), {"data": data})


def rates_table(found: Mapping[str, dict[str, Tensor]], data: str) -> Table:
    """How rare: medians over images of log10 of the probability that noise of some radius makes an error.

    Args:
        found: name -> what ``rates`` returns.
        data: what the images are.

    Returns:
        A ``Table`` named ``density_rates``; an entry is empty where the estimate rests on fewer than ``ENOUGH``
        effective draws in the median, or where no error was met.
    """
    rows = {}
    chosen = [MULTIPLES.index(float(multiple)) for multiple in SHOWN]
    for name, one in found.items():
        enough = median(one["effective"][:, chosen]) >= ENOUGH
        middle = torch.where(enough, median(one["log10"][:, chosen].double()), torch.nan)
        rows[name] = [len(one["log10"]), *middle.tolist()]
    return Table("density_rates", ["images", *_SHOWN_COLUMNS], _without_infinities(rows), {"data": data})


_SHOWN_COLUMNS = [f"radius × {multiple}" for multiple in SHOWN]


def beside_plane(rare: Table) -> Styler:
    """The probabilities of an error, and below them what they would be if the boundary were one plane.

    Args:
        rare: what ``rates_table`` returns.

    Returns:
        The styled table; the plane has no number of images.
    """
    plane = half_space(torch.tensor(1.0), torch.tensor(SHOWN, dtype=torch.float32), PIXELS)
    one = pd.DataFrame([plane.tolist()], index=["one plane"], columns=_SHOWN_COLUMNS)
    frame = pd.concat([rare.to_frame(), one])
    shown = styled(frame, empty="no estimate").format("{:.0f}", na_rep="", subset=["images"])  # a plane rests on none
    return shown.set_caption(
        "log10 of the probability of an error, median over images, at multiples of the adversarial distance"
    )


def what_planes_say() -> str:
    """The sentences on noise of exactly the adversarial distance: how likely it crosses one plane.

    Returns:
        Two sentences, on Gaussian noise and on noise on a sphere.
    """
    gaussian, sphere = (
        float(half_space(torch.tensor(1.0), torch.tensor(1.0), PIXELS, kind)) for kind in ("gaussian", "sphere")
    )
    return (
        f"With $n = 784$, $\\Phi(-28) = {10 ** (gaussian % 1):.1f} \\cdot 10^{{{int(gaussian // 1)}}}$. On the sphere "
        f"of that radius the share is {10**sphere:g}: it touches the plane in a single point."
    )


def what_sample_says(images: Images, few: Images) -> str:
    """The sentence on how many images are looked at.

    Args:
        images: the sample.
        few: those of ``Study``.

    Returns:
        The sentence.
    """
    return (
        f"The sample has {len(images)} test images, {len(images) // SLOW['ConvNet']} for the convolutional network, "
        f"which is expensive; {len(few)} of them, the first that all networks read rightly, are looked at more closely."
    )


def check_ratios(checks: Mapping[str, dict[str, Tensor]]) -> pd.DataFrame:
    """How long the shortest exits are beside what the refined search finds.

    Args:
        checks: name -> what ``penalty_check`` returns.

    Returns:
        For each network the number of images, and for each of ``KINDS`` the smallest, median and largest ratio, exit
        over search.
    """
    rows = {}
    for name, one in checks.items():
        ratios = one["exit"] / one["nearest"]
        ends = torch.stack([ratios.amin(0), median(ratios), ratios.amax(0)], 1)
        rows[name] = [len(ratios), *ends.flatten().tolist()]
    columns = [f"{kind}, {which} ratio" for kind in KINDS for which in ("smallest", "median", "largest")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["images", *columns])


def check_words(checks: Mapping[str, dict[str, Tensor]]) -> str:
    """How far the shortest exits are known to be too long, and what the walks took off, in sentences.

    Args:
        checks: name -> what ``penalty_check`` returns.
    """
    lines = []
    for at, kind in enumerate(KINDS):
        excess = {name: (one["exit"] / one["nearest"])[:, at] - 1 for name, one in checks.items()}
        middle = {name: float(median(one)) for name, one in excess.items()}
        single = {name: float(one.max()) for name, one in excess.items()}
        worst, longest = (max(part, key=part.__getitem__) for part in (middle, single))
        lines.append(
            f"In the median over images the {kind} exits are longer than what the other search found by "
            f"{_at_most(middle[worst], worst)} on any network, and for a single image by "
            f"{_at_most(single[longest], longest)}."
        )
    name = max(checks, key=lambda name: float(median(checks[name]["projections"] / checks[name]["exit"]).max()))
    taken = checks[name]["projections"] / checks[name]["exit"]
    parts = (
        f"{_percent(float(median(taken)[at]) - 1)} in the median and up to {_percent(float(taken[:, at].max()) - 1)} "
        f"for the {kind} ones"
        for at, kind in enumerate(KINDS)
    )
    lines.append(
        f"On {name}, where they matter most, exits without the walks would be longer: by {', by '.join(parts)}."
    )
    return " ".join(lines)


def _percent(part: float) -> str:
    """A part in per cent, with no more than one decimal; nothing where it is not above 0."""
    return f"{max(part, 0.0):.1%}".replace("%", " %")


def _at_most(part: float, name: str) -> str:
    """A bound in per cent and the network that reaches it, where that is more than rounding shows."""
    return f"no more than {_percent(part)} ({name})" if part >= 5e-4 else "less than 0.05 %"


def near_curves(
    models: Mapping[str, nn.Module], images: Images, around: Mapping[str, dict[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """For how many images another class is near, against the error under noise of the same radius.

    Args:
        models: name -> network in evaluation mode.
        images: the sample.
        around: name -> what ``surroundings`` returns.

    Returns:
        Name -> ``radii``; ``found``, ``low`` and ``high`` as from ``fractions_within``; the errors ``noise`` and, cut
        back to the box, ``clipped``; (E,) each; and ``more`` (N,) as from ``noise_curve``.
    """
    curves = {}
    for name, model in models.items():
        fraction, low, high = fractions_within(around[name])
        errors = noise_curve(name, model, images)
        curves[name] = {
            "radii": torch.tensor(EPSILONS, dtype=torch.float64),
            "found": fraction,
            "low": low,
            "high": high,
            "noise": errors["free"],
            "clipped": errors["clipped"],
            "more": errors["more"],
        }
    return curves


def rate_panels(
    found: Mapping[str, dict[str, Tensor]], samples: int, *, count: int = 3
) -> dict[str, dict[str, Tensor]]:
    """Estimates and counts of the probability of an error, for the networks of ``COUNTING``.

    Args:
        found: name -> what ``rates`` returns.
        samples: draws counted per image and radius, before they are divided by ``COUNTING``.
        count: how many images, the first ones.

    Returns:
        Name -> what ``pictures.rates`` draws; NaN for estimates that rest on fewer than ``ENOUGH`` effective draws.
    """
    panels = {}
    for name, divisor in COUNTING.items():
        one, draws = found[name], samples // divisor
        low, high = interval(one["gaussian"], draws)
        panels[name] = {
            "radii": one["radii"][:count],
            "log10": torch.where(one["effective"] >= ENOUGH, one["log10"], torch.nan)[:count],
            "relative": one["relative"][:count],
            "distance": one["distance"][:count],
            "exact": one["bracket"][1, :count],
            "counted": one["radii"][:count, COUNTED:],
            "low": low.log10(),
            "middle": (one["gaussian"] / draws).log10(),
            "high": high.log10(),
        }
    return panels


@dataclass(frozen=True)
class Trust:
    """How far the tilted estimates of a network may be trusted.

    Attributes:
        outside: how far the estimates lie outside the exact bracket, at most, in their standard errors; None where the
            network is not linear.
        tried: images and radii at which the bracket was tried.
        off: the largest difference between count and estimate, in standard errors of the difference as if the two had
            no draws in common; None where nothing was counted.
        compared: images and radii at which at least ``SEEN`` errors were counted and the estimate rests on ``ENOUGH``
            effective draws.
        effective: effective draws behind the estimate at the adversarial distance, in the median over images.
    """

    outside: float | None
    tried: int
    off: float | None
    compared: int
    effective: float


def trust(found: Mapping[str, dict[str, Tensor]], samples: int) -> dict[str, Trust]:
    """Three checks of the tilted estimates: the exact bracket, the counts, the number of effective draws.

    Args:
        found: name -> what ``rates`` returns.
        samples: draws counted per image and radius, before they are divided by ``COUNTING``.

    Returns:
        Name -> ``Trust``.
    """
    checks = {}
    for name, one in found.items():
        outside, tried = _outside_bracket(one) if name in linear_names(found) else (None, 0)
        off, compared = _against_counts(one, samples // COUNTING[name]) if name in COUNTING else (None, 0)
        checks[name] = Trust(outside, tried, off, compared, float(median(one["effective"][:, 0])))
    return checks


def luck(comparisons: int) -> float:
    """The limit that so many deviations keep to with the probability ``LUCK`` if nothing but luck is behind them.

    Args:
        comparisons: at least 1.

    Returns:
        In standard errors. Deviations that depend on each other keep to it with that probability or a larger one.

    Source:
        Sidak 1967.
    """
    return float(stats.norm.isf((1 - LUCK ** (1 / comparisons)) / 2))


def linear_names(names: Iterable[str]) -> list[str]:
    """Which networks are linear.

    Args:
        names: of networks.

    Returns:
        Some of them, in order.
    """
    return [name for name in names if name.startswith("FC10(")]


def _outside_bracket(one: Mapping[str, Tensor]) -> tuple[float, int]:
    """Largest distance from the bracket, in standard errors of the estimate, and how many estimates were tried."""
    step = one["relative"] / np.log(10)
    low, high = one["bracket"]
    away = torch.maximum(low - one["log10"], one["log10"] - high).clamp(min=0)
    return float((away / step).max()), away.numel()


def _against_counts(one: Mapping[str, Tensor], samples: int) -> tuple[float, int]:
    """Largest difference between count and estimate in standard errors, and how many counts were large enough."""
    counted = len(one["gaussian"])
    seen = (one["gaussian"] >= SEEN) & (one["effective"][:counted, COUNTED:] >= ENOUGH)
    rate = one["gaussian"].double() / samples
    tilted_rate = 10 ** one["log10"][:counted, COUNTED:]
    error = (rate * (1 - rate) / samples + (tilted_rate * one["relative"][:counted, COUNTED:]) ** 2).sqrt()
    away = ((rate - tilted_rate).abs() / error)[seen]
    return (float(away.max()) if len(away) else 0.0), len(away)


def trust_table(checks: Mapping[str, Trust]) -> str:
    """The three checks as a table in Markdown.

    Args:
        checks: what ``trust`` returns.

    Returns:
        One line for the heads, one below it, and one for each network.
    """
    lines = [
        "| network | outside the exact bracket by | against counts, at most | radii compared "
        "| effective draws at the adversarial distance |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in checks.items():
        bracket = "no closed form" if one.outside is None else f"{one.outside:.1f} s.e."
        counts = "not counted | " if one.off is None else f"{one.off:.1f} s.e. | {one.compared} "
        lines.append(f"| {name} | {bracket} | {counts} | {one.effective:.0f} |")
    return "\n".join(lines)


def trust_words(checks: Mapping[str, Trust]) -> str:
    """Whether the estimates agree with the counts and the bracket as well as luck would have it, in sentences.

    Args:
        checks: what ``trust`` returns.
    """
    lines = []
    counted = {name: one for name, one in checks.items() if one.off is not None and one.compared}
    if counted:
        number = sum(one.compared for one in counted.values())
        lines.append(
            f"Luck alone would keep all {number} differences between count and estimate below {luck(number):.2f} "
            f"standard errors in nineteen cases of twenty. "
            + " ".join(
                f"{name}: at most {one.off:.2f} in {one.compared} comparisons, "
                f"{'they agree' if one.off <= luck(number) else 'a disagreement, or the one case in twenty'}."
                for name, one in counted.items()
            )
        )
    bracketed = [one for one in checks.values() if one.outside is not None]
    if bracketed:
        number, most = sum(one.tried for one in bracketed), max(one.outside for one in bracketed)
        kept = "kept" if most <= luck(number) else "**not** kept"
        lines.append(
            f"The limit for the {number:,} estimates on linear networks is {luck(number):.1f} standard errors outside "
            f"of the bracket, and it is {kept}: {most:.1f} at most."
        )
    few = [name for name, one in checks.items() if one.effective < ENOUGH]
    if few:
        lines.append(
            f"At the adversarial distance the estimates of {', '.join(few)} rest on fewer than {ENOUGH:g} effective "
            "draws in the median, and none is given."
        )
    return " ".join(lines)


def _as_luck_has_it(deviations: Iterable[tuple[float | None, int]]) -> bool | None:
    """Whether the largest deviation keeps to ``luck``; None where nothing was compared."""
    made = [(most, number) for most, number in deviations if most is not None and number]
    return max(most for most, _ in made) <= luck(sum(number for _, number in made)) if made else None


def lines_words(along: Table, inside: Mapping[str, dict[str, Tensor]]) -> str:
    """How near the networks come to the prediction of one plane, in sentences with their numbers.

    Args:
        along: what ``lines_table`` returns.
        inside: name -> what ``dimensions`` returns.
    """
    frame = along.to_frame()
    fully = frame.drop(CONVOLUTIONAL_NETWORK)
    lines, spaces = "random line / √n", ["10 dimensions / √(n/10)", "100 / √(n/100)"]
    bent = frame.loc[CONVOLUTIONAL_NETWORK]
    reach = {name: float(median(one["subspaces"][:, SUBSPACES.index(100)])) for name, one in inside.items()}
    furthest = max(reach, key=lambda name: reach[name])
    line, *plane = ((k / PIXELS / stats.beta.median(k / 2, (PIXELS - k) / 2)) ** 0.5 for k in (1, 10, 100))
    return (
        f"A single plane would give {line:.2f} for random lines and {plane[0]:.2f} and {plane[1]:.2f} for subspaces. "
        f"The fully connected networks have "
        f"{fully[lines].min():.2f} to {fully[lines].max():.2f} for lines and {fully[spaces].min().min():.2f} to "
        f"{fully[spaces].max().max():.2f} for subspaces, the convolutional network {bent[lines]:.2f} for lines and "
        f"{bent[spaces[0]]:.2f} and {bent[spaces[1]]:.2f} for subspaces"
        + (": of all networks it is left soonest along random lines" if bent[lines] < fully[lines].min() else "")
        + f". In the span of 100 random directions out of {PIXELS} the median image has an adversarial one at no more "
        f"than {reach[furthest]:.1f} times the distance of the nearest of all, on every network."
    )


def kinds_of_noise(found: Mapping[str, dict[str, Tensor]], samples: int) -> pd.DataFrame:
    """Errors counted under Gaussian noise, on the sphere, and under Gaussian noise that is cut back to the box.

    Args:
        found: name -> what ``rates`` returns.
        samples: as for ``trust``.

    Returns:
        For the networks of ``COUNTING`` and two radii the share of errors over all images with its interval, as text.
    """
    columns = {"gaussian": "Gaussian", "sphere": "sphere", "clipped": "Gaussian, cut back to the box"}
    rows = {
        (name, f"× {multiple:g}"): {
            title: "{:.2e} [{:.1e}, {:.1e}]".format(*_counted_share(found[name], kind, multiple, samples // divisor))
            for kind, title in columns.items()
        }
        for name, divisor in COUNTING.items()
        for multiple in KINDS_AT
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["counted for", "radius"])


def cutting_words(found: Mapping[str, dict[str, Tensor]], samples: int) -> str:
    """Whether noise that is cut back to the box errs more than noise that is not, in a sentence.

    Args:
        found: name -> what ``rates`` returns.
        samples: as for ``trust``.
    """
    verdicts: dict[str, list[str]] = {"more often": [], "less often": [], "neither, as far as the intervals tell": []}
    more, less, neither = verdicts.values()
    for name, divisor in COUNTING.items():
        for multiple in KINDS_AT:
            (_, low, high), (_, least, most) = (
                _counted_share(found[name], kind, multiple, samples // divisor) for kind in ("clipped", "gaussian")
            )
            (more if low > most else less if high < least else neither).append(f"{name} at × {multiple:g}")
    said = "; ".join(f"{verdict}: {', '.join(where)}" for verdict, where in verdicts.items() if where)
    return f"Cut back to the box, Gaussian noise errs {said}."


def _counted_share(one: Mapping[str, Tensor], kind: str, multiple: float, draws: int) -> tuple[float, float, float]:
    """The share of errors over all images and the ends of its interval; kinds but Gaussian get a tenth of the draws."""
    counts = one[kind][:, MULTIPLES.index(multiple) - COUNTED]
    total = draws // (1 if kind == "gaussian" else 10) * len(counts)
    low, high = interval(counts.sum()[None], total)
    return int(counts.sum()) / total, float(low), float(high)


def line_ratios(around: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Distance to the boundary along random lines, the shorter of both senses, over the free nearest distance.

    Args:
        around: name -> what ``surroundings`` returns.

    Returns:
        Name -> (M, LINES) ratios for the images that are read rightly, infinite where the class holds all the way.
    """
    return {name: one["lines"].amin(2) / one["free"][one["right"]][:, None] for name, one in around.items()}


def medians(inside: Mapping[str, dict[str, Tensor]], part: str) -> dict[str, Tensor]:
    """Medians over images of one part of what ``dimensions`` returns.

    Args:
        inside: name -> what ``dimensions`` returns.
        part: its key, for instance ``aligned``.

    Returns:
        Name -> the medians, one for each column.
    """
    return {name: median(one[part]) for name, one in inside.items()}


def spectra(around: Mapping[str, dict[str, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
    """How the energy of the boundary's normals gathers in a few directions, beside that of as many random vectors.

    Args:
        around: name -> what ``surroundings`` returns.

    Returns:
        Name -> what ``spectrum`` returns of its normals, and the mean of what ``random_spectra`` returns for as many.
    """
    found = {name: spectrum(one["normals"][one["right"]]) for name, one in around.items()}
    return {name: (one, random_spectra(len(one)).mean(0)) for name, one in found.items()}


@functools.cache
def random_spectra(count: int) -> Tensor:
    """What ``spectrum`` returns of random unit vectors, for several sets of them.

    Args:
        count: of vectors in a set.

    Returns:
        (RANDOM_SETS, count), the same ones at every call.
    """
    generator = torch.Generator().manual_seed(count)
    sets = (torch.randn(count, PIXELS, generator=generator) for _ in range(RANDOM_SETS))
    return torch.stack([spectrum(torch.nn.functional.normalize(one, dim=1)) for one in sets])


def spectra_words(ways: Table) -> str:
    """What the normals of the boundary share, beside as many random vectors, in sentences with their numbers.

    Args:
        ways: what ``dimensions_table`` returns.
    """
    frame = ways.to_frame()
    own, drawn = frame["normals, 90 %"], frame["as many random, 90 %"]
    each = "; ".join(
        f"{name}, {frame.at[name, 'images, normals']:.0f} normals: {own[name]:.0f} against {drawn[name]:.0f}"
        for name in frame.index
    )
    open_ones = [name for name in frame.index if own[name] >= drawn[name]]
    said = f"on all of them but {', '.join(open_ones)}" if open_ones else "on every network"
    return (
        f"How many directions hold 90 % of the energy of the normals, and how many at least in {RANDOM_SETS} sets of "
        f"as many random vectors: {each}. For the normals they are fewer than in any of these sets {said}."
    )


def sandwich(around: Mapping[str, dict[str, Tensor]]) -> pd.DataFrame:
    """The radius of the ball that holds no other class between what is certain and what was found.

    Args:
        around: name -> what ``surroundings`` returns.

    Returns:
        For each network the smallest certain ball, and certain ball over free distance, median and largest.
    """
    rows = {}
    for name, one in around.items():
        share = one["ball"] / one["free"][one["right"]]
        rows[name] = [float(one["ball"].min()), float(median(share)), float(share.max())]
    columns = ["smallest certain ball", "ball over found distance, median", "largest"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("network")


def real_curves(around: Mapping[str, dict[str, Tensor]], twins: Company) -> dict[str, Tensor]:
    """The share of images that have something within each of ``EPSILONS``: a twin, a stranger, an adversarial image.

    Args:
        around: name -> what ``surroundings`` returns; images read rightly are counted.
        twins: what ``natural.company`` returns.

    Returns:
        What -> (E,) shares, the two kinds of real images first, then one for each network.
    """
    radii = torch.tensor(EPSILONS).double()
    groups = {"training image, same class": twins.own, "training image, another class": twins.other}
    groups |= {f"adversarial image, {name}": one["boxed"][one["right"]] for name, one in around.items()}
    return {what: (values[:, None] <= radii).double().mean(0) for what, values in groups.items()}


def claims(
    found: Study,
    curves: Mapping[str, dict[str, Tensor]],
    checks: Mapping[str, Trust],
    near: Table,
    rare: Table,
    along: Table,
    ways: Table,
) -> dict[str, bool | None]:
    """What is claimed of rare and near, and whether it came out so.

    Args:
        found: what ``study`` returns.
        curves: what ``near_curves`` returns.
        checks: what ``trust`` returns.
        near: what ``near_table`` returns.
        rare: what ``rates_table`` returns.
        along: what ``lines_table`` returns.
        ways: what ``dimensions_table`` returns.

    Returns:
        The claim, a sentence -> whether it holds; None where too little was measured to tell.
    """
    balls = [one["ball"] > 0 for one in found.around.values()]
    within = near.to_frame()["within 0.1"]
    noise_at = EPSILONS.index(0.1)
    fully = [name for name in found.around if name != "ConvNet"]
    orthogonal = {name: one["orthogonal"].isfinite().sum(1) for name, one in found.inside.items()}
    flat = linear_names(found.inside)
    normals = ways.to_frame()
    own, drawn = normals["normals, 90 %"], normals["as many random, 90 %"]
    return {
        "Every sampled image has an image of another class in the box, for every network": all(
            bool(one["boxed"].isfinite().all()) for one in found.around.values()
        ),
        "For every network nine sampled images in ten have one within an RMS of 0.1": bool((within > 0.9).all()),
        "The same for every network except FC10(1), whose weights are decayed hardest": bool(
            (within.drop("FC10(1)") > 0.9).all()
        ),
        "At RMS 0.5 noise that is cut back to the box errs more than noise that is not, on every network": _all_more(
            one["more"] for one in curves.values()
        ),
        "Random perturbations of RMS 0.1 cost no network more than five percentage points on the sample": all(
            float(one["noise"][noise_at] - one["noise"][0]) < 0.05 for one in curves.values()
        ),
        "On fully connected networks noise of the adversarial distance errs under once in 10⁵⁰ in the median": bool(
            (rare.to_frame().loc[fully, "radius × 1"] < -50).all()
        ),
        "Adversarial images have probability zero under noise, as the rational numbers have": not any(
            bool((found.rates[name]["gaussian"] > 0).any()) for name in COUNTING
        ),
        "Every neighbourhood of every image holds an adversarial one, as the rational numbers are dense": not any(
            bool(positive.any()) for positive in balls
        ),
        "Every rightly read image has a ball that certainly holds no adversarial image": all(
            bool(positive.all()) for positive in balls
        ),
        "On linear networks tilted sampling agrees with the exact bracket as nearly as luck allows": _as_luck_has_it(
            (one.outside, one.tried) for one in checks.values()
        ),
        "Wherever enough errors were counted, tilted sampling agrees with the count as nearly as luck allows": (
            _as_luck_has_it((one.off, one.compared) for one in checks.values())
        ),
        "On fully connected networks tilted sampling agrees with the count as nearly as luck allows": _as_luck_has_it(
            (checks[name].off, checks[name].compared) for name in fully if name in checks
        ),
        "Along random lines the median distance is within a factor of 2.5 of √n times the nearest": bool(
            along.to_frame()["random line / √n"].between(1 / 2.5, 2.5).all()
        ),
        "Linear networks have at most nine exits at right angles": all(
            int(orthogonal[name].max()) <= 9 for name in flat
        ),
        "Every other network has more than nine on the median image": all(
            float(median(ways.double())) > 9 for name, ways in orthogonal.items() if name not in flat
        ),
        "On every network at least four aligned directions lead out within 2.1 times the adversarial distance": all(
            float(median(one["aligned"][:, ALIGNED.index(4)])) <= 2.1 for one in found.inside.values()
        ),
        "Normals of fully connected networks need less than half as many directions as random vectors do": bool(
            (own[fully] < drawn[fully] / 2).all()
        ),
        "Normals of the convolutional network need fewer directions than any set of as many random vectors": (
            True if own[CONVOLUTIONAL_NETWORK] < drawn[CONVOLUTIONAL_NETWORK] else None
        ),
    }


def styled(frame: pd.DataFrame, *, empty: str = "nan") -> Styler:
    """A table of this chapter as the page shows it.

    Args:
        frame: numbers.
        empty: stands where there is none.

    Returns:
        The frame with every column in its format.
    """
    return frame.style.format({column: FORMATS.get(column, "{:.2f}") for column in frame}, na_rep=empty)


def tolerances(table: Table) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run.

    Args:
        table: one of this page's.

    Returns:
        ``TOLERANCES`` in every row and ``CONVOLUTIONAL`` in that of ConvNet; ``MOVED`` for the numbers of images.
    """
    allowed = pd.DataFrame(TOLERANCES[table.name], index=list(table.rows), columns=table.columns)
    allowed.loc[allowed.index == "ConvNet"] = CONVOLUTIONAL[table.name]
    counted = [column for column in table.columns if column.startswith("images")]
    allowed[counted] = MOVED  # networks trained again read other images rightly
    return allowed


def _all_more(networks: Iterable[Tensor]) -> bool | None:
    """Whether the mean of differences over images is above zero for every network.

    False where one lies below zero, None where else one does not lie above it, by more than two standard errors each.
    """
    steps = [float(one.mean()) / max(float(one.std() / len(one) ** 0.5), 1e-12) for one in networks]
    if any(step < -2 for step in steps):
        return False
    return True if all(step > 2 for step in steps) else None


def _without_infinities(rows: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The rows with NaN, which a table leaves empty, where a search has found nothing."""
    return {name: [value if math.isfinite(value) else math.nan for value in values] for name, values in rows.items()}


def spectrum(normals: Tensor) -> Tensor:
    """Shares of the singular directions in the energy of a set of unit normals, cumulated.

    Args:
        normals: (N, n); rows with NaN are left out.

    Returns:
        (min(N, n),) float64, rising to 1.

    Source:
        Moosavi-Dezfooli et al. 2017, Figure 9.
    """
    usable = normals[normals.isfinite().all(1)].double()
    return (energy := torch.linalg.svdvals(usable).square()).cumsum(0) / energy.sum()


def effective_dimension(cumulated: Tensor, share: float = 0.9) -> int:
    """How many singular directions hold so much of the energy."""
    return int((cumulated < share - 1e-12).sum()) + 1


def fractions_within(one: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Fraction of the sample with another class inside the box and within each of ``EPSILONS``, and its interval.

    Args:
        one: what ``surroundings`` returns.

    Returns:
        (E,) fraction, lower and upper ends at 95 %.
    """
    counts = (one["boxed"][:, None] <= torch.tensor(EPSILONS).double()).sum(0)
    return counts / len(one["boxed"]), *interval(counts, len(one["boxed"]))


def _kept(
    name: str,
    model: nn.Module,
    images: Images,
    make: Callable[[], dict[str, Tensor]],
    function: Callable,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """A product of this page, made once for a network, its images, the sizes and the code that determines it."""
    key = {
        "model": cache.described(model),
        "images": images.digest,
        "sizes": dict(sizes or {}),
        "code": fingerprint.of(function),
    }
    return cache.load_or_make(name, key, make)
