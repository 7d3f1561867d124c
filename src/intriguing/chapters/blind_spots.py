"""Blind spots: the method's path in its price c, the box at its solutions, and how far above the minimum it ends."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.oracles import exact_linear_distortion, scipy_distortion
from intriguing.attack.penalty import penalty_path
from intriguing.attack.perturbations import gaussian_noise, noise_of_size, rms, value_and_gradient, wrong_classes
from intriguing.book import markdown, paper, plots, tables
from intriguing.book.results import Table
from intriguing.data import Images
from intriguing.models.training import error_rate, predict

AGREEING = 0.01  # relative difference of two mean distortions, or of two searches, that counts as none
CERTIFIED = 1e-4  # duality gap below which an optimum counts as known
EXACT = 1.001  # a mean distortion below this multiple of the optimum counts as the optimum
BELOW = 1e-5  # what the solution of the exact problem may lie above its optimum, relative
COUNTED = 6  # standard errors by which a share of the images may differ in a rerun, whose networks are other ones
AROUND = torch.logspace(
    -1.5, 1.0, 16, dtype=torch.float64
)  # multiples of the c at the edge at which a path is followed


def error_list(shown: str, errors: Mapping[str, float]) -> str:
    """Error rates as a table in Markdown.

    Args:
        shown: the heading of the first column, for instance "FC100-100-10 is shown".
        errors: what is shown -> error rate, a fraction.
    """
    return markdown.words([shown, "error"], [[what, f"{error:.1%}"] for what, error in errors.items()])


def path_curves(penalties: Tensor, sizes: Tensor, gaps: Tensor, edge: float) -> plots.Figure:
    """Distortion and lead of the target along the path in c.

    Args:
        penalties: (n,) values of c.
        sizes: (n,) distortion of each minimiser, root mean square per pixel.
        gaps: (n,) logit of the target less the largest other one.
        edge: the c that the search returns, to be marked.
    """
    return plots.lines(
        penalties,
        {"distortion × 100": 100 * sizes, "lead of the target (logits)": gaps},
        xlabel="price of distortion c",
        ylabel="",
        logx=True,
        marks={"c found by the search": edge},
    )


def path_images(penalties: Tensor, path: Tensor, gaps: Tensor, count: int = 9) -> plots.Figure:
    """Some minimisers along the path in c, each under its c and whether it reached the target.

    Args:
        penalties: (n,) values of c.
        path: (n, 1, height, width), the minimisers, in [0, 1].
        gaps: (n,) logit of the target less the largest other one.
        count: how many, evenly spread from first to last.
    """
    chosen = torch.linspace(0, len(penalties) - 1, count).round().long()
    titles = [
        f"c = {c:.2g}\n{'target' if gap > 0 else 'missed'}"
        for c, gap in zip(penalties[chosen], gaps[chosen], strict=True)
    ]
    return plots.digits(path[chosen].float(), titles, columns=count)


def pixel_states(images: Tensor, found: Distortion) -> pd.DataFrame:
    """Where the pixels of the solutions are, and how much of the perturbation they carry.

    Args:
        images: (N, *shape), the clean images.
        found: their adversarial examples; images that needed no perturbation are left out.

    Returns:
        One row for each of four states, which exclude each other and leave no pixel out. Columns: the share of the
        pixels and the share of |r|^2, as fractions.
    """
    moved = found.rms > 0
    clean, solution = images[moved].flatten(1), found.images[moved].flatten(1)
    energy = (solution - clean).double().square()
    black, white, was_black = solution == 0, solution == 1, clean == 0
    states = {
        "held at black": black,
        "held at white": white,
        "free, black in the original": ~black & ~white & was_black,
        "free, grey or white in the original": ~black & ~white & ~was_black,
    }
    rows = {
        state: [float(mask.double().mean()), float((energy * mask).sum() / energy.sum())]
        for state, mask in states.items()
    }
    columns = ["share of the pixels", "share of $\\lvert r \\rvert^2$"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def state_list(states: pd.DataFrame) -> str:
    """The states of the pixels as a table in Markdown, between two line breaks.

    Args:
        states: what :func:`pixel_states` returns.
    """
    rows = [[state, *(f"{share:.1%}" for share in shares)] for state, *shares in states.itertuples()]
    return f"\n{markdown.words(['pixels of the solution', *states.columns], rows)}\n"


def held_line(states: pd.DataFrame) -> str:
    """Says which share of the pixels is held at a bound, and which share of the perturbation lies where it was black.

    Args:
        states: what :func:`pixel_states` returns.
    """
    pixels, energy = states.to_numpy().T
    return (
        f"So **{pixels[:2].sum():.0%}** of the pixels are held at a bound and {pixels[2:].sum():.0%} are free; pixels "
        f"that were black and are no longer carry {energy[2]:.0%} of the perturbation."
    )


@dataclass(frozen=True)
class Crossings:
    """How often the lead of the target changes its sign along the paths of many images.

    Attributes:
        counts: (N,) long, changes of sign of each image that needed a perturbation.
        falling: (N,) bool, whether the lead never rises from one c to the next larger one.
    """

    counts: Tensor
    falling: Tensor

    def __str__(self) -> str:
        once = int((self.counts == 1).sum())
        return (
            f"Along {len(self.counts)} paths the lead changes its sign exactly once on {once}, "
            f"and falls from each c to the next on {int(self.falling.sum())}."
        )


def crossings(model: nn.Module, images: Tensor, targets: Tensor, found: Distortion) -> Crossings:
    """Follows the path in c for many images, each around the c at which its search ended.

    Args:
        model: images -> logits.
        images: (N, *shape), clean.
        targets: (N,) long.
        found: their adversarial examples by the penalty method; images that are their target already are left out.
    """
    counts, falling = [], []
    for image, target, edge in zip(images, targets.tolist(), found.penalty.tolist(), strict=False):
        if math.isfinite(edge):
            _, gaps = penalty_path(model, image, target, edge * AROUND)
            counts.append(int((gaps[1:] > 0).ne(gaps[:-1] > 0).sum()))
            falling.append(bool((gaps[1:] <= gaps[:-1] + 1e-6).all()))  # what a minimisation leaves undecided
    return Crossings(torch.tensor(counts), torch.tensor(falling))


def linear_prediction(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What a network that stayed as straight as it is at the clean image would have for its closest example of a class.

    Args:
        model: images -> logits.
        images: (N, *shape), clean.
        targets: (N,) long.

    Returns:
        gap (N,), by how much the strongest other logit leads the target, 0 where the target leads; and slope (N,), the
        Euclidean norm of its gradient in the image. Gap over slope is the distance to where the two would be equal.

    Source:
        The first-order argument of Goodfellow et al. 2015, section 3, and of Moosavi-Dezfooli et al. 2016, equation 6.
    """
    device = next(model.parameters()).device
    images, targets = images.to(device), targets.to(device)
    logits = model(images)
    rival = logits.scatter(1, targets[:, None], -torch.inf).argmax(1)

    def lead(x: Tensor) -> Tensor:
        out = model(x)
        return (out.gather(1, rival[:, None]) - out.gather(1, targets[:, None]))[:, 0]

    gap, gradient = value_and_gradient(lead, images)
    return gap.clamp(min=0).double().cpu(), gradient.flatten(1).norm(dim=1).double().cpu()


@dataclass(frozen=True)
class Straight:
    """The linear prediction beside the distance found.

    Attributes:
        table: per network the means of gap and slope, of the predicted and of the found distortion, the median of found
            over predicted, and the correlation of both over images.
        points: name -> predicted and found distortion of each image that needed a perturbation.
    """

    table: Table
    points: dict[str, tuple[Tensor, Tensor]]


def straight(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Straight:
    """Logit gap over gradient norm, beside the shortest perturbation that the refined search finds.

    Args:
        models: name -> network.
        images: clean images.
        targets: (N,) long.
    """
    rows, points = {}, {}
    for name, model in models.items():
        gap, slope = linear_prediction(model, images.images, targets)
        predicted = gap / slope / math.sqrt(images.images[0].numel())
        found = minimum_distortion(model, images.images, targets, refine=True).rms.cpu()
        moved = (found > 0) & (predicted > 0)
        points[name] = predicted[moved], found[moved]
        ratio = float(tables.median(found[moved] / predicted[moved]))
        together = float(np.corrcoef(predicted[moved], found[moved])[0, 1])
        means = [float(part[moved].mean()) for part in (gap, slope, predicted, found)]
        rows[name] = [*means, ratio, together]
    columns = ["gap", "slope", "predicted", "found", "found / predicted", "correlation"]
    return Straight(Table("straight", columns, rows, {"data": images.name}), points)


def straight_picture(found: Straight, names: tuple[str, ...], count: int = 300) -> plots.Figure:
    """Predicted against found distortion, one point for each image, one panel for each network.

    Args:
        found: what :func:`straight` returns.
        names: the networks that are shown.
        count: how many images at most.
    """
    shown = {name: {"": tuple(part[:count] for part in found.points[name])} for name in names}
    return plots.identities(shown, xlabel="predicted", ylabel="found")


@dataclass(frozen=True)
class Plane:
    """The classes that a network gives on a plane through an image.

    Attributes:
        classes: (side, side) long, rows from low to high along the second direction.
        extent: the plane reaches from minus this to plus this in both directions, root mean square per pixel.
        points: label -> position of an image on the plane, in the same unit.
    """

    classes: Tensor
    extent: float
    points: dict[str, tuple[float, float]]


def plane(model: nn.Module, image: Tensor, ends: Mapping[str, Tensor], *, side: int = 141) -> Plane:
    """Reads the classes on the plane through an image and two others.

    Args:
        model: images -> logits.
        image: (*shape), in the middle of the plane.
        ends: label -> image; the first one lies straight to the right, the second one gives the other direction.
        side: points along each edge.
    """
    pixels = math.sqrt(image.numel())
    first, second = ((end - image).double().flatten() / pixels for end in ends.values())  # their norms are distortions
    right = first / first.norm()
    up = second - (second @ right) * right
    up = up / up.norm()
    places = {label: (float(step @ right), float(step @ up)) for label, step in zip(ends, (first, second), strict=True)}
    extent = 1.9 * max(abs(value) for place in places.values() for value in place)
    ticks = torch.linspace(-extent, extent, side, dtype=torch.float64)
    steps = ticks[None, :, None] * right + ticks[:, None, None] * up  # (side, side, m)
    points = image.double().flatten() + pixels * steps.flatten(0, 1)
    classes = predict(model, points.view(-1, *image.shape).float()).view(side, side)
    return Plane(classes, extent, {"x": (0.0, 0.0)} | places)


def two_planes(model: nn.Module, image: Images, target: Tensor, found: Distortion) -> dict[str, Plane]:
    """Planes through one image: its adversarial example with that of another class, and with noise of its size.

    Args:
        model: images -> logits.
        image: one clean image with its class.
        target: (1,) long, a wrong class.
        found: adversarial examples, of which the first is that of the image for the target.
    """
    classes = wrong_classes(image.labels)[0]
    other = classes[classes != target][:1]
    end = {f"toward {int(target)}": found.images[0]}
    second = {f"toward {int(other)}": minimum_distortion(model, image.images, other).images[0]}
    noise = {"random": noise_of_size(image.images, found.rms[:1])[0]}
    return {
        "two perturbations": plane(model, image.images[0], end | second),
        "one, and noise of its size": plane(model, image.images[0], end | noise),
    }


@plots.styled
def regions(planes: Mapping[str, Plane]) -> plots.Figure:
    """The regions of the classes on planes, all but the smallest named, with the images that span them.

    Args:
        planes: title -> what :func:`plane` returns.
    """
    colours = [plots.PALETTE[name] for name in ("blue", "vermilion", "green", "purple", "sky", "orange", "grey")]
    full = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    pale = 1 - 0.45 * (1 - full)
    everywhere = np.unique(np.concatenate([shown.classes.numpy().ravel() for shown in planes.values()]))
    figure, grid = plots.panels(planes.items(), row=3.6)
    for axes, shown in grid:
        classes, extent = shown.classes.numpy(), shown.extent
        shades = pale[np.searchsorted(everywhere, classes) % len(pale)]  # a class has one colour in all panels
        axes.imshow(shades, origin="lower", extent=(-extent, extent, -extent, extent), interpolation="nearest")
        ticks = np.linspace(-extent, extent, len(classes))
        for kind in np.unique(classes):
            rows, columns = np.nonzero(classes == kind)
            if len(rows) > 0.004 * classes.size:
                far = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
                for x, y in shown.points.values():  # where a point and its name stand, the class does not
                    across, up = (ticks[columns] - x) / extent, (ticks[rows] - y) / extent
                    far[(across > -0.15) & (across < 0.5) & (up > -0.15) & (up < 0.25)] += classes.size
                near = np.argmin(far)
                axes.text(ticks[columns[near]], ticks[rows[near]], str(kind), ha="center", va="center", fontsize=15)
        for label, place in shown.points.items():
            axes.plot(*place, "o", color=plots.PALETTE["black"], markersize=4)
            axes.annotate(label, place, xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel="distortion along the perturbation", ylabel="distortion across")
        axes.set_aspect("equal")
    return figure


def shifted(images: Tensor) -> dict[str, Tensor]:
    """The images moved by one pixel to each side, with black where nothing came from.

    Args:
        images: (N, 1, height, width).
    """
    wide = nn.functional.pad(images, (1, 1, 1, 1))
    height, width = images.shape[2:]
    starts = {"left": (1, 2), "right": (1, 0), "up": (2, 1), "down": (0, 1)}
    return {side: wide[:, :, i : i + height, j : j + width] for side, (i, j) in starts.items()}


def deformations(model: nn.Module, images: Images, found: Distortion) -> Table:
    """How far a shift by one pixel goes and how often it fools a network, beside the step found by optimisation.

    Args:
        model: images -> logits.
        images: clean images.
        found: their adversarial examples.

    Returns:
        A ``Table`` named ``deformations``: for the images as they are, the mean over four shifts and the step found,
        the mean distortion and the error.
    """
    moved = list(shifted(images.images).values())
    lengths = [float(rms(images.images, one).mean()) for one in moved]
    errors = [error_rate(model, one, images.labels) for one in moved]
    rows = {
        "the images themselves": [0.0, error_rate(model, images.images, images.labels)],
        "shifted by one pixel": [sum(lengths) / len(moved), sum(errors) / len(moved)],
        "the step found by optimisation": [float(found.rms.mean()), error_rate(model, found.images, images.labels)],
    }
    return Table("deformations", ["mean distortion", "error"], rows, {"data": images.name})


def penalty_norms(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The mean distortion under c |r|^2 and under the printed c |r|.

    Args:
        models: name -> trained network.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``penalty_norms`` with one column per form of the penalty.
    """
    rows = {
        name: [
            float(minimum_distortion(model, images.images, targets, norm=norm).rms.mean())
            for norm in ("squared", "plain")
        ]
        for name, model in models.items()
    }
    return Table("penalty_norms", ["c |r|²", "c |r|"], rows, {"data": images.name})


def refined(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The paper's method beside the search for a local minimum of |r|, which starts anew from the clean images.

    Args:
        models: name -> trained network.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``refined``: per network the mean distortion of both and the first over the second.
    """
    rows = {}
    for name, model in models.items():
        penalised, shorter = (
            float(minimum_distortion(model, images.images, targets, refine=refine).rms.mean())
            for refine in (False, True)
        )
        rows[name] = [penalised, shorter, penalised / shorter]
    return Table("refined", ["penalty method", "refined", "ratio"], rows, {"data": images.name})


def scipy_agreement(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The batched search beside a loop over images with SciPy's L-BFGS-B.

    Args:
        models: name -> trained network.
        images: clean images; the loop takes them one at a time.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``scipy_agreement``: per network the mean distortion of both, ours over SciPy's, and the
        fraction of images for which ours succeeded.
    """
    rows = {}
    for name, model in models.items():
        found = minimum_distortion(model, images.images, targets)
        double = copy.deepcopy(model).cpu().double()
        loop = [
            scipy_distortion(double, image, int(target))
            for image, target in zip(tqdm(images.images, desc=name, leave=False), targets, strict=True)
        ]
        ours, scipy = float(found.rms.mean()), sum(loop) / len(loop)
        rows[name] = [ours, scipy, ours / scipy, float(found.success.double().mean())]
    return Table("scipy_agreement", ["batched", "SciPy", "ratio", "success"], rows, {"data": images.name})


def scipy_verdict(agreement: Table) -> str:
    """Says in two lines whether the batched search agrees with SciPy's and always succeeds.

    Args:
        agreement: what :func:`scipy_agreement` returns.
    """
    frame = agreement.to_frame()
    agrees = bool((frame["ratio"] - 1).abs().max() < AGREEING)
    reached = bool((frame["success"] == 1).all())
    return (
        f"Every network agrees with SciPy to 1 % in mean distortion: {agrees}.\n"
        f"Every image reaches its target: {reached}."
    )


def exact_linear(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The penalty method beside the exact optimum, on linear classifiers, where the exact problem is convex.

    Args:
        models: name -> softmax classifier on pixels, that is ``Sequential(Flatten, Linear)``.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``exact_linear``: per network the mean distortion of the penalty method, of the refined search
        and of the optimum; the first two over the third; the smallest of these ratios for any image that is not its
        target already; and the largest duality gap, which certifies the optimum.
    """
    rows = {}
    for name, model in models.items():
        weight, bias = model[-1].weight.cpu(), model[-1].bias.cpu()
        exact = [
            exact_linear_distortion(weight, bias, image, int(target))
            for image, target in zip(images.images, targets, strict=True)
        ]
        optimum = torch.tensor([one.rms for one in exact], dtype=torch.float64)
        found = [minimum_distortion(model, images.images, targets, refine=refine).rms for refine in (False, True)]
        means = [float(rms.mean()) for rms in (*found, optimum)]
        least = min(float((rms[rms > 0] / optimum[rms > 0]).min()) for rms in found)
        rows[name] = [*means, means[0] / means[2], means[1] / means[2], least, max(one.gap for one in exact)]
    columns = [
        "penalty method",
        "refined",
        "optimum",
        "penalty method / optimum",
        "refined / optimum",
        "smallest ratio",
        "duality gap",
    ]
    return Table("exact_linear", columns, rows, {"data": images.name})


def exact_verdict(exact: Table) -> str:
    """Says in two lines whether the optimum is known and no search claims to be below it.

    Args:
        exact: what :func:`exact_linear` returns.
    """
    frame = exact.to_frame()
    above = bool((frame["smallest ratio"] > 1 - BELOW).all())
    certified = bool((frame["duality gap"] < CERTIFIED).all())
    return (
        f"No search ends below the certified optimum: {above}.\n"
        f"Every optimum is certified to one part in 10,000: {certified}."
    )


def noise_accuracy(models: Mapping[str, nn.Module], images: Images) -> Table:
    """Which share of noisy images the networks read correctly.

    Args:
        models: name -> network.
        images: clean images, which get Gaussian noise of the paper's Figure 7 (c).

    Returns:
        A ``Table`` named ``noise_accuracy``: one row for each network, with the columns ``free`` and ``clipped``, the
        latter cut back to [0, 1].

    Source:
        Szegedy et al. 2013, Figure 7 (c).
    """
    size = paper.NUMBERS["figure 7 noise"].value
    noisy = [gaussian_noise(images.images, size, clip=clip) for clip in (False, True)]
    rows = {name: [1 - error_rate(model, shown, images.labels) for shown in noisy] for name, model in models.items()}
    return Table("noise_accuracy", ["free", "clipped"], rows, {"data": images.name, "images": len(images)})


def noise_tolerances(accuracy: Table) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run: ``COUNTED`` standard errors of a share so counted.

    Args:
        accuracy: what :func:`noise_accuracy` returns.
    """
    images, shares = accuracy.meta["images"], accuracy.to_frame()
    return COUNTED * (shares * (1 - shares)).clip(lower=1 / images).div(images).pow(0.5)


def accuracy_list(accuracy: Table) -> str:
    """The accuracy under noise and the paper's as a table in Markdown.

    Args:
        accuracy: what :func:`noise_accuracy` returns.
    """
    rows = [[name, f"{free:.0%}", f"{clipped:.0%}"] for name, (free, clipped) in accuracy.rows.items()]
    rows += [["the paper, Figure 7 (c)", f"{paper.NUMBERS['figure 7 noise accuracy'].value:.0%}", ""]]
    return markdown.words(["network", "accuracy, noise of stddev 1", "the same, cut back to [0, 1]"], rows)


def figure7(images: Images, sets: Mapping[str, Distortion], count: int = 12) -> plots.Figure:
    """Digits beside their adversarial examples, one panel for each network, and beside noise.

    Args:
        images: the clean images.
        sets: name -> their adversarial examples; a title gives the mean distortion of the whole set.
        count: how many of the first images are shown.

    Source:
        Szegedy et al. 2013, Figure 7.
    """
    noisy = gaussian_noise(images.images, paper.NUMBERS["figure 7 noise"].value, clip=False)
    counterparts = {f"{name}, stddev {float(found.rms.mean()):.3f}": found.images for name, found in sets.items()}
    counterparts |= {"Gaussian noise, stddev 1": noisy}
    return plots.pairs({title: (images.images[:count], other[:count]) for title, other in counterparts.items()})


def claims(
    fooled: Mapping[str, float],
    attacked: Mapping[str, Distortion],
    norms: Table,
    exact: Table,
    down: Table,
    accuracy: Table,
    states: pd.DataFrame,
    paths: Crossings,
    lines: Table,
    moved: Table,
) -> dict[str, bool]:
    """Which of the chapter's claims hold.

    Args:
        fooled: the error under "a random step of the same size" and under "the step found by optimisation".
        attacked: name -> adversarial examples of all images for that network.
        norms: what :func:`penalty_norms` returns.
        exact: what :func:`exact_linear` returns.
        down: what :func:`refined` returns.
        accuracy: what :func:`noise_accuracy` returns.
        states: what :func:`pixel_states` returns.
        paths: what :func:`crossings` returns.
        lines: the table of what :func:`straight` returns.
        moved: what :func:`deformations` returns.
    """
    ahead, shift = lines.to_frame(), moved.to_frame()
    step, search = shift.loc["shifted by one pixel"], shift.loc["the step found by optimisation"]
    form = norms.to_frame()
    norm_ratio = (form["c |r|"] / form["c |r|²"])[["FC100-100-10", "FC200-200-10"]]
    linear = exact.to_frame()
    penalised = linear["penalty method / optimum"]
    decided = {
        "Every image attacked on this page has an adversarial example for every network tried": all(
            found.success.all() for found in attacked.values()
        ),
        "A random step of the same size fools the network on less than one image in twenty": (
            fooled["a random step of the same size"] < 0.05
        ),
        "The step found by optimisation fools the network on every image": (
            fooled["the step found by optimisation"] == 1
        ),
        "|r| and |r|^2 agree to 1 % on the sigmoid networks": (norm_ratio - 1).abs().max() < AGREEING,
        "The penalty method is exact for a convex loss": penalised.max() < EXACT,
        "Heavier decay takes the penalty method further from the optimum": (
            penalised["FC10(1e-4)"] < penalised["FC10(1e-2)"] < penalised["FC10(1)"]
        ),
        "On linear networks the refined search reaches the optimum to one part in a thousand": (
            linear["refined / optimum"].max() < EXACT
        ),
        "The refined search is shorter than the penalty method on every network": (down.to_frame()["ratio"] > 1).all(),
        "Most pixels of the solutions are held at a bound": states.iloc[:2, 0].sum() > 0.5,
        "At least a quarter of the pixels of the solutions is held at a bound": states.iloc[:2, 0].sum() > 0.25,
        "The lead of the target changes its sign exactly once along the path of every image followed": (
            (paths.counts == 1).all()
        ),
        "Gap over slope at the clean image predicts the distance to a factor of two, in the median of every network": (
            ahead["found / predicted"].between(0.5, 2).all()
        ),
        "A shift by one pixel is a longer step than the one found, and fools the network less often": (
            step["mean distortion"] > search["mean distortion"] and step["error"] < search["error"]
        ),
        "Some network reads a third or more of the images under noise of stddev 1": accuracy.to_frame().max(axis=None)
        > 1 / 3,
    }
    return {claim: bool(holds) for claim, holds in decided.items()}
