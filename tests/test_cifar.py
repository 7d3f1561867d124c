"""CIFAR-10: official sums, pickles that are never executed, and what happens when files are missing or corrupt."""

from __future__ import annotations

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch

from intriguing import data
from intriguing.data import DataError, cifar

GIVEN = data.data_folder()  # before any test changes it
needs_files = pytest.mark.skipif(
    GIVEN is None or not (GIVEN / cifar.FOLDER).is_dir(), reason="CIFAR-10 is not in INTRIGUING_DATA: it is left out"
)


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch, tmp_path):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))


def batch(labels, protocol=4):
    """A pickle as the official ones are, with a picture of one colour for each label."""
    pixels = np.repeat(np.array([[10 * label] * 3 for label in labels], dtype=np.uint8), 1024, axis=1)
    return pickle.dumps({b"batch_label": b"made", b"labels": labels, b"data": pixels}, protocol=protocol)


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Three tiny files with sums of their own in ``INTRIGUING_DATA``; returns their folder."""
    contents = {name: batch(labels) for name, labels in zip(cifar.SUMS, ([1, 2], [3], [1, 9]), strict=True)}
    folder = tmp_path / "data" / cifar.FOLDER
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(cifar, "SUMS", sums)
    monkeypatch.setenv("INTRIGUING_DATA", str(folder.parent))
    return folder


def test_batches_are_read_in_order(made):
    found = cifar.cifar()
    assert found.train.labels.tolist() == [1, 2, 3] and found.test.labels.tolist() == [1, 9]
    assert len(found.train) == 3 and found.train.pixels.shape == (3, 3, 32, 32)
    assert found.train.pixels[:, 0, 0, 0].tolist() == [10, 20, 30]
    some = found.train.images([2, 0])
    assert some.dtype == torch.float32 and some[:, 2, 31, 31].tolist() == pytest.approx([30 / 255, 10 / 255])
    assert found.train.digest() != found.test.digest()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_of_this_numpy_are_read_too(protocol):
    if protocol == 5:
        with pytest.raises(pickle.UnpicklingError, match="asks for"):
            cifar.unpickled(batch([1], protocol))  # its arrays are built by another function
    else:
        assert cifar.unpickled(batch([1], protocol))[b"labels"] == [1]


def test_labels_may_be_whole_numbers_of_any_kind(tmp_path):
    content = pickle.dumps({b"labels": np.array([3, 9], np.uint8), b"data": np.ones((2, 3072), np.uint8)}, 3)
    (tmp_path / "batch").write_bytes(content)
    pixels, labels = cifar.read(tmp_path / "batch", hashlib.md5(content).hexdigest())
    assert labels.tolist() == [3, 9] and labels.dtype == torch.int64 and (pixels == 1).all()


def test_a_pickle_changes_nothing_of_what_it_is_given():
    state = pickle.dumps((None, {"__name__": "evil", "__defaults__": (1, 2, 3), "__doc__": "evil"}), 2)[2:-1]
    before = cifar.unpickled(batch([1]))
    for asked in (b"numpy.core.multiarray\n_reconstruct\n", b"numpy\nndarray\n", b"numpy\ndtype\n"):
        with pytest.raises((AttributeError, TypeError)):
            cifar.unpickled(b"\x80\x02c" + asked + state + b"b.")
    assert np.array_equal(cifar.unpickled(batch([1]))[b"data"], before[b"data"])


class Mischief:
    """What a pickle of strangers may hold."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    "thing",
    [Mischief(), {b"data": Mischief()}, np.float64(1.0), np.array([Mischief()], dtype=object), torch.Tensor, print],
)
def test_whatever_is_no_plain_array_is_refused(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="it asks for"):
        cifar.unpickled(pickle.dumps(thing, protocol=2))
    assert not (tmp_path / "executed").exists()


def test_a_changed_file_is_named_and_not_opened(made, monkeypatch):
    (made / "data_batch_2").write_bytes(pickle.dumps(Mischief()))
    monkeypatch.setattr(cifar, "unpickled", lambda content: pickle.loads(content) if b"mkdir" in content else {})
    with pytest.raises(DataError, match="data_batch_2 is corrupt: got MD5 .*; expected .*; delete it"):
        cifar.read(made / "data_batch_2", cifar.SUMS["data_batch_2"])


@pytest.mark.parametrize(
    "content",
    [
        b"no pickle",
        pickle.dumps({b"labels": [1]}, 2),
        pickle.dumps([1, 2], 2),
        pickle.dumps({b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)}, 2),
        pickle.dumps({b"labels": [1], b"data": np.zeros((1, 3071), np.uint8)}, 2),
        pickle.dumps({b"labels": [b"car"], b"data": np.zeros((1, 3072), np.uint8)}, 2),
        *(
            pickle.dumps({b"labels": [1], b"data": pixels}, 3)
            for pixels in (
                np.full((1, 3072), 0.5),
                np.zeros((1, 3072), complex),
                np.full((1, 3072), -1),
                np.zeros((1, 32, 32, 3), np.uint8),
                np.zeros((3072, 1), np.uint8),
                [[300] * 3072],
            )
        ),
        *(
            pickle.dumps({b"labels": [label], b"data": np.zeros((1, 3072), np.uint8)}, 3)
            for label in (-1, 10, 77, 1.7, float("inf"), 2**70, "3")
        ),
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.",  # a text of so many bytes
    ],
)
def test_a_file_of_something_else_is_named(content, tmp_path):
    path = tmp_path / "test_batch"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch (holds no batch|has 1 pictures and 2 labels)"):
        cifar.read(path, hashlib.md5(content).hexdigest())


def test_without_the_files_there_is_nothing_and_a_sentence(made, monkeypatch, tmp_path):
    (made / "test_batch").rename(tmp_path / "elsewhere")
    assert cifar.cifar() is None
    assert "got 2 of 3 files in" in cifar.absence()
    assert "expected cifar-10-batches-py/test_batch as well; everything" in cifar.absence()
    (made / "test_batch.gz").touch()
    assert f"which is there, but packed: unpack {made / 'test_batch.gz'} with gunzip" in cifar.absence()
    (made.parent / cifar.ARCHIVE).touch()
    assert f"{made.parent / cifar.ARCHIVE} is there, but packed: unpack it with tar" in cifar.absence()
    (made.parent / cifar.ARCHIVE).unlink()
    made.rename(tmp_path / "nowhere")
    assert "cifar-10-batches-py is neither in INTRIGUING_DATA nor" in cifar.absence()
    monkeypatch.delenv("INTRIGUING_DATA")
    assert "(INTRIGUING_DATA is not set)" in cifar.absence()


def test_a_download_is_summed_before_it_is_kept(made, monkeypatch, tmp_path):
    import torchvision

    contents = {path.name: path.read_bytes() for path in made.iterdir()}
    monkeypatch.delenv("INTRIGUING_DATA")

    def fetch(change):
        def download(url, root, **_):
            (root / cifar.FOLDER).mkdir()
            for name, content in contents.items():
                (root / cifar.FOLDER / name).write_bytes(content + change)

        monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", download)

    def fails(*_, **__):
        raise RuntimeError("no network")

    place = tmp_path / "cache" / "data"
    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", fails)
    assert cifar.cifar(download=True) is None
    fetch(b"!")
    with pytest.raises(DataError, match="is corrupt"):
        cifar.cifar(download=True)
    assert list(place.iterdir()) == []
    fetch(b"")
    assert len(cifar.cifar(download=True).test) == 2
    assert [path.name for path in place.iterdir()] == [cifar.FOLDER]
    assert len(cifar.cifar().train) == 3


def test_pictures_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="expected torch.uint8"):
        cifar.Pictures(torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.long), "made")
    with pytest.raises(ValueError, match="expected one torch.int64 for each"):
        cifar.Pictures(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, dtype=torch.long), "made")


def test_rows_and_kinds_of_numbers_that_are_none_are_named():
    pixels, labels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([1, 2])
    found = cifar.Pictures(pixels, labels, "made")
    assert found.images([]).shape == (0, 3, 32, 32) and found.images([-1]).shape == (1, 3, 32, 32)
    for rows in ([2], "a", None, torch.tensor([0.5])):
        with pytest.raises(IndexError, match="^got rows .*; expected a slice or whole numbers below 2; count rows"):
            found.images(rows)
    with pytest.raises(TypeError, match="pixels of 'made' are ndarray; expected a tensor; convert them with torch"):
        cifar.Pictures(pixels.numpy(), labels, "made")
    with pytest.raises(TypeError, match="labels of 'made' are list; expected a tensor"):
        cifar.Pictures(pixels, [1, 2], "made")


@needs_files
def test_the_official_files_are_whole(monkeypatch):
    monkeypatch.setenv("INTRIGUING_DATA", str(GIVEN))
    found = cifar.cifar()
    assert found.train.labels.bincount().tolist() == [1989, 1981, 2042, 2011, 2009, 1925, 2038, 2027, 2012, 1966]
    assert found.test.labels.bincount().tolist() == [1000] * 10
