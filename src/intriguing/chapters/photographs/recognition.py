"""ImageNet networks on images in [0, 1]: how many photographs they recognise, and what they see in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from intriguing import data
from intriguing.attack import files
from intriguing.book import cache, fingerprint
from intriguing.data.photographs import SEEN, SIZE, Photographs
from intriguing.models import imagenet

SQUEEZENET, ALEXNET = "SqueezeNet 1.0", "AlexNet"
TORCHVISIONS = "SqueezeNet 1.0, torchvision's"
LITE = {f"EfficientNet-Lite{number}": number for number in imagenet.LITE}
LITE0, LITE1, LITE2 = LITE
CAFFE_MEAN = (123 / 255, 117 / 255, 104 / 255)  # of red, green and blue, as the weights in the data folder expect them
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHUNK = 25  # photographs at a time: 0.2 GB for SqueezeNet


@dataclass(frozen=True)
class Known:
    """What a network is known to reach.

    Attributes:
        top1: fraction of photographs whose class comes first.
        top5: fraction whose class is among the first five; None where it was not published.
        where: on which photographs.
    """

    top1: float
    top5: float | None
    where: str


KNOWN = {
    LITE0: Known(0.751, None, "all 50,000 validation photographs, cut out of larger ones"),
    LITE1: Known(0.767, None, "likewise, at 240 by 240 pixels"),
    LITE2: Known(0.776, None, "likewise, at 260 by 260 pixels"),
    SQUEEZENET: Known(0.575, 0.803, "ImageNet's validation photographs, Iandola et al. 2016"),
    TORCHVISIONS: Known(0.58092, 0.80420, "all 50,000 validation photographs, torchvision's own measurement"),
    ALEXNET: Known(0.56522, 0.79066, "all 50,000 validation photographs, torchvision's own measurement"),
}


class Normalised(nn.Module):
    """A network that wants centred and scaled pixels, for images in [0, 1].

    Args:
        network: (B, 3, height, width) centred and scaled -> (B, k).
        mean: of red, green and blue.
        std: what the centred channels are divided by.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, k) of images (B, 3, height, width) in [0, 1]."""
        # Channels last in memory make convolutions on a CPU faster.
        return self.network(((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last))


def efficientnet(name: str = LITE0) -> Normalised:
    """EfficientNet-Lite for images in [0, 1], whose sides are multiples of 32 pixels.

    Args:
        name: of ``LITE``.

    Raises:
        DataError: its package is not installed, or the file in it is corrupt.
    """
    return _ready(Normalised(imagenet.efficientnet_lite(LITE[name]), LITE_MEAN, LITE_STD))


def squeezenet() -> Normalised | None:
    """SqueezeNet 1.0 for images in [0, 1]; None where its weights are not on this computer.

    Raises:
        DataError: the file is there and corrupt.
    """
    network = imagenet.squeezenet()
    return None if network is None else _ready(Normalised(network, CAFFE_MEAN))


def torchvision_squeezenet() -> Normalised | None:
    """torchvision's SqueezeNet 1.0 for images in [0, 1]; None where its weights are not on this computer.

    Raises:
        DataError: the file is there and corrupt.
    """
    network = imagenet.torchvision_squeezenet()
    return None if network is None else _ready(Normalised(network, TORCHVISION_MEAN, TORCHVISION_STD))


def alexnet() -> Normalised | None:
    """torchvision's AlexNet for images in [0, 1]; None where its weights are not on this computer.

    Raises:
        DataError: the file is there and corrupt.
    """
    network = imagenet.torchvision_alexnet()
    if network is None:
        return None
    return _ready(Normalised(network, TORCHVISION_MEAN, TORCHVISION_STD))


def _ready(model: Normalised) -> Normalised:
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def networks() -> dict[str, Normalised]:
    """The networks that look at ImageNet here by name, in the order of a page: AlexNet, as in the paper, comes first.

    The two EfficientNets are on every computer, the others, AlexNet among them, where their weights are.

    Raises:
        DataError: weights that are corrupt, or the package of an EfficientNet that is not installed.
    """
    small = squeezenet()
    other = torchvision_squeezenet() if small is None else None  # one of them is enough
    made = {
        ALEXNET: alexnet(),
        SQUEEZENET: small,
        TORCHVISIONS: other,
        LITE0: efficientnet(LITE0),
        LITE1: efficientnet(LITE1),
    }
    return {name: model for name, model in made.items() if model is not None}


def embedded() -> dict[str, Normalised]:
    """The networks that come with the book by name; three of one family, which differ in depth or width."""
    return {name: efficientnet(name) for name in LITE}


def halves(name: str, model: Normalised) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A network in two parts: up to its last feature layer, and on to the logits.

    Args:
        name: ``AlexNet``, ``SqueezeNet 1.0``, torchvision's or not, or an EfficientNet.
        model: the network.

    Returns:
        Two functions. The first one's output is AlexNet's 4,096 units of fc7 after their rectifiers, (B, 4096);
        EfficientNet's 1,280 units, which are means of rectified channels; or SqueezeNet's last Fire module,
        (B, 512, 13, 13). SqueezeNet has no later layer but that of the classes, each of
        which it averages over all places.
    """
    network = model.network
    if name in (SQUEEZENET, TORCHVISIONS):
        return (lambda images: network[0]((images - model.mean) / model.std)), network[1:]

    if name in LITE:
        return (lambda images: network[:-1]((images - model.mean) / model.std)), network[-1]

    def body(images: Tensor) -> Tensor:
        places = network.avgpool(network.features((images - model.mean) / model.std))
        return network.classifier[:-1](places.flatten(1))

    return body, network.classifier[-1]


@dataclass(frozen=True, eq=False)
class Responses:
    """What a network makes of photographs.

    Attributes:
        logits: (N, k) float32.
        features: (N, n) float32, the units of the last feature layer; where a unit has places, its mean over them.
    """

    logits: Tensor
    features: Tensor


def responses(name: str, model: Normalised, photos: Photographs, *, progress: str | None = None) -> Responses:
    """Logits and last features of all photographs, kept on disk.

    Args:
        name: as for :func:`halves`.
        model: the network, in evaluation mode.
        photos: the photographs.
        progress: title of a progress bar; None for none.
    """
    body, head = halves(name, model)

    def both(images: Tensor) -> dict[str, Tensor]:
        hidden = body(images)
        features = hidden.flatten(2).mean(2) if hidden.ndim > 2 else hidden
        return {"logits": head(hidden), "features": features}

    return Responses(
        **_kept(f"responses-{name.replace(' ', '-')}", both, cache.described(model), photos, progress, SEEN)
    )


def alexnet_convolutions(photos: Photographs, *, progress: str | None = None) -> Tensor | None:
    """A second pair of eyes: photographs as the convolutions of Caffe's AlexNet, trained by others, describe them.

    Args:
        photos: the photographs.
        progress: title of a progress bar; None for none.

    Returns:
        (N, 256) float32, the channels of conv5 after their rectifiers, each averaged over its places, kept on disk;
        None where the weights are not on this computer.

    Raises:
        DataError: the file is there and corrupt.
    """
    tensors = imagenet.load("alexnet")
    if tensors is None:
        return None
    tensors = {key: value.float() * imagenet.STEP for key, value in tensors.items()}

    def describe(images: Tensor) -> dict[str, Tensor]:
        x = 255 * (images - images.new_tensor(CAFFE_MEAN).view(3, 1, 1))
        for layer, how in imagenet.ALEXNET.items():
            weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
            x = F.conv2d(x, weight, bias, stride=how.stride, padding=how.padding, groups=how.groups).relu()
            if layer in ("conv1", "conv2"):
                x = F.max_pool2d(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), 3, 2, ceil_mode=True)
        return {"features": x.mean((2, 3))}

    weights = {"weights": files.digest(tensors)}
    return _kept("responses-AlexNet-convolutions", describe, weights, photos, progress, SIZE)["features"]


def read(model: nn.Module, images: Tensor) -> Tensor:
    """The classes that a network gives photographs.

    Args:
        model: images in [0, 1] -> logits.
        images: (B, 3, height, width) in [0, 1].

    Returns:
        (B,) long.
    """
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in images.split(CHUNK)])


@dataclass(frozen=True)
class Accuracy:
    """How many photographs are recognised.

    Attributes:
        right: how many.
        count: of how many.
        low: lower end of the interval of 95 % of Clopper and Pearson.
        high: its upper end.
    """

    right: int
    count: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The fraction."""
        return self.right / self.count

    def holds(self, rate: float) -> bool:
        """Whether a rate is inside the interval.

        Args:
            rate: from 0 to 1.
        """
        return self.low <= rate <= self.high


def accuracy(logits: Tensor, labels: Tensor, k: int = 1, level: float = 0.95) -> Accuracy:
    """The fraction of photographs whose class is among the k likeliest, with an exact interval.

    Args:
        logits: (N, classes).
        labels: (N,) long.
        k: how many guesses a network has.
        level: of confidence.

    Raises:
        ValueError: no photographs.

    Source:
        Clopper and Pearson 1934: the interval covers the true rate at least as often as its level says, at any N.
    """
    if not len(labels):
        raise ValueError("got no photographs; expected at least one to measure a rate on")
    right = int((logits.topk(k, dim=1).indices == labels[:, None]).any(1).sum())
    interval = stats.binomtest(right, len(labels)).proportion_ci(level, method="exact")
    return Accuracy(right, len(labels), float(interval.low), float(interval.high))


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raises an error if labels and network cannot belong together, as when a list is in another order.

    A wrong list of labels in the right range can be told by nothing else: with it the class of a photograph is among
    five guesses of a thousand about once in two hundred times.

    Args:
        logits: (N, classes) of a network that recognises most photographs.
        labels: (N,) long.

    Raises:
        DataError: not even a tenth of the photographs could be right, at a confidence of 99.9 %.
    """
    if len(labels):
        found = accuracy(logits, labels, 5, level=0.998)  # two sides
        if found.high < 0.1:
            raise data.DataError(
                f"Only {found.right} of {found.count} photographs are recognised in five guesses; expected most of "
                "them: the list of labels belongs to other files or counts the classes in another order."
            )


def _kept(
    name: str,
    function: Callable[[Tensor], dict[str, Tensor]],
    determined: Mapping[str, str],
    photos: Photographs,
    progress: str | None,
    size: int,
) -> dict[str, Tensor]:
    """The outputs of a function for every photograph, on the CPU, from disk where they are kept."""
    key = {
        **determined,
        "pixels": files.digest({"pixels": photos.pixels}),
        "size": size,
        "code": fingerprint.of(function, _in_chunks, Photographs),
    }
    return cache.load_or_make(name, key, lambda: _in_chunks(function, photos, progress, size))


def _in_chunks(
    function: Callable[[Tensor], dict[str, Tensor]], photos: Photographs, progress: str | None, size: int
) -> dict[str, Tensor]:
    """The outputs of a function, computed chunk by chunk."""
    quiet = {"disable": True} if progress is None else {}  # else TQDM_DISABLE decides
    parts = []
    with torch.no_grad(), tqdm(total=len(photos), desc=progress, unit="photograph", leave=False, **quiet) as bar:
        for start in range(0, len(photos), CHUNK):
            images = photos.images(slice(start, start + CHUNK), size)
            # Channels last in memory make convolutions on a CPU faster.
            parts.append(function(images.to(memory_format=torch.channels_last)))
            bar.update(len(images))
    return {field: torch.cat([part[field] for part in parts]) for field in parts[0]}
