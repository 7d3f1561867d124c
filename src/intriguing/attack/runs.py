"""Long runs: D(x, l) of many images for one model, in chunks that are kept on disk as soon as they are finished.

A run is a folder, named after all that determines its numbers: weights, images, targets, settings, code. Each finished
chunk is one file in it, written under another name and then renamed, with a checksum inside. So a run that was killed
goes on where it stopped, and any number of processes may work in the same folder at once: started by ``torchrun``,
by a batch system, or by hand in several windows. A process that dies costs its unfinished chunk. (``torchrun`` itself
ends the other processes of a host as well, and starts all anew if given ``--max-restarts``.)

Two things are asked of the file system that the processes share. A rename replaces a file in one step: the results
rest on this alone. Byte-range locks (``fcntl``; NFS has them) keep two processes from solving the same chunk, and the
system frees them when their owner dies, however it dies; where there are none, chunks may be solved twice, with equal
results, and nothing else is lost.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from torch import Tensor, distributed, nn
from tqdm.auto import tqdm

from . import description, files
from .checks import (
    check_callable,
    check_chunk,
    check_images,
    check_search,
    check_targets,
    checked_bounds,
    checked_flag,
    checked_title,
)
from .distortion import Distortion, minimum_distortion
from .models import Classifier, apart, no_trace, out_of_memory
from .readiness import check_model

try:
    import fcntl
except ImportError:  # Windows: chunks may be solved twice there
    fcntl = None

_Made = TypeVar("_Made")

ANSWERS = "answers"  # under which a chunk keeps what the model said of its images
POLL = 0.5  # seconds between two looks at chunks that others are solving
REPEATED = 1e-3  # of their spread, by which two answers of one model to the same batch may differ
PATIENCE = 5.0  # seconds in which a file written on another host has to be seen here
SETTINGS = {
    name: setting.default
    for name, setting in inspect.signature(minimum_distortion).parameters.items()
    if setting.kind is setting.KEYWORD_ONLY and name not in ("chunk", "progress")
}


class Run:
    """D(x, l) of every image for one model, as a folder of finished chunks.

    Making a ``Run`` computes nothing but its key; :meth:`finish` solves what is missing, and :meth:`pieces` or
    :meth:`collect` give the result. On one computer, with one number of threads, the result is the same to the last bit
    however often the run was interrupted and whoever solved which chunk: that of ``minimum_distortion`` with the same
    ``chunk``. After a chunk had to be solved in smaller batches for want of memory, or in part on another computer, it
    is the same up to rounding.

    Args:
        model: as for ``minimum_distortion``.
        images: (N, *shape) float32 or float64, inside the bounds, on any device; only one chunk at a time is copied.
        targets: (N,) long, the class that each image shall be taken for.
        chunk: images per file and solved at a time, at least 1; by default 400,000 pixels on the CPU and 8 million on
            an accelerator, that is 510 and 10,204 images of 28 by 28 pixels.
        folder: where the chunks are kept; by default ``runs/<key>`` in the cache.
        device: where chunks are solved, and where a module with weights has to be already. By default where these are,
            or else the images. Its kind is part of the key.
        name: of the model. A plain function needs one, and another one whenever it changes: the name alone stands in
            the key for its code and for what it closes over.
        **settings: those of ``minimum_distortion``: ``refine``, ``norm``, ``margin``, ``max_iterations``, ...

    Attributes:
        folder: where the chunks are kept.
        key: what determines the numbers, as JSON values: hashes of weights, images, targets and code; settings.
        digest: 16 hexadecimal digits of the key.
        ranges: (start, stop) of each chunk.

    Raises:
        TypeError: images or targets of a wrong dtype, a setting that ``minimum_distortion`` does not have or does not
            take, or a folder or name that is none.
        ValueError: pixels outside the bounds, shapes that do not fit, a chunk below 1, a model in training mode or
            on another device, a device that is not there, a function without a name, or a folder that is none or holds
            another run.
        OSError: the folder cannot be written, for instance because the disk is full.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        images: Tensor,
        targets: Tensor,
        *,
        chunk: int | None = None,
        folder: Path | str | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        if unknown := sorted(settings.keys() - SETTINGS.keys()):
            raise TypeError(
                f"got the unknown setting {unknown[0]!r}; expected some of {', '.join(SETTINGS)}; leave it out."
            )
        settings = SETTINGS | settings
        settings["bounds"] = checked_bounds(settings["bounds"])
        settings["refine"] = checked_flag("refine", settings["refine"])
        check_images(images, bounds=settings["bounds"])
        check_targets(images, targets)
        check_search(**{name: value for name, value in settings.items() if name not in ("refine", "bounds")})
        check_chunk(chunk)
        # What stands for the same number, NumPy's for instance, makes the same key.
        self.settings = {name: type(SETTINGS[name])(value) for name, value in settings.items()}
        check_callable(model, "a model", "a module or a function from images to logits")
        check_model(model)
        self.model, self.images, self.targets, self._name = model, images, targets, name
        self._versions = _version(images), _version(targets)
        self._checked: set[int] = set()  # chunks of which the model has been asked
        home = _home(model, images)
        self.device = home if device is None else _checked_device(device)
        weighted = isinstance(model, nn.Module) and next(model.parameters(), None) is not None
        if weighted and self.device.type != home.type:
            raise ValueError(
                f"got device {str(self.device)!r} for a model on {str(home)!r}; expected the same one; move the model "
                f"there first, with model.to({str(self.device)!r}), or leave the device out."
            )
        chunk = _chunk_size(images, self.device) if chunk is None else int(chunk)
        self.ranges = [(start, min(start + chunk, len(images))) for start in range(0, max(len(images), 1), chunk)]
        self.key: dict[str, Any] = {
            "model": self._described(model, name),
            "images": files.digest({"images": images}),
            "targets": files.digest({"targets": targets}),
            "settings": self.settings,
            "chunk": chunk,
            "device": self.device.type,  # part of the last digits
            "code": self.code(minimum_distortion),
        } | _casts(self.device)
        self.digest = hashlib.sha256(files.canonical(self.key).encode()).hexdigest()[:16]
        if folder is None:
            self.folder = files.cache_folder() / "runs" / self.digest
        else:
            self.folder = files.checked_folder("folder", folder)
        self._chunk = chunk
        self._label_folder()

    def code(self, thing: type | Callable) -> str:
        """A text that changes with the code of a function or of a layer's class; a subclass may know a finer one.

        Args:
            thing: ``minimum_distortion``, or the class of a layer of the model.
        """
        if thing is not minimum_distortion:
            return description.source(thing)
        rooms = sorted(Path(__file__).parent.glob("*.py"))
        return hashlib.sha256(b"".join(room.read_bytes() for room in rooms)).hexdigest()

    def about(self, seconds: float) -> dict[str, Any]:
        """What a chunk's file says about how it was made, in JSON values.

        Args:
            seconds: that the chunk took.
        """
        return {"seconds": round(seconds, 1), "device": self.device.type, "torch": str(torch.__version__)}

    def note(self, index: int, about: dict[str, Any], *, made: bool) -> None:
        """Called when a chunk has been read or made; a subclass may keep account.

        Args:
            index: of the chunk.
            about: what its file says about how it was made.
            made: whether it was made just now.
        """

    def path(self, index: int) -> Path:
        """The file of one chunk, whether it exists or not.

        Args:
            index: of the chunk, 0 to ``len(ranges) - 1``.
        """
        start, stop = self.ranges[index]
        return self.folder / f"chunk-{start:07d}-{stop:07d}.safetensors"

    def finish(self, *, worker: tuple[int, int] = (0, 1), progress: str | bool | None = None) -> list[int]:
        """Solve the chunks that are missing, side by side with other processes, and return when none is.

        A chunk that another process is solving is left to it, and taken over if that process dies.

        Args:
            worker: rank and number of the processes that share the run; says with which chunk this one begins.
            progress: title of a progress bar over all images, or True for one without; None for none.

        Returns:
            The indices of the chunks that were solved here, in order of time.

        Raises:
            ValueError: a rank that is none, or images, targets or a model that have changed since the run was made.
            MemoryError: not even one image at a time fits into memory.
            OSError: a chunk cannot be written, for instance because the disk is full. Those finished are kept.
        """
        rank, size = worker
        if not 0 <= rank < size:
            raise ValueError(f"got rank {rank}; expected one from 0 to {size - 1} for {size} processes.")
        title = checked_title(progress)
        self._check_images()
        self._check_model()
        first = rank * len(self.ranges) // size
        pending = [*range(first, len(self.ranges)), *range(first)]
        made = []
        quiet = {"disable": True} if title is None else {}  # else TQDM_DISABLE decides
        bar = tqdm(total=len(self.images), desc=title, unit="image", leave=False, mininterval=1, **quiet)
        with bar, _Claims(self.folder / "claims") as claims:
            while pending:
                left = []
                for index in pending:
                    with claims.taken(index) as mine:
                        if not mine:
                            left.append(index)
                            continue
                        if self._read(index) is None:
                            self._make(index)
                            made.append(index)
                            if claims.exclusive:
                                self._sweep(index)
                    bar.update(self.ranges[index][1] - self.ranges[index][0])
                if len(left) == len(pending):
                    time.sleep(POLL)
                pending = left
        return made

    def pieces(self) -> Iterator[Distortion]:
        """The result chunk by chunk, on the CPU, read from disk one at a time; a missing chunk is solved.

        Yields:
            One ``Distortion`` per entry of ``ranges``, in order.

        Raises:
            ValueError: images, targets or, where a chunk is missing, a model that have changed since the run was made.
        """
        for index in range(len(self.ranges)):
            self._check_images()
            piece = self._read(index)
            if piece is None:
                self._check_model()
                piece = self._make(index)
            yield piece

    def collect(self) -> Distortion:
        """The whole result, filled in chunk by chunk, so that it is in memory once.

        Returns:
            A ``Distortion`` on the device of ``images``.

        Raises:
            ValueError: as for :meth:`pieces`.
        """
        whole: dict[str, Tensor] = {}
        for (start, stop), piece in zip(self.ranges, self.pieces(), strict=True):
            for field, value in vars(piece).items():
                if field not in whole:
                    shape = (len(self.images), *value.shape[1:])
                    whole[field] = torch.empty(shape, dtype=value.dtype, device=self.images.device)
                whole[field][start:stop] = value
        return Distortion(**whole)

    def summary(self) -> str:
        """One sentence on the result, computed without holding the images."""
        pieces = [(piece.rms, piece.success, piece.evaluations) for piece in self.pieces()]
        rms, success, evaluations = (torch.cat(field) for field in zip(*pieces, strict=True))
        if len(rms) == 0:
            return "No image."
        found = f"{int(success.sum()):,} of {len(success):,} images reach their target"
        effort = f"{float(evaluations.double().mean()):.0f} evaluations per image"
        if not bool(success.any()):
            return f"{found}; {effort}."
        return f"{found}, at a mean distortion of {float(rms[success].mean()):.5f}; {effort}."

    def _check_images(self) -> None:
        """Raises an error if images or targets are no longer those of the key."""
        if (_version(self.images), _version(self.targets)) != self._versions:
            raise ValueError(
                "got images or targets that were changed in place; expected those of the run; make a new Run."
            )

    def _check_model(self) -> None:
        """Raises an error if the model's weights are no longer those of the key.

        What else belongs to a model a forward pass may write, as hooks do that keep features; what a chunk is kept for
        is asked about when it is read.
        """
        now = self._described(self.model, self._name)
        if any(now.get(part) != self.key["model"].get(part) for part in ("weights", "name")):
            raise ValueError("got a model that has changed since the run was made; expected the same; make a new Run.")

    def _read(self, index: int) -> Distortion | None:
        """A chunk from disk; None where there is none, or none that can be trusted, which is reported."""
        path = self.path(index)
        try:
            found, about = files.read(path, self._text(index))
            answers = found.pop(ANSWERS)
            piece = Distortion(**found)
            self._compare(index, piece, answers)
        except FileNotFoundError:
            return None
        except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as problem:
            reason = " ".join(str(problem).split())
            warnings.warn(f"The chunk {path} cannot be used ({reason}) and is made anew.", stacklevel=3)
            return None
        self.note(index, about, made=False)
        return piece

    def _make(self, index: int) -> Distortion:
        """Solve one chunk and keep it."""
        started = time.monotonic()
        start, stop = self.ranges[index]
        images, targets = self.images[start:stop].to(self.device), self.targets[start:stop].to(self.device)
        solved = minimum_distortion(self._classify, images, targets, chunk=self._chunk, **self.settings)
        answers = self._answers(images, solved)
        self._checked.add(index)
        found = files.plain("chunk", vars(solved))
        about = self.about(time.monotonic() - started)
        files.keep(self.path(index), self._text(index), found | files.plain("chunk", {ANSWERS: answers}), about)
        self.note(index, about, made=True)
        return Distortion(**found)

    @functools.cached_property
    def _classify(self) -> Classifier:
        """The model as the search asks it: of what kind its outputs are is a matter of all images, not of a chunk."""
        bounds = checked_bounds(self.settings["bounds"], self.images.dtype)
        with torch.inference_mode(False), torch.enable_grad():
            return Classifier(self.model, self.images, bounds, self.device)

    def _answers(self, images: Tensor, found: Distortion) -> Tensor:
        """What the user's own model says of the images of a chunk before and after, (2, B, k)."""
        classify = Classifier(self.model, images[:1], checked_bounds(self.settings["bounds"], images.dtype))
        if len(images) == 0:
            return torch.zeros(2, 0, 0)
        with torch.inference_mode(False), no_trace(classify.device):
            return torch.stack([_answers(classify, images), _answers(classify, found.images.to(images.device))])

    def _compare(self, index: int, piece: Distortion, kept: Tensor) -> None:
        """Ask the model about a kept chunk, the first time that it is read: no key can tell all models apart.

        Raises:
            ValueError: it says something else than what was kept with the chunk, or that is no result for the images.
        """
        start, stop = self.ranges[index]
        images = self.images[start:stop]
        fields = {name: value for name, value in vars(piece).items() if name != "images"}
        whole = piece.images.shape == images.shape and piece.images.dtype == images.dtype
        if not whole or any(value.shape != images.shape[:1] for value in fields.values()):
            raise ValueError("its tensors are none for its images")
        if index in self._checked or len(images) == 0:
            return
        step = (piece.images.double() - images.cpu().double()).flatten(1).square().mean(1).sqrt()
        rounding = 4 * torch.finfo(images.dtype).eps * max(map(abs, self.settings["bounds"]))
        if not torch.allclose(step, piece.rms, rtol=1e-3, atol=rounding):
            raise ValueError("its distortions are not those of its images")
        now = self._answers(images.to(self.device), piece).to(kept.device)
        # One model on one kind of device repeats itself, and another precision is another model.
        if (now.shape, now.dtype) != (kept.shape, kept.dtype) or not bool((apart(now, kept) <= REPEATED).all()):
            raise ValueError("the model gives other logits for its images than the model that it was made for")
        wins = now[1].argmax(1) == self.targets[start:stop].to(kept.device)
        if not torch.equal(wins, piece.success):
            raise ValueError("the model reads its images otherwise than the model that it was made for")
        self._checked.add(index)

    def _described(self, model: Callable, name: str | None) -> dict[str, str]:
        """What determines a model's numbers: for a module its weights, its plain attributes and its own code."""
        if isinstance(model, nn.Module):
            return description.described(model, self.code)  # not the name: weights that are the same are the same model
        if not isinstance(name, str | None):
            raise TypeError(f"got a name of type {type(name).__name__}; expected a str; give str(name).")
        if name is None:
            raise ValueError(
                "got a function without a name as the model; expected one with it; give name=, and another one "
                "whenever the function changes."
            )
        return {"name": name}

    def _text(self, index: int) -> str:
        """What a chunk's file has to say about itself."""
        return files.canonical(self.key | {"range": list(self.ranges[index])})

    def _label_folder(self) -> None:
        """Write the key into a new folder, and refuse a folder with another one."""
        path = self.folder / "run.json"
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            text = json.dumps(self.key, indent=1, sort_keys=True, allow_nan=False)
            files.write_atomically(path, f"{text}\n".encode())
            return
        except OSError as problem:
            reason = problem.strerror or str(problem)
            message = (
                f"{path} cannot be read ({reason}); expected the key of a run; delete it or choose another folder."
            )
            raise OSError(problem.errno, message) from problem
        except (ValueError, RecursionError):
            raise ValueError(
                f"{path} is not JSON; expected the key of a run; delete it or choose another folder."
            ) from None
        ours = json.loads(files.canonical(self.key))
        if there != ours:
            there = there if isinstance(there, dict) else {}
            differ = ", ".join(sorted(name for name in ours.keys() | there.keys() if ours.get(name) != there.get(name)))
            raise ValueError(
                f"{self.folder} holds another run, which differs in {differ}; expected the same key or a new folder; "
                "choose another folder, or leave it out."
            )

    def _sweep(self, index: int) -> None:
        """Remove what killed processes left of this chunk; only its owner writes it, so nobody needs it."""
        for leftover in self.folder.glob(f".{self.path(index).name}-*.part"):
            leftover.unlink(missing_ok=True)


def attack(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    *,
    progress: str | bool | None = None,
    **options: Any,
) -> Distortion:
    """``minimum_distortion`` for a long run: finished chunks are kept on disk and never solved again.

    Args:
        model: as for ``minimum_distortion``.
        images: (N, *shape) float32 or float64, inside the bounds, on any device.
        targets: (N,) long, the class that each image shall be taken for.
        progress: title of a progress bar, or True for one without; None for none.
        **options: those of :class:`Run`, the settings of ``minimum_distortion`` among them.

    Returns:
        A ``Distortion`` on the device of ``images``.

    Raises:
        TypeError: as for :class:`Run`.
        ValueError: as for :class:`Run`.
        MemoryError: not even one image at a time fits into memory.
        OSError: a file cannot be written, for instance because the disk is full.
    """
    run = Run(model, images, targets, **options)
    run.finish(progress=progress)
    return run.collect()


class Team:
    """The processes that ``torchrun`` started for one run; a team of one where it started none.

    The first speaks and the others listen, only before the work begins, and only through the store that
    ``torch.distributed`` keeps for them: there is no process group, so that one that dies later holds up nobody, and
    no host needs to reach another but the one with the store. The store may outlive a restart by ``torchrun``, so what
    is said is true of every attempt. Each process takes an accelerator of its own where its host has several.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        self._said = 0  # how many things the first has said so far
        if distributed.is_available() and distributed.is_torchelastic_launched():
            from torch.distributed.rendezvous import rendezvous  # not in every build of PyTorch

            if torch.cuda.is_available():
                torch.cuda.set_device(distributed.get_node_local_rank(0) % torch.cuda.device_count())
            # The first may train for hours before the others hear of it.
            self._store, self.rank, self.size = next(rendezvous("env://", timeout=timedelta(days=7)))

    def first_alone(self, make: Callable[[], _Made]) -> _Made:
        """What ``make`` returns, in every process, called by the first while the others wait and find its files.

        Args:
            make: called without arguments, once in each process.
        """
        if self.rank == 0:
            made = make()
            self._told("made")
            return made
        self._told(None)
        return make()

    def agree(self, run: Run) -> None:
        """Make sure that this process has the run of the first one, in the same folder.

        Args:
            run: this process's.

        Raises:
            ValueError: the keys differ, or the folder is not shared.
        """
        if self.size == 1:
            return
        digest = self._told(run.digest)
        if digest != run.digest:
            raise ValueError(
                f"process {self.rank} has the run {run.digest}, process 0 has {digest}; expected one run; "
                "use the same code, weights, data and kind of device on every host"
            )
        path = run.folder / "shared"
        if self.rank == 0 and not path.exists():
            files.write_atomically(path, uuid.uuid4().hex.encode())
        token = self._told(path.read_text() if self.rank == 0 else None)
        if not _appears(path) or path.read_text() != token:
            raise ValueError(
                f"process {self.rank} does not see process 0's folder {run.folder}; expected a shared one; "
                "set INTRIGUING_CACHE to a folder that all hosts share"
            )

    def _told(self, value: str | None) -> str | None:
        """What the first process says, in every process, once it has said it."""
        if self.size == 1:
            return value
        self._said += 1
        if self.rank == 0:
            self._store.set(f"intriguing/{self._said}", value)
            return value
        return self._store.get(f"intriguing/{self._said}").decode()


class _Claims:
    """Who solves which chunk: byte i of one file is locked by the process that solves chunk i.

    POSIX locks go with their process, so that no claim outlives its owner and no clock has to be trusted.

    Attributes:
        exclusive: whether locks can be had here; without, everybody may take everything.
    """

    def __init__(self, path: Path) -> None:
        self.exclusive, self._file = False, None
        if fcntl is not None:
            try:
                self._file = open(path, "ab")  # noqa: SIM115 - closed by __exit__
                self.exclusive = True
            except OSError:  # a finished run may lie in a folder that can only be read
                pass

    def __enter__(self) -> _Claims:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @contextmanager
    def taken(self, index: int) -> Iterator[bool]:
        """Whether the chunk is this process's for the length of the block."""
        mine = self._lock(index)
        try:
            yield mine
        finally:
            if mine and self.exclusive:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, index)

    def _lock(self, index: int) -> bool:
        if not self.exclusive:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except (BlockingIOError, PermissionError):  # the two ways of saying that another process has it
            return False
        except OSError:  # this file system has no locks
            self.exclusive = False
        return True


def _answers(classify: Classifier, images: Tensor) -> Tensor:
    """What the user's own model says of images, (B, k), in halves where memory runs out."""
    try:
        return classify.answers(images)
    except (MemoryError, RuntimeError) as problem:
        if not out_of_memory(problem) or len(images) == 1:
            raise
    half = (len(images) + 1) // 2  # out here the error is gone, and with it the tensors that its traceback held
    return torch.cat([_answers(classify, part) for part in images.split(half)])


def _checked_device(device: torch.device | str) -> torch.device:
    """The device of that name, if it is there."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as problem:
        reason = " ".join(str(problem).split())[:100]
        raise ValueError(
            f"got device {device!r} ({reason}); expected one that is there; leave it out for where the model is."
        ) from problem
    return found


def _casts(device: torch.device) -> dict[str, str]:
    """The precision to which PyTorch casts of itself here, for the key; nothing where it does not."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(device.type):
        return {}
    return {"autocast": str(torch.get_autocast_dtype(device.type))}


def _home(model: Callable, images: Tensor) -> torch.device:
    """Where the weights are; a function is called with images on their own device."""
    weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return images.device if weights is None else weights.device


def _version(tensor: Tensor) -> int | None:
    """A number that grows when a tensor is changed in place; None where PyTorch keeps none."""
    return None if tensor.is_inference() else tensor._version  # noqa: SLF001 - its only name


def _chunk_size(images: Tensor, device: torch.device) -> int:
    """Images per chunk: near the cache on a CPU, as many as keep an accelerator busy."""
    pixels = max(1, images[0].numel()) if len(images) else 1
    return max(1, (400_000 if device.type == "cpu" else 8_000_000) // pixels)


def _appears(path: Path) -> bool:
    """Whether a file of another process is there; a network's file system may show it late."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
