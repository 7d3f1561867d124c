"""QuocNet, scaled down: stages of untied local filters, L2 pooling and contrast normalisation, learned without labels.

A stage sees an image (C, H, W). Each place of a grid has filters of its own: nothing is shared between places, so this
is no convolution, and PyTorch has no layer for it. The filters' outputs are squared, added up over neighbouring places
and maps, and rooted. What comes out has its local mean taken away and is divided by its local deviation. Stages are
trained greedily, one after the other, by reconstruction ICA with the pooling as its topography.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from intriguing.attack import files
from intriguing.attack.checks import check_images, check_targets
from intriguing.book import settings

EPSILON = 0.01
"""Below the root of the pooling; it keeps the slope finite where nothing answers."""

FLOOR = 0.01
"""The least that the contrast normalisation divides by, as in the original."""

SPARSITY = 0.1
"""Weight of the pooled answers against the squared error of the reconstruction, as in the original."""

WHITENING = 1.0
"""Added to the variances along the directions of patches, pixels being in [0, 1]: the whitening is a weak one."""


@dataclass(frozen=True)
class Stage:
    """Sizes of a stage.

    Attributes:
        field: height and width that a filter sees.
        stride: between two places.
        maps: filters at each place.
        pool: height and width, in places, of what is pooled.
        pool_maps: neighbouring maps that are pooled together.
        window: height and width of the neighbourhood in which contrast is normalised, an odd number.
    """

    field: int
    stride: int
    maps: int
    pool: int
    pool_maps: int = 1
    window: int = 5

    def __post_init__(self) -> None:
        least = min(self.field, self.stride, self.maps, self.pool, self.pool_maps, self.window)
        if least < 1 or self.window % 2 == 0 or self.pool_maps > self.maps:
            raise ValueError(
                f"got {self}; expected sizes of at least 1, an odd window, and no more maps pooled than there are; "
                "change them."
            )

    def places(self, size: int) -> int:
        """Places along one side of an input.

        Args:
            size: height or width of the input.

        Raises:
            ValueError: not even one field and one pool fit.
        """
        places = (size - self.field) // self.stride + 1
        if size < self.field or places < self.pool:
            raise ValueError(
                f"got an input of {size} for {self}; expected room for a field and for a pool; make them smaller."
            )
        return places

    def output(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (C, H, W) of what comes out for an input of such a shape.

        Args:
            shape: (C, H, W) of the input.
        """
        height, width = (self.places(size) - self.pool + 1 for size in shape[1:])
        return self.maps - self.pool_maps + 1, height, width


@dataclass(frozen=True)
class Schedule:
    """How long and in which steps a network learns.

    Attributes:
        epochs: passes over the images.
        batch: images in a step.
        rate: of Adam, finite; it falls to zero along half a cosine.
    """

    epochs: int
    batch: int = 100
    rate: float = 2e-3

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 1 or not 0 < self.rate < math.inf:
            raise ValueError(
                f"got {self}; expected no negative epochs, a batch of at least 1 and a finite rate above 0; change it."
            )


def fields(images: Tensor, field: int, stride: int) -> Tensor:
    """What the filters of each place see.

    Args:
        images: (B, C, H, W).
        field: height and width of what is seen.
        stride: between two places.

    Returns:
        (B, C * field * field, places), places row by row.
    """
    views = images.unfold(2, field, stride).unfold(3, field, stride)  # (B, C, h, w, field, field)
    return views.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)


def filtered(images: Tensor, weight: Tensor, stage: Stage) -> Tensor:
    """Untied local filters: a convolution whose kernel is another one at each place.

    Args:
        images: (B, C, H, W).
        weight: (places, C * field * field, maps), places row by row.
        stage: its ``field`` and ``stride`` are used.

    Returns:
        (B, maps, h, w).

    Raises:
        ValueError: the weights are for an input of another size.

    Source:
        Le et al. 2012, section 3.2: the simple cells, which share no weights between places.
    """
    height, width = (stage.places(size) for size in images.shape[2:])
    wanted = (height * width, images.shape[1] * stage.field**2)
    if weight.ndim != 3 or tuple(weight.shape[:2]) != wanted:
        raise ValueError(
            f"got weights of shape {tuple(weight.shape)} for images of {tuple(images.shape[1:])}; expected "
            f"({wanted[0]}, {wanted[1]}, maps); make them for this input."
        )
    answers = torch.einsum("bdp,pdm->bmp", fields(images, stage.field, stage.stride), weight)
    return answers.unflatten(2, (height, width))


def spread_back(answers: Tensor, weight: Tensor, stage: Stage, shape: tuple[int, int, int]) -> Tensor:
    """The transpose of :func:`filtered`: each filter is laid down where it looked, times its answer.

    Args:
        answers: (B, maps, h, w).
        weight: as for :func:`filtered`.
        stage: likewise.
        shape: (C, H, W) of the input.

    Returns:
        (B, C, H, W).
    """
    patches = torch.einsum("bmp,pdm->bdp", answers.flatten(2), weight)
    return F.fold(patches, shape[1:], stage.field, stride=stage.stride)


def pooled(answers: Tensor, stage: Stage, epsilon: float = EPSILON) -> Tensor:
    """L2 pooling: the root of the sum of squares over neighbouring places and maps, moved by one place or map.

    Args:
        answers: (B, maps, h, w).
        stage: its ``pool`` and ``pool_maps`` are used.
        epsilon: below the root, above 0.

    Returns:
        (B, maps - pool_maps + 1, h - pool + 1, w - pool + 1).

    Source:
        Le et al. 2012, section 3.3: sqrt(epsilon + H (W x)^2) with fixed, uniform H.
    """
    box = (stage.pool_maps, stage.pool, stage.pool)
    sums = F.avg_pool3d(answers.square().unsqueeze(1), box, stride=1) * math.prod(box)
    return (epsilon + sums[:, 0]).sqrt()


def contrast_normalised(values: Tensor, window: int, floor: float = FLOOR) -> Tensor:
    """Subtractive and divisive local contrast normalisation over all maps.

    The local mean, weighted by a Gaussian around the place and taken over all maps, is subtracted; the rest is divided
    by its local deviation, weighted likewise, or by ``floor`` where that is larger. At the border the weights of the
    places that exist are scaled up to one.

    Args:
        values: (B, maps, h, w).
        window: height and width of the neighbourhood, an odd number; the Gaussian's deviation is a quarter of it.
        floor: above 0.

    Returns:
        (B, maps, h, w).

    Source:
        Jarrett et al. 2009, section 3.1; Le et al. 2012, section 3.2.
    """
    from_centre = torch.arange(window, dtype=values.dtype, device=values.device) - window // 2
    line = (-8 * (from_centre / window).square()).exp()
    kernel = (line[:, None] * line)[None, None]
    inside = F.conv2d(torch.ones_like(values[:1, :1]), kernel, padding=window // 2)

    def around(field: Tensor) -> Tensor:
        return F.conv2d(field.mean(1, keepdim=True), kernel, padding=window // 2) / inside

    centred = values - around(values)
    return centred / around(centred.square()).clamp(min=floor**2).sqrt()


def whitening_kernel(images: Tensor, field: int, epsilon: float = WHITENING) -> Tensor:
    """Whitening of patches (ZCA), written as a convolution: the rows of the whitening matrix for a patch's centre.

    Args:
        images: (N, C, H, W), not all of them one colour.
        field: height and width of the patches, an odd number.
        epsilon: added to the variances, so that the faintest directions are not blown up.

    Returns:
        (C, C, field, field), for padding ``field // 2``; scaled so that what comes out at the centres of the patches,
        which lie side by side, has the variance one in the mean over the channels.

    Raises:
        ValueError: an even field, or one that is larger than the images.
    """
    channels = images.shape[1]
    if field % 2 == 0 or field > min(images.shape[2:]):
        raise ValueError(
            f"got patches of {field} for images of {tuple(images.shape[2:])}; expected an odd size that fits; choose "
            "one."
        )
    patches = fields(images, field, field).transpose(1, 2).flatten(0, 1).double()  # (patches, C * field * field)
    patches = patches - patches.mean(0)
    covariance = patches.T @ patches / len(patches)
    values, vectors = torch.linalg.eigh(covariance)
    whole = vectors @ torch.diag((values.clamp(min=0) + epsilon).rsqrt()) @ vectors.T
    middle = torch.arange(channels, device=whole.device) * field**2 + field**2 // 2
    rows = whole[middle]  # (C, C * field * field)
    variance = (rows @ covariance * rows).sum(1).mean()
    return (rows / variance.sqrt()).view(channels, channels, field, field).to(images.dtype)


def reconstruction_ica(images: Tensor, weight: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
    """The two parts of the cost without labels: squared error of the reconstruction, and the pooled answers.

    Encoder and decoder share their weights.

    Args:
        images: (B, C, H, W), what the stage sees.
        weight: as for :func:`filtered`.
        stage: the sizes.

    Returns:
        Error and sparsity, (B,) each; the cost is the error plus ``SPARSITY`` times the sparsity.

    Source:
        Le et al. 2011, equation 2, with the pooling of Le et al. 2012, section 3.3.
    """
    answers = filtered(images, weight, stage)
    back = spread_back(answers, weight, stage, tuple(images.shape[1:]))
    return (back - images).square().flatten(1).sum(1), pooled(answers, stage).flatten(1).sum(1)


def initial_weight(stage: Stage, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Random filters of one length, such that what they put back is, in the mean over draws and pixels, what they saw.

    Args:
        stage: the sizes.
        shape: (C, H, W) of the input.
        generator: on the CPU.

    Returns:
        (places, C * field * field, maps) float32.
    """
    height, width = (stage.places(size) for size in shape[1:])
    weight = torch.randn(height * width, shape[0] * stage.field**2, stage.maps, generator=generator)
    filters = height * width * stage.maps
    return F.normalize(weight, dim=1) * (math.prod(shape) / filters) ** 0.5


class QuocNet(nn.Module):
    """Images in [0, 1] to the features of the last stage.

    Args:
        stages: sizes of the stages, from input to output.
        shape: (C, H, W) of an image.
        whitening: as from :func:`whitening_kernel`.
        weights: of the filters of each stage.

    Raises:
        ValueError: other weights than stages, or weights for an input of another size.
    """

    def __init__(
        self, stages: Sequence[Stage], shape: tuple[int, int, int], whitening: Tensor, weights: Sequence[Tensor]
    ) -> None:
        super().__init__()
        if len(stages) != len(weights) or not stages:
            raise ValueError(f"got {len(stages)} stages and weights for {len(weights)}; expected at least one, paired.")
        self.stages, self.shape = tuple(stages), tuple(shape)
        self.register_buffer("whitening", whitening)
        self.weights = nn.ParameterList(nn.Parameter(weight.clone()) for weight in weights)
        with torch.no_grad():
            self.features = self(torch.zeros(1, *shape, dtype=whitening.dtype, device=whitening.device)).shape[1]

    def whitened(self, images: Tensor) -> Tensor:
        """What the first stage sees.

        Args:
            images: (B, C, H, W) in [0, 1].
        """
        return whitened(images, self.whitening)

    def forward(self, images: Tensor) -> Tensor:
        """The features (B, n) of images (B, C, H, W) in [0, 1]."""
        values = self.whitened(images)
        for stage, weight in zip(self.stages, self.weights, strict=True):
            values = advanced(values, weight, stage)
        return values.flatten(1)


def whitened(images: Tensor, kernel: Tensor) -> Tensor:
    """Images, less one half, after the fixed whitening; their border is continued outwards.

    Args:
        images: (B, C, H, W) in [0, 1].
        kernel: as from :func:`whitening_kernel`.
    """
    edge = kernel.shape[-1] // 2
    return F.conv2d(F.pad(images - 0.5, (edge,) * 4, mode="replicate"), kernel)


def advanced(values: Tensor, weight: Tensor, stage: Stage) -> Tensor:
    """One whole stage: filters, pooling, contrast normalisation.

    Args:
        values: (B, C, H, W).
        weight: as for :func:`filtered`.
        stage: the sizes.
    """
    return contrast_normalised(pooled(filtered(values, weight, stage), stage), stage.window)


@dataclass(frozen=True)
class Learned:
    """A stage after its training.

    Attributes:
        weight: (places, C * field * field, maps), on the CPU.
        history: (epochs, 2) float64, mean error and mean sparsity of each epoch.
    """

    weight: Tensor
    history: Tensor


def learn_stage(
    images: Tensor,
    stage: Stage,
    schedule: Schedule,
    *,
    seed: int = settings.SEED,
    checkpoint: Path | None = None,
    origin: str | None = None,
    progress: str | None = None,
) -> Learned:
    """Train the filters of one stage by reconstruction ICA, from images alone.

    Where a process group of ``torch.distributed`` exists, each process takes its share of every batch and the gradients
    are added up, so that all end with the same weights: those of one process, to rounding.

    Args:
        images: (N, C, H, W), what the stage sees, the same in every process.
        stage: its sizes.
        schedule: how long.
        seed: of the first weights and of the order of the images.
        checkpoint: a file in which the state after each epoch is kept, and from which an interrupted training goes on,
            to the same end; that of other images, sizes, schedules or seeds is begun anew. Whoever asked for it removes
            it; None keeps nothing.
        origin: a text that changes with all that the images were made from, by which the checkpoint knows them where
            they are not the same to the last digit each time; None takes the images themselves.
        progress: title of a progress bar; None for none.

    Returns:
        A ``Learned``.

    Raises:
        ValueError: no images, or NaN in them.
        OSError: the checkpoint cannot be written.
        FloatingPointError: the cost is no longer finite; the rate is too high.

    Source:
        Le et al. 2011, equation 2; Le et al. 2012, sections 3.3 and 3.4.
    """
    if images.ndim != 4 or not len(images) or bool(images.isnan().any()):
        raise ValueError(
            f"got images of shape {tuple(images.shape)}{', with NaN' if bool(images.isnan().any()) else ''}; expected "
            "(N, C, H, W), at least one, all finite; check how they were made."
        )
    rank, size = standing()
    shape, device = tuple(images.shape[1:]), images.device
    weight = initial_weight(stage, shape, torch.Generator().manual_seed(seed)).to(device).requires_grad_()
    steps = -(-len(images) // schedule.batch) * schedule.epochs
    optimiser = torch.optim.Adam([weight], lr=schedule.rate)
    state = {"history": torch.zeros(0, 2, dtype=torch.float64)}
    text = ""
    if checkpoint is not None:
        training = {"stage": vars(stage), "schedule": vars(schedule), "seed": seed, "shape": list(shape)}
        text = files.canonical(training | {"images": files.digest({"images": images}) if origin is None else origin})
        state |= _resumed(checkpoint, text, weight, optimiser)
    quiet = {"disable": True} if progress is None or rank else {}  # else TQDM_DISABLE decides
    done = len(state["history"])
    bar = tqdm(total=steps, initial=steps // max(1, schedule.epochs) * done, desc=progress, leave=False, **quiet)
    with bar:
        for epoch in range(done, schedule.epochs):
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
            sums = torch.zeros(2, dtype=torch.float64)
            batches = order.split(schedule.batch)
            for number, rows in enumerate(batches):
                optimiser.param_groups[0]["lr"] = schedule.rate * _cosine((epoch * len(batches) + number) / steps)
                mine = images[rows[rank::size].to(device)]
                error, sparsity = (part.sum() for part in reconstruction_ica(mine, weight, stage))
                (slope,) = torch.autograd.grad((error + SPARSITY * sparsity) / len(rows), weight)
                weight.grad = _added_up(slope)
                optimiser.step()
                sums += _added_up(torch.stack([error, sparsity]).detach().double()).cpu()
                bar.update()
            if not bool(sums.isfinite().all()):
                raise FloatingPointError(f"got a cost of {sums.tolist()}; expected finite ones; lower the rate.")
            state["history"] = torch.cat([state["history"], sums[None] / len(images)])
            if checkpoint is not None and rank == 0:
                _keep(checkpoint, text, weight, optimiser, state["history"])
    return Learned(weight.detach().cpu(), state["history"])


def learn(
    images: Tensor,
    stages: Sequence[Stage],
    schedules: Sequence[Schedule],
    *,
    whitening: int = 7,
    seed: int = settings.SEED,
    folder: Path | None = None,
    progress: str | None = None,
) -> tuple[QuocNet, list[Tensor]]:
    """Train a whole network without labels, greedily: each stage on what the finished ones below it put out.

    Args:
        images: (N, C, H, W) float32 in [0, 1].
        stages: sizes, from input to output.
        schedules: one for each stage.
        whitening: height and width of the patches that the whitening is computed from, an odd number.
        seed: of all stages; each has its own stream.
        folder: where the state is kept until all stages are finished, to go on with for the same images; then the files
            ``stage-1.safetensors`` and so on are removed, and the folder where nothing else is in it. None keeps
            nothing.
        progress: title of the progress bars; None for none.

    Returns:
        The network, in evaluation mode, and the history of each stage, see :class:`Learned`.

    Raises:
        TypeError: the images are no floating tensor.
        ValueError: as for :func:`learn_stage` and :func:`whitening_kernel`, pixels outside [0, 1], or not one schedule
            for each stage.
        OSError: as for :func:`learn_stage`.
        FloatingPointError: likewise.
    """
    check_images(images)
    if len(stages) != len(schedules):
        raise ValueError(f"got {len(schedules)} schedules for {len(stages)} stages; expected one for each stage.")
    kernel = whitening_kernel(images, whitening)
    values = in_chunks(lambda some: whitened(some, kernel), images)
    weights, histories, checkpoints, below = [], [], [], []
    # Lower stages may differ in the last digit from process to process; what they are made from does not.
    source = None if folder is None else files.digest({"images": images})
    for number, (stage, schedule) in enumerate(zip(stages, schedules, strict=True), 1):
        checkpoints += [] if folder is None else [folder / f"stage-{number}.safetensors"]
        found = learn_stage(
            values,
            stage,
            schedule,
            seed=seed + 7919 * number,
            checkpoint=checkpoints[-1] if checkpoints else None,
            origin=files.canonical({"images": source, "whitening": whitening, "below": below}),
            progress=None if progress is None else f"{progress}, stage {number}",
        )
        weights.append(found.weight.to(images.device))
        histories.append(found.history)
        below.append([vars(stage), vars(schedule)])
        values = in_chunks(lambda some, stage=stage, last=weights[-1]: advanced(some, last, stage), values)
    if folder is not None and standing()[0] == 0:
        with suppress(OSError):  # what cannot be removed, or lies beside them, stays
            for path in checkpoints:
                path.unlink(missing_ok=True)
            folder.rmdir()
    net = QuocNet(stages, tuple(images.shape[1:]), kernel, weights)
    return net.eval().requires_grad_(False), histories


def supervise(
    like: QuocNet,
    images: Tensor,
    labels: Tensor,
    schedule: Schedule,
    *,
    seed: int = settings.SEED,
    progress: str | None = None,
) -> QuocNet:
    """Train a copy of a network end to end with labels, by the cross-entropy of a linear layer on its features.

    Args:
        like: the network to begin as.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) long, from 0.
        schedule: how long.
        seed: of the linear layer and of the order of the images.
        progress: title of a progress bar; None for none.

    Returns:
        The network without the linear layer, in evaluation mode.

    Raises:
        TypeError: as for :func:`intriguing.attack.checks.check_targets`.
        ValueError: images outside [0, 1], or not one label for each.
        FloatingPointError: the weights are no longer finite; the rate is too high.
    """
    check_images(images)
    check_targets(images, labels, "labels")
    net = copy.deepcopy(like).requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    last = nn.Linear(net.features, int(labels.max()) + 1)
    with torch.no_grad():
        last.weight.copy_(torch.randn(last.weight.shape, generator=generator) / net.features**0.5)
        last.bias.zero_()
    last = last.to(net.whitening)
    parameters = [*net.parameters(), *last.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=schedule.rate)
    steps = -(-len(images) // schedule.batch) * schedule.epochs
    quiet = {"disable": True} if progress is None else {}  # else TQDM_DISABLE decides
    done = 0
    with tqdm(total=steps, desc=progress, leave=False, **quiet) as bar:
        for _ in range(schedule.epochs):
            for rows in torch.randperm(len(images), generator=generator).split(schedule.batch):
                optimiser.param_groups[0]["lr"] = schedule.rate * _cosine(done / steps)
                done += 1
                optimiser.zero_grad()
                F.cross_entropy(last(net(images[rows])), labels[rows]).backward()
                optimiser.step()
                bar.update()
            if not all(bool(weight.isfinite().all()) for weight in parameters):
                raise FloatingPointError("got weights that are not finite; expected finite ones; lower the rate.")
    return net.eval().requires_grad_(False)


def random_network(like: QuocNet, *, seed: int = settings.SEED) -> QuocNet:
    """A network with the sizes and the whitening of another one, and filters that are drawn as before any training.

    Args:
        like: the other one.
        seed: of the filters.
    """
    generator, shape, weights = torch.Generator().manual_seed(seed), like.shape, []
    for stage in like.stages:
        weights.append(initial_weight(stage, shape, generator).to(like.whitening.device))
        shape = stage.output(shape)
    return QuocNet(like.stages, like.shape, like.whitening, weights).eval().requires_grad_(False)


@torch.no_grad()
def in_chunks(function: Callable[[Tensor], Tensor], images: Tensor, chunk: int = 250) -> Tensor:
    """What a function makes of many images, a few at a time.

    Args:
        function: (B, *shape) -> (B, *other).
        images: (N, *shape).
        chunk: how many at a time.
    """
    return torch.cat([function(some) for some in images.split(chunk)])


class Head(nn.Module):
    """Features to a score by a standardised linear function, and images to the logits of *other* and *car*.

    Args:
        features: images (B, C, H, W) -> (B, n).
        mean: (n,) of the features.
        scale: (n,) what they are divided by.
        weight: (n,) of the standardised features.
        bias: of the score.
    """

    def __init__(self, features: nn.Module, mean: Tensor, scale: Tensor, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.as_tensor(bias, dtype=weight.dtype, device=weight.device))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 2): zero, and the score of a car, positive where the image is taken for one."""
        score = (self.features(images) - self.mean) / self.scale @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], 1)


def standing() -> tuple[int, int]:
    """Rank of this process and how many share the training: 0 and 1 where there is no process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


@contextmanager
def workers() -> Iterator[tuple[int, int]]:
    """A process group for the length of the block where ``torchrun`` started this process: nccl on GPUs, else gloo.

    Yields:
        Rank and number of the processes.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield 0, 1
        return
    on_gpus = settings.device().type == "cuda"
    if on_gpus:
        torch.cuda.set_device(distributed.get_node_local_rank(0) % torch.cuda.device_count())
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield standing()
    finally:
        distributed.destroy_process_group()


def _added_up(tensor: Tensor) -> Tensor:
    """The sum over the processes that share the training."""
    if standing()[1] > 1:
        tensor = tensor.contiguous()
        distributed.all_reduce(tensor)
    return tensor


def _cosine(part: float) -> float:
    """Falls from one to zero along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * part))


def _keep(path: Path, text: str, weight: Tensor, optimiser: torch.optim.Adam, history: Tensor) -> None:
    """Write the state after an epoch."""
    moments = {name: value for name, value in optimiser.state[weight].items() if isinstance(value, Tensor)}
    tensors = {"weight": weight, "history": history} | moments
    files.keep(path, text, files.plain("checkpoint", tensors), {"epochs": len(history)})


def _resumed(path: Path, text: str, weight: Tensor, optimiser: torch.optim.Adam) -> dict[str, Tensor]:
    """Put the kept state back, where there is one of the same training, and return its history."""
    try:
        kept, _ = files.read(path, text)
    except (OSError, ValueError, safetensors.SafetensorError):
        return {}
    with torch.no_grad():
        weight.copy_(kept.pop("weight"))
    history = kept.pop("history")
    optimiser.state[weight] = {
        name: value.to("cpu" if name == "step" else weight.device) for name, value in kept.items()
    }
    return {"history": history}
