"""Photographs in both layouts from tiny folders made here, whatever may be wrong with a file, and the real ones."""

from __future__ import annotations

import os
import shutil
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from intriguing import data
from intriguing.data import DataError, photographs

NAMES = [f"n{1440764 + 2 * i:08d} thing {i}, other name of {i}" for i in range(1000)]
GIVEN = data.data_folder()  # before any test changes it
WNIDS = [name.split()[0] for name in NAMES]


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch, tmp_path):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))


def picture(seed, size=photographs.SIZE, mode="RGB"):
    """A smooth picture that JPEG changes little."""
    coarse = np.random.default_rng(seed).integers(40, 215, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR).convert(mode)


def flat(root, pictures, labels=None, classes=NAMES):
    """The layout with one folder and a list of labels."""
    (root / "val").mkdir(parents=True)
    (root / "synset_words.txt").write_text("\n".join(classes) + "\n")
    lines = ["file,label"]
    for i, one in enumerate(pictures):
        file = f"ILSVRC2012_val_{i + 1:08d}.jpeg"
        one.save(root / "val" / file, format="JPEG", quality=95)
        lines.append(f"{file},{labels[i] if labels else 10 * i}")
    (root / "val_labels.csv").write_text("\n".join(lines) + "\n")
    return root


def sorted_by_class(root, pictures, labels):
    """The layout with a folder for each class, which may be empty."""
    (root / "val").mkdir(parents=True)
    (root / "synset_words.txt").write_text("\n".join(NAMES))
    for i, (one, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = root / "val" / WNIDS[label]
        folder.mkdir(exist_ok=True)
        one.save(folder / f"ILSVRC2012_val_{i + 1:08d}.JPEG", format="JPEG", quality=95)
    (root / "val" / WNIDS[999]).mkdir(exist_ok=True)
    return root


def test_both_layouts_give_the_same_photographs_in_the_same_order(tmp_path):
    pictures, labels = [picture(i) for i in range(4)], [30, 2, 999, 2]
    one = photographs.read(flat(tmp_path / "one", pictures, labels))
    other = photographs.read(sorted_by_class(tmp_path / "other", pictures, labels))
    assert torch.equal(one.pixels, other.pixels) and one.labels.tolist() == other.labels.tolist() == labels
    assert one.files == other.files == tuple(f"ILSVRC2012_val_{i:08d}" for i in range(1, 5))
    assert one.names == other.names and one.wnids == other.wnids == tuple(WNIDS)
    assert one.layout != other.layout and one.names[2] == "thing 2, other name of 2"
    first = photographs.read(tmp_path / "other", 2)
    assert torch.equal(first.pixels, one.pixels[:2]) and first.labels.tolist() == labels[:2]


def test_pixels_are_those_of_the_file_and_channels_are_in_order(tmp_path):
    blue = Image.new("RGB", (227, 227), (10, 60, 200))
    found = photographs.read(flat(tmp_path, [blue]))
    images = found.images()
    assert images.shape == (1, 3, 227, 227) and images.dtype == torch.float32
    assert (images.mean((2, 3)) * 255 - torch.tensor([[10.0, 60.0, 200.0]])).abs().max() < 3
    assert torch.equal((found.images([0]) * 255).round().byte(), found.pixels)
    small = found.reduced(8)
    assert small.shape == (1, 3, 28, 28)
    assert torch.allclose(small[0, :, 2, 3], found.images()[0, :, 16:24, 24:32].mean((1, 2)), atol=1e-6)
    assert "1 validation photographs (one folder" in found.summary() and "warped" not in found.summary()


def test_a_smaller_network_sees_the_middle(tmp_path):
    found = photographs.read(flat(tmp_path, [picture(0)]))
    assert torch.equal(found.images(size=217), found.images()[:, :, 5:222, 5:222])
    assert torch.equal(found.images(size=1)[:, :, 0, 0], found.images()[:, :, 113, 113])


def test_sizes_and_rows_that_are_none_are_named(tmp_path):
    found = photographs.read(flat(tmp_path, [picture(0), picture(1)]))
    for size in (300, 228, 0, -3, 1.5, "8", True, None):
        with pytest.raises(ValueError, match=f"^got size {size!r}; expected a whole number from 1 to 227; choose one"):
            found.images(size=size)
        with pytest.raises(ValueError, match=f"^got factor {size!r}; expected a whole number from 1 to 227"):
            found.reduced(size)
    for size in (0, -1, 1.5, "8", None, 10**9):
        with pytest.raises(ValueError, match=f"^got size {size!r}; expected a whole number from 1 to 10000"):
            photographs.square(tmp_path / "val" / "ILSVRC2012_val_00000001.jpeg", size)
    assert found.images(size=227).shape == (2, 3, 227, 227) and found.images([]).shape == (0, 3, 227, 227)
    for rows in ([2], "a", None, torch.tensor([0.5])):
        with pytest.raises(IndexError, match="^got rows .*; expected a slice or whole numbers below 2; count rows"):
            found.images(rows)


def test_what_is_no_path_is_named():
    for path in (None, 5, b"a.png"):
        for read in (photographs.square, photographs.read):
            with pytest.raises(TypeError, match=f"got {type(path).__name__} for a path; expected a string or a Path"):
                read(path)
    with pytest.raises(DataError, match=r"^got x{5000}, which cannot be read \(File name too long\)"):
        photographs.square("x" * 5000)


def test_a_folder_of_a_class_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root, scan = sorted_by_class(tmp_path, [picture(0)], [3]), os.scandir

    def refuses(folder):
        if str(folder).endswith(WNIDS[3]):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuses)
    with pytest.raises(DataError, match=rf"^got .*{WNIDS[3]}, which cannot be read \(Permission denied\); expected"):
        photographs.read(root)


def test_folders_may_be_called_as_pictures_are(tmp_path):
    one, other = flat(tmp_path / "one", [picture(0)], [3]), sorted_by_class(tmp_path / "other", [picture(0)], [3])
    for root in (one, other):
        (root / "val" / "thumbs.png").mkdir()
        assert photographs.read(root).labels.tolist() == [3]


def test_other_sizes_are_warped_and_counted(tmp_path):
    wide = Image.new("RGB", (500, 300), (255, 255, 255))
    wide.paste((0, 0, 0), (0, 0, 250, 300))  # the left half is black
    found = photographs.read(flat(tmp_path, [wide, picture(0)]))
    assert found.resized == 1 and found.converted == 0 and "1 of another size warped to 227 by 227" in found.summary()
    assert found.pixels[0, :, :, :105].max() < 40 and found.pixels[0, :, :, 122:].min() > 215


def test_grey_and_cmyk_become_rgb_and_are_counted(tmp_path):
    found = photographs.read(flat(tmp_path, [picture(0, mode="L"), picture(1, mode="CMYK"), picture(1)]))
    assert found.converted == 2 and "2 that were grey, CMYK, with a palette or transparent made RGB" in found.summary()
    assert torch.equal(found.pixels[0, 0], found.pixels[0, 2])  # grey: three equal channels
    # inverted channels, which is what goes wrong with CMYK, would be far off
    assert (found.pixels[1].int() - found.pixels[2].int()).abs().float().mean() < 12


def test_a_truncated_file_and_one_that_is_no_picture_are_named(tmp_path):
    flat(tmp_path, [picture(i) for i in range(3)])
    file = tmp_path / "val" / "ILSVRC2012_val_00000002.jpeg"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"ILSVRC2012_val_00000002\.jpeg cannot be decoded \(.*truncated.*fetch it anew"
    ):
        photographs.read(tmp_path)
    assert len(photographs.read(tmp_path, 1)) == 1  # those before it can be read
    file.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000002\.jpeg is no picture; expected a JPEG"):
        photographs.read(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="00000002.jpeg is no picture"):
        photographs.read(tmp_path)


def as_png(root, made, **options):
    """A folder with one picture, kept as a PNG."""
    flat(root, [picture(0)])
    (root / "val" / "ILSVRC2012_val_00000001.jpeg").unlink()
    made.save(root / "val" / "ILSVRC2012_val_00000001.png", **options)
    return root


def halves(mode, left, right):
    """A picture whose halves have one value each."""
    made = Image.new(mode, (photographs.SIZE, photographs.SIZE), left)
    made.paste(right, (113, 0, photographs.SIZE, photographs.SIZE))
    return made


GREY = np.full((photographs.SIZE, photographs.SIZE), 113 * 257, np.uint16)
GREY[:, 113:] = 40 * 257 + 3
PALETTE = halves("P", 0, 1)
PALETTE.putpalette([200, 10, 50, 0, 100, 0] + [0] * 762)
RED, GREEN, WHITE = (200, 10, 50), (0, 100, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("made", "options", "left", "right"),
    [
        (Image.fromarray(GREY), {}, (113,) * 3, (40,) * 3),
        (Image.fromarray(GREY), {"transparency": 113 * 257}, WHITE, (40,) * 3),
        (halves("1", 1, 0), {}, WHITE, (0, 0, 0)),
        (halves("1", 1, 0), {"transparency": 0}, WHITE, WHITE),
        (halves("L", 7, 90), {"transparency": 7}, WHITE, (90,) * 3),
        (halves("LA", (7, 0), (90, 255)), {}, WHITE, (90,) * 3),
        (halves("LA", (7, 51), (0, 51)), {}, (205,) * 3, (204,) * 3),
        (halves("RGB", RED, GREEN), {"transparency": RED}, WHITE, GREEN),
        (halves("RGBA", (*RED, 0), (*GREEN, 255)), {}, WHITE, GREEN),
        (halves("RGBA", (*RED, 51), (*GREEN, 255)), {}, (244, 206, 214), GREEN),
        (PALETTE, {}, RED, GREEN),
        (PALETTE, {"transparency": 0}, WHITE, GREEN),
        (PALETTE, {"transparency": bytes([255, 0])}, RED, WHITE),
    ],
)
def test_every_kind_of_png_is_what_a_reader_would_see(tmp_path, made, options, left, right):
    found = photographs.read(as_png(tmp_path, made, **options))
    assert (found.pixels[0, :, 100, 20].int() - torch.tensor(left)).abs().max() <= 1
    assert (found.pixels[0, :, 100, 200].int() - torch.tensor(right)).abs().max() <= 1
    assert found.converted == (made.mode != "RGB")


def png(depth, kind, row, transparent=None):
    """A PNG of 8 by 8 pixels as the standard lays it out, with kinds that Pillow does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    parts = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0))]
    if transparent is not None:
        parts.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    parts += [(b"IDAT", zlib.compress((b"\0" + row) * 8)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "left", "right"),
    [
        (1, b"\x0f", 0, 255, 255),
        (1, b"\x0f", 1, 0, 255),
        (2, b"\x55\xaa", None, 85, 170),
        (2, b"\x55\xaa", 1, 255, 170),
        (2, b"\x55\xaa", 2, 85, 255),
        (4, b"\x77\x77\xcc\xcc", None, 119, 204),
        (4, b"\x77\x77\xcc\xcc", 7, 255, 204),
        (4, b"\x77\x77\xcc\xcc", 12, 119, 255),
        (8, bytes([7] * 4 + [12] * 4), 12, 7, 255),
    ],
)
def test_a_grey_of_few_bits_is_transparent_where_its_file_says(tmp_path, depth, row, transparent, left, right):
    (tmp_path / "grey.png").write_bytes(png(depth, 0, row, None if transparent is None else (transparent,)))
    found = photographs.square(tmp_path / "grey.png", 8)
    assert (found[:, :, :4] == left).all() and (found[:, :, 4:] == right).all()


def test_a_transparent_colour_of_16_bits_is_refused(tmp_path):
    row = struct.pack(">HHH", 200 * 257, 10 * 257, 50 * 257) * 4 + struct.pack(">HHH", 0, 100 * 257, 0) * 4
    (tmp_path / "deep.png").write_bytes(png(16, 2, row))
    found = photographs.square(tmp_path / "deep.png", 8)
    assert found[:, 0, 0].tolist() == list(RED) and found[:, 7, 7].tolist() == list(GREEN)
    (tmp_path / "deep.png").write_bytes(png(16, 2, row, (200, 10, 50)))  # none of its pixels
    with pytest.raises(DataError, match=r"deep\.png has colours of 16 bits, one of them transparent; expected 8 bits"):
        photographs.square(tmp_path / "deep.png", 8)


def test_a_picture_as_large_as_telephones_make_them_is_read_without_a_warning(tmp_path, monkeypatch):
    picture(1).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 227 * 227 - 1)  # above which Pillow warns, up to twice as many
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert photographs.square(tmp_path / "large.png").shape == (3, 224, 224)
    assert said == []


def test_a_palette_that_is_missing_is_a_fault_of_the_file(tmp_path):
    (tmp_path / "bare.png").write_bytes(png(8, 3, bytes(8)))
    with pytest.raises(DataError, match=r"bare\.png cannot be decoded \(.+\); expected a whole JPEG or PNG"):
        photographs.square(tmp_path / "bare.png", 8)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (20, 20)), (2, (20, 206)), (3, (206, 206)), (4, (206, 20)), (5, (20, 20)), (6, (20, 206)), (7, (206, 206)),
     (8, (206, 20)), (0, (20, 20)), (99, (20, 20))],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["JPEG", "PNG"])
def test_photographs_stand_as_their_exif_data_say(tmp_path, orientation, corner, ending):
    made = Image.new("RGB", (227, 227))
    made.paste((255, 255, 255), (0, 0, 40, 40))  # a white corner at the upper left of what the camera stored
    turned = Image.Exif()
    turned[274] = orientation
    flat(tmp_path, [picture(0)])
    made.save(tmp_path / "val" / "ILSVRC2012_val_00000001.jpeg", format=ending, exif=turned)
    bright = photographs.read(tmp_path).pixels[0].float().mean(0) > 128
    assert bright[corner] and 1500 < int(bright.sum()) < 1700


def test_a_turned_photograph_is_warped_after_it_was_turned(tmp_path):
    turned = Image.Exif()
    turned[274] = 6
    wide = Image.new("RGB", (400, 200))
    wide.paste((255, 255, 255), (0, 0, 200, 200))  # the left half, which is the upper one once turned
    flat(tmp_path, [picture(0)])
    wide.save(tmp_path / "val" / "ILSVRC2012_val_00000001.jpeg", format="JPEG", exif=turned)
    pixels = photographs.read(tmp_path).pixels[0].float().mean(0)
    assert float(pixels[:100].min()) > 200 and float(pixels[127:].max()) < 60


def test_exif_data_that_cannot_be_read_turn_nothing(tmp_path):
    flat(tmp_path, [picture(0), picture(1)])
    picture(0).save(tmp_path / "val" / "ILSVRC2012_val_00000002.jpeg", format="JPEG", quality=95,
                    exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff")  # fmt: skip
    found = photographs.read(tmp_path)
    assert torch.equal(found.pixels[0], found.pixels[1])


def test_whatever_is_wrong_with_exif_data_the_picture_is_read(tmp_path):
    made = Image.new("RGB", (8, 8))
    made.paste(WHITE, (0, 0, 4, 8))
    make = struct.pack("<HHI4s", 271, 11, 1, struct.pack("<f", 1))  # the maker of the camera, as a number
    turned = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    made.save(tmp_path / "made.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\2\0" + turned + make + bytes(4))
    found = photographs.square(tmp_path / "made.jpg", 8).float().mean((0, 2))
    assert found[:4].min() > 200 and found[4:].max() < 60  # what was at the left is at the top
    made.save(tmp_path / "broken.png", exif=b"zz")
    assert photographs.square(tmp_path / "broken.png", 8)[0, 0].tolist() == [255] * 4 + [0] * 4
    whole = Image.Exif()
    whole[274], whole[271], whole[0x8769] = 6, "x", {36864: b"0230", 37500: b"note"}
    draw = np.random.default_rng(1)
    for _ in range(300):
        damaged = np.frombuffer(whole.tobytes(), np.uint8).copy()
        damaged[draw.integers(6, len(damaged), 4)] = draw.integers(0, 256, 4)
        made.save(tmp_path / "made.jpg", exif=damaged.tobytes())
        assert photographs.square(tmp_path / "made.jpg", 8).shape == (3, 8, 8)


def test_threads_leave_what_is_chosen_for_pillow_and_refuse_truncated_files(tmp_path, monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))
    noise.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:20_000])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = list(warnings.filters)

    def read(name):
        try:
            return bool(photographs.square(tmp_path / name, 32).numel())
        except DataError:
            return False

    for _ in range(5):
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(read, ["whole.jpg", "cut.jpg"] * 16)) == [True, False] * 16
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True and list(warnings.filters) == before


@pytest.mark.parametrize("ending", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncation_is_refused_whatever_is_chosen_for_pillow(tmp_path, monkeypatch, ending, part):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    flat(tmp_path, [picture(0)])
    file = tmp_path / "val" / "ILSVRC2012_val_00000001.jpeg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (227, 227, 3), np.uint8)).save(file, format=ending)
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    with pytest.raises(DataError, match=r"00001\.jpeg cannot be decoded \(.*\); expected a whole JPEG or PNG: fetch"):
        photographs.read(tmp_path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_several_pictures_in_a_file_and_other_formats_are_refused(tmp_path):
    one, other = picture(0), picture(1)
    as_png(tmp_path, one, save_all=True, append_images=[other])
    with pytest.raises(DataError, match=r"00001\.png holds 2 pictures; expected one; keep one of them"):
        photographs.read(tmp_path)
    for kind in ("GIF", "TIFF", "BMP", "WebP"):
        one.save(tmp_path / "val" / "ILSVRC2012_val_00000001.png", format=kind)
        with pytest.raises(DataError, match=rf"format {kind}; expected a JPEG or a PNG; save it as one of these\.$"):
            photographs.read(tmp_path)
    for kind in ("PPM", "EPS"):
        one.save(tmp_path / "val" / "ILSVRC2012_val_00000001.png", format=kind)
        with pytest.raises(DataError, match=r"00001\.png is no picture; expected a JPEG or a PNG; fetch"):
            photographs.read(tmp_path)
    # What a camera stores beside its photograph is a smaller copy of it.
    one.save(tmp_path / "val" / "ILSVRC2012_val_00000001.png", format="MPO", save_all=True, append_images=[other])
    assert (
        photographs.read(tmp_path).pixels[0].float() - torch.from_numpy(np.array(one)).permute(2, 0, 1)
    ).abs().mean() < 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MM\0*\0\0\0\x08", "a picture in the format TIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a picture in the format JPEG 2000"),
        (b"\xff\x0a", "a picture in the format JPEG XL"),
        (b"\0\0\1\0", "a picture in the format ICO"),
        (b"%PDF-1.4", "a picture in the format PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "a picture in the format SVG"),
        (b"\0\0\0\x18ftypavif", "a picture in the format HEIC or AVIF"),
        (b"\0\0\0\x18ftypisom", "no picture"),
        (b"RIFF\0\0\0\0WAVE", "no picture"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, content, message):
    (tmp_path / "x.jpg").write_bytes(content + bytes(50))
    with pytest.raises(DataError, match=rf"x\.jpg is {message}; expected a JPEG or a PNG"):
        photographs.square(tmp_path / "x.jpg")


def test_a_picture_too_large_and_a_pipe_are_called_what_they_are(tmp_path, monkeypatch):
    picture(0, 40).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(
        DataError, match=r"large\.png is too large \(.*1600 pixels.*\); expected fewer pixels; reduce it"
    ):
        photographs.square(tmp_path / "large.png")
    os.mkfifo(tmp_path / "pipe.png")  # which would be waited for
    with pytest.raises(DataError, match=r"pipe\.png, no ordinary file; expected a JPEG or a PNG"):
        photographs.square(tmp_path / "pipe.png")


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_other_ends_of_lines_are_no_part_of_a_list(tmp_path, mark, end):
    flat(tmp_path, [picture(0), picture(1)])
    accented = [NAMES[0].replace("thing", "crème brûlée"), *NAMES[1:]]
    (tmp_path / "synset_words.txt").write_bytes((end.join(accented) + end).encode(mark))
    lines = ["file,label", "ILSVRC2012_val_00000001.jpeg,3", "ILSVRC2012_val_00000002.jpeg,4"]
    (tmp_path / "val_labels.csv").write_bytes((end.join(lines) + end).encode(mark))
    found = photographs.read(str(tmp_path), np.int64(2))
    assert found.labels.tolist() == [3, 4] and found.names[0].startswith("crème brûlée 0")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["synset_words.txt", "val_labels.csv"])
def test_a_list_in_another_encoding_is_named(tmp_path, encoding, name):
    flat(tmp_path, [picture(0)])
    (tmp_path / name).write_bytes(("file,label\ncrème,1\n" if "csv" in name else "crème\n").encode(encoding))
    with pytest.raises(DataError, match=f"{name} is .*; expected .*: .*fetch it anew") as caught:
        photographs.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["synset_words.txt", "val_labels.csv", "val"])
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_named(tmp_path, name):
    flat(tmp_path, [picture(0)])
    if name == "val":
        (tmp_path / "val").rename(tmp_path / "elsewhere")
        (tmp_path / "val").touch()
    else:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    with pytest.raises(
        DataError, match=rf"^got .*{name}, which cannot be read \(.*\); expected a .*; correct the path"
    ):
        photographs.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nILSVRC2012_val_00000001.jpeg,1\n", "no label for ILSVRC2012_val_00000002.jpeg and 0 other"),
        ("name,class\na,1\n", r"holds the columns \['name', 'class'\]; expected file and label"),
        (
            "file,label\nILSVRC2012_val_00000001.jpeg,1000\nILSVRC2012_val_00000002.jpeg,1\n",
            "00000001.jpeg the label '1000'; expected a whole number from 0 to 999.*count from 1 need 1 subtracted",
        ),
        ("file,label\nILSVRC2012_val_00000001.jpeg,tench\nILSVRC2012_val_00000002.jpeg,1\n", "the label 'tench'"),
        (
            "file,label\na.jpeg,5.0\n",
            "a.jpeg the label '5.0'; expected .* place of the class in .*: count its lines from 0",
        ),
        ("file,label\na.jpeg,n01440764\n", "a.jpeg the label 'n01440764'; expected .* synset_words.txt: count its"),
        ("file,label\nILSVRC2012_val_00000001.jpeg,\nILSVRC2012_val_00000002.jpeg,1\n", "the label ''"),
        ("file,label\nILSVRC2012_val_00000001.jpeg,-1\nILSVRC2012_val_00000002.jpeg,1\n", "the label '-1'"),
        ("file,label\nILSVRC2012_val_00000001.jpeg,1\nILSVRC2012_val_00000001.JPEG,2\n", "names .*01.JPEG twice"),
        ("", r"holds the columns \[\]; expected file and label; name them"),
        ('file,label\n"ILSVRC2012_val_00000001.jpeg,1\n', "is no CSV file"),
        ("file,label,label\na.jpeg,1,2\n", r"holds the columns \['file', 'label', 'label'\]; expected file and label"),
        ("file\tlabel\na.jpeg\t1\n", r"expected file and label; part them by commas, not by '\\t'"),
        ("file;label\na.jpeg;1\n", "expected file and label; part them by commas, not by ';'"),
        ("file,label\na.jpeg,1\nb.jpeg,1,7\n", "has 3 fields in line 3; expected 2, as in its first line; correct"),
        ("file,label\na.jpeg,1,\n", "has 3 fields in line 2; expected 2"),
        ("file,label\na.jpeg\n", "has 1 fields in line 2; expected 2"),
        ("file,label\na.jpeg,\u0663\n", "gives a.jpeg the label '\u0663'; expected a whole number"),
    ],
)
def test_a_wrong_list_of_labels_is_named(tmp_path, text, message):
    flat(tmp_path, [picture(0), picture(1)])
    (tmp_path / "val_labels.csv").write_text(text)
    with pytest.raises(DataError, match=f"val_labels.csv.*{message}"):
        photographs.read(tmp_path)


def named(root, names, text):
    """The layout with a list, of pictures with these names; returns the label of each file."""
    flat(root, [])
    for i, name in enumerate(names):
        picture(i).save(root / "val" / name, format="PNG")
    (root / "val_labels.csv").write_text(text, encoding="utf-8")
    found = photographs.read(root)
    return dict(zip(found.files, found.labels.tolist(), strict=True))


def test_a_third_value_is_never_taken_for_the_label(tmp_path):
    with pytest.raises(DataError, match="has 3 fields in line 2; expected 2"):
        named(tmp_path, ["3.png", "4.png"], "file,label\n5.png,3,7\n6.png,4,8\n")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("a.png", "b.png"), "file, label\n a.png, 3\nb.png ,4 \n \n"),
        (("a.png", "b.png"), "file,label\nval\\a.png,3\nval/b.png,4\n"),
        (("IMG.2012.01.png", "IMG.2012.02.png"), "file,label\nIMG.2012.01,3\nIMG.2012.02,4\n"),
        (("a b.png", "b,c.png"), 'label,n,file\n3,0,a b.png\n4,1,"b,c.png"\n'),
        (("e\u0301.png", "\u00ea.png"), "file,label\n\u00e9.png,3\ne\u0302.png,4\n"),
    ],
)
def test_a_list_may_be_written_in_several_ways(tmp_path, names, text):
    labels = named(tmp_path, names, text)
    assert labels == {names[0][:-4]: 3, names[1][:-4]: 4}


def test_a_missing_list_is_named(tmp_path):
    flat(tmp_path, [picture(0)])
    (tmp_path / "val_labels.csv").unlink()
    with pytest.raises(DataError, match="val_labels.csv is missing; expected a line"):
        photographs.read(tmp_path)
    (tmp_path / "synset_words.txt").unlink()
    with pytest.raises(DataError, match="synset_words.txt is missing; expected the 1000 classes"):
        photographs.read(tmp_path)


def test_lines_of_a_list_of_classes_end_where_lines_end(tmp_path):
    strange = [NAMES[0] + "\x0cafter a new page", NAMES[1] + "\u2028after a new line", *NAMES[2:]]
    found = photographs.read(flat(tmp_path, [picture(0)], classes=strange))
    assert len(found.names) == 1000 and found.names[0].endswith("\x0cafter a new page")


@pytest.mark.parametrize(
    "broken",
    [
        NAMES[:-1],
        NAMES[::-1],
        [NAMES[0], *NAMES[:-1]],
        ["tench", *NAMES[1:]],
        [NAMES[0].replace("4", "\u0664"), *NAMES[1:]],
    ],
)
def test_a_wrong_list_of_classes_is_named(tmp_path, broken):
    flat(tmp_path, [picture(0)], classes=broken)
    with pytest.raises(DataError, match="synset_words.txt holds .* expected 1000 different classes"):
        photographs.read(tmp_path)


def test_folders_that_do_not_fit_are_named(tmp_path):
    root = sorted_by_class(tmp_path, [picture(0)], [3])
    (root / "val" / "n99999999").mkdir()
    with pytest.raises(DataError, match="n99999999 is no class of synset_words.txt"):
        photographs.read(root)
    (root / "val" / "n99999999").rmdir()
    copy = root / "val" / WNIDS[999] / "ILSVRC2012_val_00000001.JPEG"
    picture(1).save(copy, format="JPEG")
    with pytest.raises(
        DataError,
        match=rf"holds ILSVRC2012_val_00000001 twice, in .*{WNIDS[3]}.*\.JPEG and .*{WNIDS[999]}.*; rename one",
    ):
        photographs.read(root)
    copy.unlink()
    picture(1).save(root / "val" / "loose.jpeg")
    with pytest.raises(DataError, match="photographs and folders of classes; expected one or the other"):
        photographs.read(root)


def test_an_empty_folder_and_a_senseless_count(tmp_path):
    root = flat(tmp_path, [])
    for _ in range(2):
        with pytest.raises(DataError, match="val holds no photographs; expected val/<wnid>"):
            photographs.read(root)
        shutil.rmtree(root / "val", ignore_errors=True)
    for count in (0, -3, 1.5, "2", True):
        with pytest.raises(ValueError, match=f"got {count!r} photographs; expected at least 1; leave it out"):
            photographs.read(root, count)
    for wnid in ("tench", "n123", 1440764, None):
        with pytest.raises(ValueError, match=f"got {wnid!r}; expected n and eight digits; take"):
            photographs.families(["n01440764", wnid])


def test_nothing_on_this_computer(tmp_path, monkeypatch):
    assert photographs.validation() is None
    assert photographs.absence().startswith("No ImageNet photographs on this computer")
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    assert photographs.validation() is None
    flat(tmp_path / "imagenet", [picture(0), picture(1)])
    found = photographs.validation(1)
    assert len(found) == 1 and not found.pinned and "not the files of the manifest" in found.summary()


def test_the_cache_is_looked_at_after_the_data_folder(tmp_path):
    flat(tmp_path / "cache" / "data" / "imagenet", [picture(0)], [7])
    assert photographs.validation().labels.tolist() == [7]


def test_families_by_number():
    wnids = ["n01440764", "n01484850", "n01514668", "n02655020", "n02666196", "n06874185", "n07248320", "n07565083",
             "n09193705", "n09835506", "n11879895", "n15075141"]  # fmt: skip
    # Two fish, a bird, another fish, three things, food, a landscape, a person, and two for the rest.
    assert photographs.families(wnids).tolist() == [0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7]


def test_the_real_ones(monkeypatch):
    if GIVEN is None or not (GIVEN / "imagenet" / "val").is_dir():
        pytest.skip("INTRIGUING_DATA holds no imagenet/val: the real photographs are left out")
    monkeypatch.setenv("INTRIGUING_DATA", str(GIVEN))
    found = photographs.validation(30)
    assert len(found) == 30 and found.files[0].endswith("00000001")
    assert found.names[9].startswith("ostrich") and int(photographs.families(found.wnids).max()) < 29
