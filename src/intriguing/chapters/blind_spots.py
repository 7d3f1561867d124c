"""Blind spots: the method's path in its price c, the box at its solutions, and how far above the minimum it ends."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.oracles import exact_linear_distortion, scipy_distortion
from intriguing.attack.perturbations import gaussian_noise
from intriguing.book import markdown, paper, plots
from intriguing.book.results import Table
from intriguing.data import Images
from intriguing.models.training import error_rate

AGREEING = 0.01  # relative difference of two mean distortions, or of two searches, that counts as none
CERTIFIED = 1e-4  # duality gap below which an optimum counts as known
EXACT = 1.001  # a mean distortion below this multiple of the optimum counts as the optimum
BELOW = 1e-5  # what the solution of the exact problem may lie above its optimum, relative


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
    """The paper's method beside the search that goes on to a local minimum of |r|.

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
        images: clean images; the loop takes about half a second for each image and network.
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


def noise_accuracy(models: Mapping[str, nn.Module], images: Images) -> pd.DataFrame:
    """Which share of noisy images the networks read correctly.

    Args:
        models: name -> network.
        images: clean images, which get Gaussian noise of the paper's Figure 7 (c).

    Returns:
        One row for each network, with the columns ``free`` and ``clipped``, the latter cut back to [0, 1].

    Source:
        Szegedy et al. 2013, Figure 7 (c).
    """
    size = paper.NUMBERS["figure 7 noise"].value
    return pd.DataFrame(
        {
            column: {
                name: 1 - error_rate(model, gaussian_noise(images.images, size, clip=clip), images.labels)
                for name, model in models.items()
            }
            for column, clip in {"free": False, "clipped": True}.items()
        }
    )


def accuracy_list(accuracy: pd.DataFrame) -> str:
    """The accuracy under noise and the paper's as a table in Markdown.

    Args:
        accuracy: what :func:`noise_accuracy` returns.
    """
    rows = [[name, f"{free:.0%}", f"{clipped:.0%}"] for name, free, clipped in accuracy.itertuples()]
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
    accuracy: pd.DataFrame,
) -> dict[str, bool]:
    """Which of the chapter's claims hold.

    Args:
        fooled: the error under "a random step of the same size" and under "the step found by optimisation".
        attacked: name -> adversarial examples of all images for that network.
        norms: what :func:`penalty_norms` returns.
        exact: what :func:`exact_linear` returns.
        down: what :func:`refined` returns.
        accuracy: what :func:`noise_accuracy` returns.
    """
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
            penalised["FC10(1)"] > penalised["FC10(1e-4)"]
        ),
        "On linear networks the refined search reaches the optimum to one part in a thousand": (
            linear["refined / optimum"].max() < EXACT
        ),
        "The refined search is shorter than the penalty method on every network": (down.to_frame()["ratio"] > 1).all(),
        "Some network reads a third or more of the images under noise of stddev 1": accuracy.max(axis=None) > 1 / 3,
    }
    return {claim: bool(holds) for claim, holds in decided.items()}
