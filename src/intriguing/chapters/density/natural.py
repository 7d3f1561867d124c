"""Rarity under the data: how near real images come to each other and to the boundary, and which of them are misread.

Noise around an image is no sample of images. What a test set can say is this: how many of its images are misread, how
far those lie from the boundary, and how many of the images that have a close twin in the training set are misread, as
an adversarial image is, whose close twin is the image that it was made from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.book import cache, fingerprint
from intriguing.book.results import Table
from intriguing.chapters.density.exits import shortest
from intriguing.chapters.density.noise import interval
from intriguing.data import Digits, Images, sample
from intriguing.models.training import predict

REACH = 0.07
"""RMS up to which a training image counts as a close twin: above the median adversarial distance of every network."""

RIVALS = 4
"""Rivals followed in the search for the boundary, those nearest by the first linearisation."""

NEAR, RIGHTED = "misread within 0.02", "way out to own class"

ALLOWED = {
    "test images": 0.0,
    "misread": 0.06,
    "searched": 0.0,
    "median distance, misread": 0.03,
    "median distance, right": 0.03,
    NEAR: 0.05,
    RIGHTED: 0.5,
    "with a twin": 0.0,
    "digits with twins": 0.0,
    "of these misread": 3.0,
    "at most": 0.1,
}
"""The columns of the table of real images, and how far a rerun may lie from the stored one: chosen wide, as a network
trained again misreads other images, and not measured over seeds. Shares of few searched images may move further."""

ERRORS = 3.0  # standard errors of a share that a rerun may move it by
CONFIDENCE = 0.95  # that what is claimed of every network is true of all


@dataclass(frozen=True, eq=False)
class Company:
    """How far each test image lies from the nearest training images, root mean squares per pixel.

    Attributes:
        own: (N,), nearest training image of the same class.
        other: (N,), nearest training image of another class.
        labels: (N,) long, classes of the test images.
    """

    own: Tensor
    other: Tensor
    labels: Tensor


def company(digits: Digits) -> Company:
    """The nearest training images of every test image, made once and kept.

    Args:
        digits: the data.
    """
    key = {"train": digits.train.digest, "test": digits.test.digest, "code": fingerprint.of(_nearest)}
    kept = cache.load_or_make("density-company", key, functools.partial(_nearest, digits.train, digits.test))
    return Company(kept["own"], kept["other"], digits.test.labels)


def misread(name: str, model: nn.Module, test: Images, count: int) -> dict[str, Tensor]:
    """Which test images a network misreads, and how far those lie from the boundary of the class that it gives them.

    Args:
        name: of the network, for the file in which the outcome is kept.
        model: in evaluation mode.
        test: the test images, all of them.
        count: at most so many of the misread images, chosen at random, have their distance searched.

    Returns:
        ``wrong`` (N,) bool; for the M searched ``distance`` (M,), rms in the box to the nearest image that is given
        another class, and ``righted`` (M,) bool, whether that is the image's own.
    """
    key = {
        "model": cache.described(model),
        "images": test.digest,
        "sizes": {"count": count},
        "code": fingerprint.of(_misread),
    }
    return cache.load_or_make(f"density-misread-{name}", key, functools.partial(_misread, model, test, count))


def table(
    around: Mapping[str, Mapping[str, Tensor]], wrong: Mapping[str, Mapping[str, Tensor]], twins: Company, data: str
) -> Table:
    """Real images beside adversarial ones, one row for each network, named ``density_real``.

    Args:
        around: name -> what ``study.surroundings`` returns.
        wrong: name -> what ``misread`` returns.
        twins: what ``company`` returns.
        data: what the images are.

    Returns:
        By network: how many test images; the share misread; of how many of those the distance was searched; median
        distance to the boundary of these and of rightly read images; the share of all test images that are misread and
        lie within 0.02 of the boundary; the part whose nearest way out leads to their own class; how many test images
        have a training image of their class within ``REACH``, and of how many digits those are; how many of them are
        misread; and the most that their share can be, at 95 % confidence.
    """
    close = twins.own <= REACH
    rows = {}
    for name, one in wrong.items():
        bad, distance = one["wrong"], one["distance"]
        hit = (bad & close).sum()
        most = float(interval(hit[None], int(close.sum()))[1]) if bool(close.any()) else 1.0
        some = len(distance) > 0
        rows[name] = [
            len(bad),
            float(bad.double().mean()),
            len(distance),
            float(distance.quantile(0.5)) if some else None,
            float(around[name]["boxed"][around[name]["right"]].quantile(0.5)),
            float(bad.double().mean() * (distance <= 0.02).double().mean()) if some else 0.0,
            float(one["righted"].double().mean()) if some else None,
            int(close.sum()),
            len(twins.labels[close].unique()),
            int(hit),
            most,
        ]
    return Table("density_real", list(ALLOWED), rows, {"data": data})


def allowed(made: Table) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run.

    Args:
        made: what ``table`` returns.

    Returns:
        ``ALLOWED``; for the shares that are counted on the searched images ``ERRORS`` binomial standard errors, where
        that is more; and for how many were searched what the share of misread images may move by.
    """
    frame = made.to_frame()
    wide = pd.DataFrame(ALLOWED, index=list(made.rows), columns=made.columns)
    wide["searched"] = ALLOWED["misread"] * frame["test images"]
    count, misread = frame["searched"], frame["misread"]
    near = _error(frame[NEAR] / misread.where(misread > 0), count) * misread
    wide[NEAR] = np.fmax(wide[NEAR], ERRORS * near)
    wide[RIGHTED] = np.fmax(wide[RIGHTED], ERRORS * _error(frame[RIGHTED], count))
    return wide


def words(made: Table, twins: Company) -> str:
    """What the table says, in sentences with their numbers.

    Args:
        made: what ``table`` returns.
        twins: what ``company`` returns.
    """
    frame = made.to_frame()
    close = twins.own <= REACH
    count, digits = int(close.sum()), twins.labels[close].unique().tolist()
    hits, right, wrong = frame["of these misread"], frame["median distance, right"], frame["median distance, misread"]
    shares, parts = frame[NEAR], near_shares(frame)
    return (
        f"{count:,} of {len(close):,} test images have a training image of their class within {REACH} "
        f"(digits among them: {', '.join(map(str, digits)) or 'none'}), and of these the networks misread "
        f"{'none' if hits.max() == 0 else f'{hits.min():.0f} to {hits.max():.0f}'}: at most "
        f"{frame['at most'].max():.1%} of such images can be misread, with 95 % confidence. The median test image lies "
        f"{float(twins.own.quantile(0.5)):.2f} from the nearest training image of its class, "
        f"{float(twins.other.quantile(0.5)):.2f} from the nearest one of another class; the median image of the sample "
        f"that a network reads rightly lies {right.min():.3f} to {right.max():.3f} from an adversarial one. Misread "
        f"images lie {wrong.min():.3f} to {wrong.max():.3f} from the boundary in the median, and {shares.min():.1%} "
        f"to {shares.max():.1%} of all test images are misread and within 0.02 of it. {_parts(parts)}"
    )


def claims(made: Table, twins: Company) -> dict[str, bool | None]:
    """What the page says about rarity under the data, and whether it came out so; None where too few were counted.

    Args:
        made: what ``table`` returns.
        twins: what ``company`` returns.
    """
    frame = made.to_frame()
    reach = frame["median distance, right"].max()
    return {
        f"No network misreads more than one in a hundred of the test images with a twin within {REACH}": bool(
            (frame["of these misread"] <= 0.01 * frame["with a twin"]).all()
        ),
        "Nine test images in ten have no training image of their class as near as the median adversarial one is": bool(
            (twins.own > reach).double().mean() > 0.9
        ),
        "On every network more than half of the misread test images lie within 0.02 of the boundary": _most(frame),
        "On every network the median misread image is nearer to the boundary than the median image read rightly": bool(
            (frame["median distance, misread"] < frame["median distance, right"]).all()
        ),
    }


def near_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Which part of the misread images lies within 0.02 of the boundary, and how sure that is.

    Args:
        frame: what ``table`` returns, as a frame.

    Returns:
        By network that misreads any: ``share`` and the ends ``low`` and ``high`` of its Clopper-Pearson interval, so
        wide that all intervals together hold with the probability ``CONFIDENCE`` at least (Bonferroni).
    """
    some = frame[frame["searched"] > 0]
    count = some["searched"].astype(int)
    share = some[NEAR] / some["misread"]
    each = 1 - (1 - CONFIDENCE) / max(len(some), 1)
    ends = [interval(torch.tensor([round(k)]), n, each) for k, n in zip(share * count, count, strict=True)]
    low, high = ([float(pair[end]) for pair in ends] for end in (0, 1))
    return pd.DataFrame({"share": share, "low": low, "high": high}, index=some.index)


def _parts(shares: pd.DataFrame) -> str:
    """What ``near_shares`` says, in a sentence."""
    if shares.empty:
        return "No image is misread."
    most, least = shares["low"] > 0.5, shares["share"].idxmin()
    low, high = shares.loc[least, ["low", "high"]]
    return (
        f"By {100 * CONFIDENCE:.0f} % intervals for all networks together, such images are more than half of all "
        f"errors on {int(most.sum())} of {len(shares)} networks; the smallest part is that of {least}, "
        f"{shares.at[least, 'share']:.0%} ({low:.0%} to {high:.0%})."
    )


def _most(frame: pd.DataFrame) -> bool | None:
    """Whether every share of ``near_shares`` exceeds one half; None where an interval leaves that open."""
    shares = near_shares(frame)
    if (shares["high"] < 0.5).any():
        return False
    return True if (shares["low"] > 0.5).all() else None


def _error(share: pd.Series, count: pd.Series) -> pd.Series:
    """The standard error of a share of ``count``, with an image added to either side, for none may lie on one."""
    middle = (share * count + 1) / (count + 2)
    return (middle * (1 - middle) / count.where(count > 0)) ** 0.5


def _nearest(train: Images, test: Images, chunk: int = 250) -> dict[str, Tensor]:
    theirs, parts = train.images.flatten(1), []
    for pixels, labels in zip(test.images.flatten(1).split(chunk), test.labels.split(chunk), strict=True):
        away = torch.cdist(pixels, theirs) / pixels.shape[1] ** 0.5  # (chunk, M)
        same = labels[:, None] == train.labels
        parts.append([away.masked_fill(same != own, torch.inf).amin(1) for own in (True, False)])
    own, other = (torch.cat(pieces).double() for pieces in zip(*parts, strict=True))
    return {"own": own, "other": other}


def _misread(model: nn.Module, test: Images, count: int) -> dict[str, Tensor]:
    given = predict(model, test.images)
    wrong = given != test.labels
    if not bool(wrong.any()):
        return {"wrong": wrong, "distance": torch.zeros(0, dtype=torch.float64), "righted": wrong[:0]}
    chosen = sample(Images(test.images[wrong], given[wrong], "misread"), count)
    exits = shortest(model, chosen.images, chosen.labels, box=True, rivals=RIVALS)
    truth = sample(test.take(wrong.nonzero()[:, 0]), count).labels
    ways = exits.ways.nan_to_num(0.0).view(chosen.images.shape)
    with torch.no_grad():  # a little beyond the end of the class, where rounding cannot undo the step
        righted = model((chosen.images.double() + 1.01 * ways).clamp(0, 1).float()).argmax(1) == truth
    return {"wrong": wrong, "distance": exits.rms, "righted": righted}
