"""ImageNet validation photographs as people keep them: a folder for each class, or one folder and a list of labels.

Where the photographs and the names of the classes lie is the reader's business; this room reads both layouts in the
order of the file names, so that the first hundred photographs are the same in each. It names what it cannot read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import struct
import threading
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from intriguing.data import manifest
from intriguing.data.rows import check_whole, picked

SIZE = 227
"""Height and width to which a photograph is brought, and at which the convolutions of Caffe's AlexNet see it."""

SEEN = 224
"""Height and width of the middle of a photograph that the other networks of the chapter on photographs see."""

LARGEST = 10_000
"""The largest height and width that a square may be given."""

CLASSES = 1000
FOLDER = "imagenet"
SUFFIXES = (".jpeg", ".jpg", ".png")
FORMATS = ("JPEG", "PNG")  # by content; other readers of Pillow are kept away from files of unknown origin
FOREIGN = {  # how they begin; what telephones make is a container, as films are
    "HEIC or AVIF": rb".{4}ftyp(he|mi|ms|av)", "GIF": rb"GIF8", "WebP": rb"RIFF.{4}WEBP", "TIFF": rb"II\*\0|MM\0\*",
    "BMP": rb"BM", "JPEG 2000": rb"\0{3}\x0cjP  |\xff\x4f\xff\x51", "JPEG XL": rb"\0{3}\x0cJXL |\xff\x0a",
    "ICO": rb"\0\0\x01\0", "PDF": rb"%PDF-", "SVG": rb"\s*(<\?xml[^>]*>\s*)?<svg\b",
}  # fmt: skip
SHALLOW = {"L;2": 85, "L;4": 17}
"""What a grey of 2 or 4 bits is multiplied by to have 8."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What sets a picture upright, by the number for its orientation in EXIF data."""
# Where the kinds end in the numbering of WordNet 3.0, animals first; see ``families``.
ENDS = {"animals": 2_660_000, "things": 7_500_000, "food": 9_000_000, "landscapes": 9_600_000, "persons": 11_000_000}
_WNID = re.compile(r"n[0-9]{8}")
_ALONE = threading.RLock()


@dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs with their classes.

    Attributes:
        pixels: (N, 3, 227, 227) uint8, red, green and blue.
        labels: (N,) int64 from 0 to 999.
        files: (N,) the names of the files without their ending, in increasing order.
        names: (1000,) what each class is called.
        wnids: (1000,) the number of each class in WordNet, in increasing order.
        layout: how the files lay, in a few words.
        resized: how many had another size.
        converted: how many were not RGB: grey, CMYK, with a palette or with a channel for what is transparent.
        pinned: whether the files are, byte by byte, those of :data:`intriguing.data.manifest.MANIFEST`.
    """

    pixels: Tensor
    labels: Tensor
    files: tuple[str, ...]
    names: tuple[str, ...]
    wnids: tuple[str, ...]
    layout: str
    resized: int
    converted: int
    pinned: bool

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, rows: Tensor | slice | Sequence[int] = slice(None), size: int = SIZE) -> Tensor:
        """Some photographs as a network sees them.

        Args:
            rows: a slice or integers below N. All 1,500 take 0.9 GB.
            size: height and width of the middle that is cut out, in pixels.

        Returns:
            (B, 3, size, size) float32 in [0, 1].

        Raises:
            ValueError: a size that is none, or above 227.
            IndexError: rows that are none.
        """
        check_whole(size, "size", SIZE)
        less = (SIZE - size) // 2
        return picked(self.pixels[:, :, less : less + size, less : less + size], rows).float() / 255

    def reduced(self, factor: int = 8) -> Tensor:
        """All photographs at a fraction of their size, each pixel the mean of a square.

        Args:
            factor: how many pixels a side of the square has.

        Returns:
            (N, 3, 227 // factor, 227 // factor) float32 in [0, 1].

        Raises:
            ValueError: a factor that is none, or above 227.
        """
        check_whole(factor, "factor", SIZE)
        return torch.cat([F.avg_pool2d(part.float() / 255, factor) for part in self.pixels.split(100)])

    def summary(self) -> str:
        """One sentence on what was read, and on how many were made RGB or warped."""
        done = (
            [f"{self.converted} that were grey, CMYK, with a palette or transparent made RGB"] if self.converted else []
        )
        if self.resized:
            done.append(f"{self.resized} of another size warped to {SIZE} by {SIZE} pixels")
        which = "the files of the manifest" if self.pinned else "not the files of the manifest, so numbers may differ"
        return f"{len(self)} validation photographs ({self.layout}; {which})" + "".join(f"; {part}" for part in done)


@manifest.reading()
def validation(count: int | None = None, *, progress: str | None = None) -> Photographs | None:
    """The first validation photographs on this computer.

    Args:
        count: how many, by the order of the file names; None for all.
        progress: title of a progress bar; None for none.

    Returns:
        The photographs; None where there is no folder ``imagenet/val`` in ``INTRIGUING_DATA`` or in the cache.

    Raises:
        DataError: there is one, and something in it cannot be read.
        ValueError: a count below 1, or ``INTRIGUING_DATA`` is set and is no folder.
    """
    root = next((folder / FOLDER for folder in manifest.looked_in(FOLDER) if (folder / FOLDER / "val").is_dir()), None)
    if root is None:
        return None
    found = read(root, count, progress=progress)
    return replace(found, pinned=_pinned(root))


def absence() -> str:
    """The sentence for a page that has no photographs to look at."""
    return (
        f"No ImageNet photographs on this computer: {FOLDER}/val is neither in INTRIGUING_DATA nor in the cache; set "
        f"INTRIGUING_DATA to a folder with {FOLDER}/val and {FOLDER}/synset_words.txt."
    )


@manifest.reading()
def read(root: Path | str, count: int | None = None, *, progress: str | None = None) -> Photographs:
    """Photographs in one of the two layouts.

    Args:
        root: holds ``synset_words.txt``, one line "wnid names" per class in increasing order of the wnid, and either
            ``val/<wnid>/*.JPEG``, or ``val/*.jpeg`` with ``val_labels.csv`` and its columns ``file`` and ``label``.
        count: how many, by the order of the file names; None for all.
        progress: title of a progress bar; None for none.

    Returns:
        The photographs, with ``pinned`` False. They stand upright, as their EXIF data say. Whatever has another size
        than 227 by 227 is warped to it, whatever its proportions; what is grey, of 8 or 16 bits, has a palette or is
        CMYK is made RGB, and what is transparent lies on white. Files may end in jpeg, jpg or png.

    Raises:
        DataError: nothing to read, a broken list of classes or of labels, a photograph without a label, or a file that
            is truncated, of several pictures or no picture. The sentence names the file.
        TypeError: what is no path.
        ValueError: a count below 1.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1):
        raise ValueError(f"got {count!r} photographs; expected at least 1; leave it out for all of them.")
    root = _path(root)
    wnids, names = _classes(root / "synset_words.txt")
    paths, labels, layout = _listed(root, wnids)
    paths = paths[:count]
    pixels = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    modes, sizes = [], []
    quiet = {"disable": True} if progress is None else {}  # else TQDM_DISABLE decides
    for i, path in enumerate(tqdm(paths, desc=progress, unit="photograph", leave=False, mininterval=1, **quiet)):
        pixels[i], mode, size = _decoded(path)
        modes.append(mode)
        sizes.append(size)
    return Photographs(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor([labels[_name(path.name)] for path in paths]),
        files=tuple(path.stem for path in paths),
        names=names,
        wnids=wnids,
        layout=layout,
        resized=sum(size != (SIZE, SIZE) for size in sizes),
        converted=sum(mode != "RGB" for mode in modes),
        pinned=False,
    )


@manifest.reading()
def square(path: Path | str, size: int = SEEN) -> Tensor:
    """The middle square of any photograph, reduced or enlarged to the size of a network's input.

    Args:
        path: a JPEG or a PNG of any size, with a colour of any kind; it is turned as its EXIF data say.
        size: height and width in pixels, at most 10,000.

    Returns:
        (3, size, size) uint8.

    Raises:
        DataError: no such file, or one that cannot be decoded.
        TypeError: what is no path.
        ValueError: another size.
    """
    check_whole(size, "size", LARGEST)
    picture, _, (width, height) = _upright(_path(path))
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    small = picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).contiguous()


def families(wnids: Sequence[str]) -> Tensor:
    """A coarse kind for every class, read from its number in WordNet.

    Of ImageNet's classes the animals have the lowest numbers, in the order of their taxonomy, so that the first three
    digits part most of their kinds, though not all: under n020 stand storks, whales and spaniels. Then come things that
    people make, for the most part in alphabetical order, which cannot be parted by number; then food, landscapes,
    persons, and plants and the rest.

    Args:
        wnids: of all classes, such as ``n01440764``.

    Returns:
        (classes,) int64, the family of each, numbered in the order in which they first occur.

    Raises:
        ValueError: one that is no such number.
    """
    strange = [wnid for wnid in wnids if not isinstance(wnid, str) or not _WNID.fullmatch(wnid)]
    if strange:
        raise ValueError(f"got {strange[0]!r}; expected n and eight digits; take them from synset_words.txt.")
    kinds = [_family(wnid) for wnid in wnids]
    known = list(dict.fromkeys(kinds))
    return torch.tensor([known.index(kind) for kind in kinds])


def _path(given: Path | str) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"got {type(given).__name__} for a path; expected a string or a Path; save it as a file first.")
    return Path(given)


def _family(wnid: str) -> str:
    number = int(wnid[1:])
    kind = next((kind for kind, end in ENDS.items() if number < end), "plants and the rest")
    return f"animals {wnid[:4]}" if kind == "animals" else kind


def _pinned(root: Path) -> bool:
    """Whether the files are those whose numbers are stored."""
    try:
        for file in manifest.MANIFEST["imagenet"].files:
            manifest.verify(root.parent, file)
    except manifest.DataError:
        return False
    return True


def _classes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes' numbers in WordNet and their names."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise manifest.DataError(
            f"{path} is missing; expected the {CLASSES} classes, one line 'n01440764 tench, Tinca tinca' each: "
            "fetch it with the photographs."
        ) from None
    except UnicodeDecodeError as problem:
        raise manifest.DataError(
            f"{path} is not in UTF-8 (byte {problem.object[problem.start]:#x} at {problem.start}); expected a list of "
            "classes in UTF-8: save it so, or fetch it anew."
        ) from None
    lines = [line.split(maxsplit=1) for line in text.split("\n") if line.strip()]
    wnids = tuple(line[0] for line in lines)
    named = all(len(line) == 2 and _WNID.fullmatch(line[0]) for line in lines)
    if not named or len(set(wnids)) != CLASSES or list(wnids) != sorted(wnids):
        raise manifest.DataError(
            f"{path} holds {len(lines)} lines; expected {CLASSES} different classes 'n01440764 tench, Tinca tinca' in "
            "increasing order, which is the order of the networks' outputs; fetch it anew."
        )
    return wnids, tuple(line[1].strip() for line in lines)


def _listed(root: Path, wnids: Sequence[str]) -> tuple[list[Path], dict[str, int], str]:
    """The files in the order of their names, the label of each name, and the layout."""
    place = {wnid: i for i, wnid in enumerate(wnids)}
    if not (root / "val").exists():
        raise _nothing(root)
    flat = _pictures(root / "val")
    folders = sorted(path for path in (root / "val").iterdir() if _WNID.fullmatch(path.name) and path.is_dir())
    if flat and folders:
        raise manifest.DataError(
            f"{root / 'val'} holds photographs and folders of classes; expected one or the other: "
            "move one of them elsewhere."
        )
    if flat:
        labels = _labels(root / "val_labels.csv", len(wnids))
        missing = [path.name for path in flat if _name(path.name) not in labels]
        if missing:
            raise manifest.DataError(
                f"{root / 'val_labels.csv'} has no label for {missing[0]} and {len(missing) - 1} other photographs; "
                "expected one for each: it is the list of another set of files."
            )
        paths, layout = flat, "one folder and a list of labels"
    else:
        strange = [folder.name for folder in folders if folder.name not in place]
        if strange:
            raise manifest.DataError(
                f"{root / 'val' / strange[0]} is no class of synset_words.txt; expected folders named after its "
                "classes; remove it, or fetch the list that belongs to these folders."
            )
        paths = [path for folder in folders for path in _pictures(folder)]
        labels = {_name(path.name): place[path.parent.name] for path in paths}
        layout = "a folder for each class"
    if not paths:
        raise _nothing(root)
    paths.sort(key=lambda path: path.stem)
    for one, other in zip(paths, paths[1:], strict=False):
        if one.stem == other.stem:
            raise manifest.DataError(
                f"{root / 'val'} holds {one.stem} twice, in {one} and {other}; expected every photograph under a name "
                "of its own; rename one, or remove it if it is a copy."
            )
    return paths, labels, layout


def _nothing(root: Path) -> manifest.DataError:
    return manifest.DataError(
        f"{root / 'val'} holds no photographs; expected val/<wnid>/*.JPEG, or val/*.jpeg with val_labels.csv: "
        "unpack the validation set there."
    )


def _pictures(folder: Path) -> list[Path]:
    """The files of a folder that may be pictures; folders may have such names, too."""
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if entry.name[0] != "." and Path(entry).suffix.lower() in SUFFIXES]
        return sorted(Path(entry) for entry in seen if not entry.is_dir())


def _labels(path: Path, classes: int) -> dict[str, int]:
    """The label of each file by its name, as :func:`_name` writes it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        read = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
        columns, *lines = [(row, read.line_num) for row in read if any(map(str.strip, row))] or [([], 0)]
    except FileNotFoundError:
        raise manifest.DataError(
            f"{path} is missing; expected a line 'ILSVRC2012_val_00000001.jpeg,65' for each photograph of val: "
            "fetch it, or sort the photographs into a folder for each class."
        ) from None
    except (csv.Error, UnicodeDecodeError) as problem:
        raise manifest.DataError(
            f"{path} is no CSV file ({problem}); expected the columns file and label: fetch it anew."
        ) from None
    header = [column.strip() for column in columns[0]]
    if header.count("file") != 1 or header.count("label") != 1:
        parted = next((mark for mark in ";\t|" if mark in ",".join(header)), None)
        advice = "name them in its first line" if parted is None else f"part them by commas, not by {parted!r}"
        raise manifest.DataError(f"{path} holds the columns {header}; expected file and label; {advice}.")
    labels: dict[str, int] = {}
    for row, number in lines:
        if len(row) != len(header):
            raise manifest.DataError(
                f"{path} has {len(row)} fields in line {number}; expected {len(header)}, as in its first line; "
                "correct the commas."
            )
        file, label = (row[header.index(column)].strip() for column in ("file", "label"))
        if not re.fullmatch("[0-9]{1,4}", label) or int(label) >= classes:
            advice = "lists that count from 1 need 1 subtracted" if label == str(classes) else "count its lines from 0"
            raise manifest.DataError(
                f"{path} gives {file} the label {label!r}; expected a whole number from 0 to {classes - 1}, the place "
                f"of the class in synset_words.txt: {advice}."
            )
        if _name(file) in labels:
            raise manifest.DataError(
                f"{path} names {file} twice; expected every photograph once: remove one of the lines."
            )
        labels[_name(file)] = int(label)
    return labels


def _name(file: str) -> str:
    """A file's name without folder and ending, in one of the ways in which Unicode writes an accented letter."""
    name = unicodedata.normalize("NFC", PureWindowsPath(file).name)  # which knows both kinds of strokes
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _decoded(path: Path) -> tuple[np.ndarray, str, tuple[int, int]]:
    """The pixels (227, 227, 3) of a file, and the mode and the size that it had."""
    picture, mode, size = _upright(path)
    if size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(picture), mode, size


def _upright(path: Path) -> tuple[Image.Image, str, tuple[int, int]]:
    """The picture of a file in RGB, turned upright, and the mode and the size that it had."""
    if not path.is_file():  # a pipe, say, would be waited for
        what = "a folder" if path.is_dir() else "no ordinary file" if path.exists() else "no such file"
        raise manifest.DataError(f"got {path}, {what}; expected a JPEG or a PNG; correct the path.")
    try:
        with _whole_files(), Image.open(path, formats=FORMATS) as picture:
            frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # a camera adds small copies
            if frames > 1:
                raise manifest.DataError(
                    f"{path} holds {frames} pictures; expected one; keep one of them, or remove the file."
                )
            mode, raw = picture.mode, next((tile.args for tile in picture.tile), "")
            picture.load()  # so that a missing end is noticed here
            if raw in SHALLOW and "transparency" in picture.info:  # which Pillow leaves as it is in the file
                picture.info["transparency"] *= SHALLOW[raw]
            if raw == "RGB;16B" and "transparency" in picture.info:  # Pillow compares a half of each number alone
                raise manifest.DataError(
                    f"{path} has colours of 16 bits, one of them transparent; expected 8 bits, or nothing transparent; "
                    "save it so."
                )
            picture = _turned(picture)
            size, picture = picture.size, _on_white(picture)
    except Image.DecompressionBombError as problem:
        raise manifest.DataError(
            f"{path} is too large ({problem}); expected fewer pixels; reduce it or remove it."
        ) from None
    except UnidentifiedImageError:
        raise manifest.DataError(f"{path} is {_kind(path)}.") from None
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError,
            struct.error, AssertionError) as problem:  # fmt: skip
        reason = " ".join(str(problem).split()) or "it contradicts itself"
        raise manifest.DataError(
            f"{path} cannot be decoded ({reason}); expected a whole JPEG or PNG: fetch it anew or remove it."
        ) from None
    return picture, mode, size


def _turned(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF data say; those that cannot be read turn nothing."""
    try:
        turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # Pillow raises whatever a broken entry leads to
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _kind(path: Path) -> str:
    """What a file is that is no JPEG and no PNG, and what to do about it; only its first bytes are looked at."""
    with path.open("rb") as file:
        first = file.read(500)
    for name, beginning in FOREIGN.items():
        if re.match(beginning, first, re.DOTALL):
            return f"a picture in the format {name}; expected a JPEG or a PNG; save it as one of these"
    return "no picture; expected a JPEG or a PNG; fetch it anew or remove it"


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB, what is transparent in it on white, and 16 bits scaled to 8."""
    if picture.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        values = np.asarray(picture).astype(np.int64)
        grey = Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
        hidden = picture.info.get("transparency")
        if hidden is not None:
            grey.paste(255, mask=Image.fromarray(np.where(values == hidden, 255, 0).astype(np.uint8)))
        return grey.convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


@contextlib.contextmanager
def _whole_files() -> Iterator[None]:
    """Refuses truncated files within the block, whatever has been chosen for Pillow elsewhere.

    Both that choice and the filters of warnings belong to the whole process, so threads go through one by one.
    """
    with _ALONE:
        chosen, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # EXIF data that cannot be read turn nothing
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # telephones make pictures as large
                yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = chosen
