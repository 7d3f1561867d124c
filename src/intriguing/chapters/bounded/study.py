"""Does a penalty on the bounds help? What is compared, what is measured of each network, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn
from tqdm.auto import tqdm

from intriguing.attack.distortion import minimum_distortion
from intriguing.book import cache, fingerprint, settings
from intriguing.book.results import Table
from intriguing.chapters.bounded.networks import ACTIVATIONS, DECAY, NONE, NORMALISED, PENALTY, bounded
from intriguing.data import Digits, Images, sample
from intriguing.lipschitz.certificates import runners_up, smallest
from intriguing.lipschitz.network import network_bound
from intriguing.models.training import error_rate, predict

STRENGTHS: Mapping[str, tuple[float, ...]] = {
    PENALTY: (1e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    DECAY: (1e-6, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    NORMALISED: (1 / 16, 1 / 8, 1 / 6, 1 / 4, 1 / 2, 1.0),
}
"""Up to one that does harm. For spectral normalisation, one over the norm that every layer is given."""

LATER: Mapping[str, tuple[float, ...]] = {"sigmoid": (1 / 5, 1 / 4.5), "ReLU": (1 / 1.5,)}
"""More of spectral normalisation, by activation, where ``COST`` fell between two of the six norms. They were added when
the six had been read, so they are no candidates of :func:`chosen`."""

RADIUS = 0.02  # root mean square per pixel, at which images are counted as certified
COST = 0.005  # of error, half a percentage point, that counts as little
CONFIDENCE = 0.95  # of an interval by itself, and of the wider ones together
HALF = 0.301  # the decimal logarithm of 2
SPREADS = 4  # a rerun may differ from the stored run by this many standard deviations
MEASURES = ("validation error", "test error", "log10 of the product", "certified", "distortion")
NAMES: Mapping[str, str] = {
    "test error": "test error",
    "log10 of the product": "product of norms, log10",
    "certified": "certified",
    "distortion": "distance found",
}
"""What stands at the axes for the measures that are shown."""


def grid(activation: str) -> tuple[tuple[str, float], ...]:
    """The methods and strengths that are tried on a network, in the order of strength.

    Args:
        activation: a key of ``networks.ACTIVATIONS``.
    """
    rows = {**STRENGTHS, NORMALISED: sorted((*STRENGTHS[NORMALISED], *LATER[activation]))}
    return ((NONE, 0.0), *((method, strength) for method, row in rows.items() for strength in row))


def draw(digits: Digits, count: int, seed: int) -> tuple[Images, Images]:
    """Training images drawn at random, and half as many others on which a strength is chosen.

    Args:
        digits: the data.
        count: how many training images.
        seed: of the draw.

    Returns:
        The two sets, which share no image.

    Raises:
        ValueError: no images, or with those held out more than there are.
    """
    held = count // 2
    if not 0 < count <= len(digits.train) - held:
        raise ValueError(f"got {count} images; expected 1 to {(2 * len(digits.train) + 1) // 3}.")
    order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(seed))
    train = digits.train.take(order[:count], f"{digits.train.name}, {count} drawn with seed {seed}")
    return train, digits.train.take(order[count : count + held], f"{digits.train.name}, {held} held out, seed {seed}")


def study(activation: str, digits: Digits) -> pd.DataFrame:
    """Every setting with every seed.

    A seed draws the training images, the initial weights and the order of the images; all settings share them, so that
    differences between settings can be taken seed by seed.

    Args:
        activation: a key of ``networks.ACTIVATIONS``.
        digits: the data of the profile.

    Returns:
        One row per network, with ``MEASURES`` as columns and an index of ``method``, ``strength`` and ``seed``.
    """
    profile = settings.profile()
    attacked = sample(digits.test, profile.density_images)
    rows = {}
    for seed in tqdm(range(settings.SEED, settings.SEED + profile.table_seeds), f"{activation}, seeds", leave=False):
        train, held_out = draw(digits, profile.bounded_images, seed)
        for method, strength in grid(activation):
            model = bounded(activation, method, strength, train, seed=seed)
            rows[method, strength, seed] = measure(model, held_out, digits.test, attacked)
    index = pd.MultiIndex.from_tuples(list(rows), names=["method", "strength", "seed"])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(MEASURES))


def measure(model: nn.Sequential, held_out: Images, test: Images, attacked: Images) -> list[float]:
    """What is measured of one network, from the file in which it is kept where that is current.

    Args:
        model: trained.
        held_out: images on which a strength is chosen.
        test: images for the test error and the certified share.
        attacked: test images whose distortion is sought, towards the class with the second largest logit.

    Returns:
        One number for each of ``MEASURES``: two errors; the decimal logarithm of the product of the layers' norms,
        factors 1/4 of the sigmoids included; the share of the test images that are read rightly and certified at
        ``RADIUS`` against all other classes by the global bound; the mean distortion of the attacks that succeeded.
    """
    key = {
        "model": cache.described(model),
        "data": [held_out.digest, test.digest, attacked.digest],
        "code": fingerprint.of(measure),
    }

    def make() -> dict[str, torch.Tensor]:
        product = network_bound(model, test.images.shape[1:]).product
        radii = smallest(model, test.images) / math.sqrt(test.images[0].numel())
        certified = (radii >= RADIUS) & (predict(model, test.images) == test.labels)
        found = minimum_distortion(model, attacked.images, runners_up(model, attacked.images), refine=True)
        numbers = [
            error_rate(model, held_out.images, held_out.labels),
            error_rate(model, test.images, test.labels),
            math.log10(product),
            float(certified.double().mean()),
            float(found.rms[found.success].mean()),
        ]
        return {"measures": torch.tensor(numbers, dtype=torch.float64)}

    return cache.load_or_make("bounded-measures", key, make)["measures"].tolist()


def sizes(digits: Digits) -> str:
    """The sentences of the page on how much is trained, held out, tested and attacked.

    Args:
        digits: the data of the profile.
    """
    profile = settings.profile()
    tried = " and ".join(f"{len(grid(name))} settings of the {name} network" for name in ACTIVATIONS)
    return (
        f"{profile.bounded_images:,} training images, {profile.bounded_images // 2:,} held out, "
        f"{profile.table_seeds} seeds, {tried}, {len(digits.test):,} test images, "
        f"{profile.density_images} of them attacked. Certified means: read rightly, and proved to stay so within "
        f"{RADIUS} (root mean square per pixel) by the global bound."
    )


def chosen(outcomes: pd.DataFrame) -> dict[str, float]:
    """The strength of each method with the smallest mean error on the images held out, of those in ``STRENGTHS``.

    Args:
        outcomes: as from ``study``.

    Returns:
        Method -> strength, 0 for none; of several that are equal the first.
    """
    means = outcomes["validation error"].groupby(level=["method", "strength"]).mean()
    return {NONE: 0.0} | {method: float(means[method][list(row)].idxmin()) for method, row in STRENGTHS.items()}


def affordable(outcomes: pd.DataFrame, measure: str) -> pd.Series:
    """The most of a measure that each method gives at little cost in error.

    Args:
        outcomes: as from ``study``.
        measure: one of ``MEASURES``, of which more is better.

    Returns:
        By method: the largest mean over those strengths whose mean error on the images held out exceeds that without
        any method by ``COST`` at most; NaN where there is none.
    """
    means = outcomes.groupby(level=["method", "strength"], sort=False).mean()
    most = float(means.xs(NONE, level="method")["validation error"].iloc[0]) + COST
    cheap = means[measure].where(means["validation error"] <= most)
    return cheap.groupby(level="method", sort=False).max()


def buys(outcomes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How much can be proved, and how far away an attack ends, at little cost in error.

    Args:
        outcomes: activation -> as from ``study``.

    Returns:
        A row for each ``method``, and for each activation a column for ``certified`` and one for ``distortion``, such
        as ``ReLU, certified``; the entries are those of :func:`affordable`.
    """
    return pd.DataFrame(
        {
            f"{activation}, {measure}": affordable(frame, measure)
            for activation, frame in outcomes.items()
            for measure in ("certified", "distortion")
        }
    )


def unpaid(outcomes: pd.DataFrame) -> float | None:
    """The strongest penalty on the bounds that costs no error on the images held out, in the mean over the seeds.

    Args:
        outcomes: as from ``study``.

    Returns:
        The strength; None where every one costs some.
    """
    errors = outcomes["validation error"].groupby(level=["method", "strength"]).mean()
    kept = errors[PENALTY][errors[PENALTY] <= errors[NONE].iloc[0]]
    return float(kept.index.max()) if len(kept) else None


def unpaid_words(outcomes: Mapping[str, pd.DataFrame]) -> str:
    """What the penalty proves where it costs no error on the images held out, and what its own choice proves.

    Args:
        outcomes: activation -> as from ``study``.

    Returns:
        A list in Markdown with one entry for each activation.
    """
    lines = []
    for name, frame in outcomes.items():
        strength, picked = unpaid(frame), chosen(frame)[PENALTY]
        if strength is None:
            lines.append(f"* {name}: every strength costs some error on the images held out.")
            continue
        means = frame.groupby(level=["method", "strength"]).mean()
        there, nothing = means.loc[(PENALTY, strength)], means.loc[(NONE, 0.0)]
        with_it, without = (
            frame.xs(place, level=("method", "strength"))["test error"] for place in ((PENALTY, strength), (NONE, 0.0))
        )
        low, high = (100 * end for end in _interval((with_it - without).to_numpy(), 1))
        lines.append(
            f"* {name}: that is {strength:g}. It certifies {there['certified']:.1%} of the test images, where "
            f"{nothing['certified']:.1%} are certified without any method; the test error is "
            f"{there['test error']:.2%} against {nothing['test error']:.2%}, a difference in percentage points with "
            f"the interval {low:+.2f} to {high:+.2f} over seeds. The rule of this page chose {picked:g}, which "
            f"certifies {means.loc[(PENALTY, picked), 'certified']:.1%}."
        )
    return "\n".join(lines)


def beyond(outcomes: Mapping[str, pd.DataFrame]) -> str:
    """What the rivals of the penalty certify at the next strength beyond ``COST``, in sentences.

    A finer grid could raise an entry of :func:`buys` about as far as that, and the penalty's own as well.

    Args:
        outcomes: activation -> as from ``study``.

    Returns:
        A list in Markdown with one entry for each activation and rival.
    """
    lines = []
    for name, frame in outcomes.items():
        means = frame.groupby(level=["method", "strength"]).mean()
        most = float(means.loc[(NONE, 0.0), "validation error"]) + COST
        penalised = affordable(frame, "certified")[PENALTY]
        for method in (DECAY, NORMALISED):
            within = means.loc[method, "validation error"] <= most
            steps = zip(within.index, within.index[1:], strict=False)
            edges = [(one, other) for one, other in steps if within[one] and not within[other]]
            if not edges or math.isnan(penalised):
                lines.append(f"* {name}, {method}: nothing to compare at that price.")
                continue
            (inside, before), (outside, after) = (
                (label(method, strength), means.at[(method, strength), "certified"]) for strength in edges[-1]
            )
            less = max(before, after) < penalised
            lines.append(
                f"* {name}: {inside}, within the price, certifies {before:.1%}, and {outside}, beyond it, {after:.1%}; "
                f"the penalty certifies {penalised:.1%} within it. {'Both are' if less else 'Not both are'} less, so a "
                f"strength between the two {'is not likely to' if less else 'might'} certify more than the penalty."
            )
    return "\n".join(lines)


def summary(activation: str, outcomes: pd.DataFrame, data: str) -> Table:
    """Means over the seeds.

    Args:
        activation: for the name.
        outcomes: as from ``study``.
        data: the name of the data.

    Returns:
        A ``Table`` named ``bounded_<activation>``: a row for each setting, a column for each of ``MEASURES``.
    """
    means = outcomes.groupby(level=["method", "strength"], sort=False).mean()
    means.index = [label(method, strength) for method, strength in means.index]
    return Table.from_frame(f"bounded_{activation}", means, {"data": data, "seeds": _seeds(outcomes)})


def label(method: str, strength: float) -> str:
    """A setting in words, such as ``weight decay 0.001``; the norm itself for spectral normalisation."""
    if method == NONE:
        return NONE
    return f"{method}, norm {1 / strength:g}" if method == NORMALISED else f"{method} {strength:g}"


def verdicts(outcomes: Mapping[str, pd.DataFrame], measure: str = "test error") -> pd.DataFrame:
    """Differences that the chosen strengths make, with intervals over the seeds.

    Args:
        outcomes: activation -> as from ``study``.
        measure: one of ``MEASURES``.

    Returns:
        One row per comparison, such as ``sigmoid: weight decay − none``, with the mean difference seed by seed,
        ``low`` and ``high`` of Student's interval at ``CONFIDENCE`` for this one comparison, and ``low of all`` and
        ``high of all`` of the wider one that holds for all comparisons together, after Bonferroni.
    """
    differences = {}
    for activation, frame in outcomes.items():
        picked = {
            method: frame.xs((method, strength), level=("method", "strength"))[measure]
            for method, strength in chosen(frame).items()
        }
        pairs = [(method, NONE) for method in STRENGTHS] + [(PENALTY, DECAY), (PENALTY, NORMALISED)]
        for one, other in pairs:
            differences[f"{activation}: {one} − {other}"] = (picked[one] - picked[other]).to_numpy()
    rows = {}
    for name, values in differences.items():
        rows[name] = [values.mean(), *_interval(values, 1), *_interval(values, len(differences))]
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["difference", "low", "high", "low of all", "high of all"]
    )


def in_words(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The differences of :func:`verdicts`, and what each of them says.

    Args:
        verdicts: of the test error.

    Returns:
        A row for each ``comparison``: the difference with the interval of this comparison alone, and the verdict.
    """
    points = 100 * verdicts[["difference", "low", "high"]]
    words = pd.DataFrame(
        {
            "difference of the test error in percentage points": [
                f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]" for middle, low, high in points.to_numpy()
            ],
            "verdict": [_word(row) for _, row in verdicts.iterrows()],
        },
        index=verdicts.index,
    )
    return words.rename_axis(index="comparison")


def _word(row: pd.Series) -> str:
    """What a difference says, the wide interval first."""
    for low, high, how in (
        ("low of all", "high of all", "beyond the wide interval"),
        ("low", "high", "if one looks at this comparison alone"),
    ):
        if row[high] < 0 or row[low] > 0:
            return f"{'lower' if row[high] < 0 else 'higher'}, {how}"
    return "undecided"


def claims(outcomes: Mapping[str, pd.DataFrame], verdicts: pd.DataFrame, buys: pd.DataFrame) -> dict[str, bool | None]:
    """What the page claims, and whether it has come out true; None where the wide interval holds zero.

    Args:
        outcomes: activation -> as from ``study``.
        verdicts: as from :func:`verdicts`, of the test error.
        buys: as from :func:`buys`.
    """
    halved, certified = [], []
    for frame in outcomes.values():
        means = frame.groupby(level=["method", "strength"]).mean()
        without, strongest = means.loc[(NONE, 0.0)], means.loc[(PENALTY, max(STRENGTHS[PENALTY]))]
        product = without["log10 of the product"] - strongest["log10 of the product"]
        halved.append(product > HALF)
        certified.append(strongest["certified"] > without["certified"])
    found = {
        "At its strongest the penalty more than halves the product of the norms of both networks": all(halved),
        "At its strongest the penalty raises the share of images that are certified, for both networks": all(certified),
        "For half a point of error the penalty certifies more than weight decay, for both networks": all(
            buys.at[PENALTY, f"{name}, certified"] > buys.at[DECAY, f"{name}, certified"] for name in outcomes
        ),
    }
    for name in outcomes:
        for sentence, other in (
            ("The penalty lowers the test error, beyond the wide interval", NONE),
            ("The penalty lowers it more than weight decay does, beyond the wide interval", DECAY),
        ):
            low, high = verdicts.loc[f"{name}: {PENALTY} − {other}", ["low of all", "high of all"]]
            found[f"{sentence}: {name}"] = None if low <= 0 <= high else bool(high < 0)
    return found


def tolerances(outcomes: pd.DataFrame) -> pd.DataFrame:
    """How far each entry of ``summary`` may lie from the stored run.

    Rounding in training ends in other weights, much like another seed. So a rerun's mean differs from the stored one as
    two means over different seeds do, whose standard deviation is that over seeds times the root of 2 / n. With few
    seeds a deviation may come out small by luck: none is taken for less than the median over the settings.

    Args:
        outcomes: as from ``study``.

    Returns:
        The tolerance of each entry, ``SPREADS`` times that.
    """
    spread = outcomes.groupby(level=["method", "strength"], sort=False).std()
    spread.index = [label(method, strength) for method, strength in spread.index]
    return SPREADS * math.sqrt(2 / _seeds(outcomes)) * spread.clip(lower=spread.median(), axis="columns")


def _seeds(outcomes: pd.DataFrame) -> int:
    return len(outcomes.index.unique("seed"))


def _interval(values: np.ndarray, comparisons: int) -> tuple[float, float]:
    """Student's interval of a mean, for one of several comparisons."""
    reach = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * comparisons), len(values) - 1)
    half = reach * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - half, values.mean() + half
