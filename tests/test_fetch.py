"""Data are fetched over https only, compared with their sums, and written whole or not at all."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import http.client
import io
import tarfile
import urllib.error
import urllib.request

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, MNIST, USPS
from torchvision.models import AlexNet_Weights, SqueezeNet1_0_Weights

from intriguing.data import MANIFEST, DataError, cifar, manifest
from intriguing.press import commands, fetch


def lines(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """The inverse of what the package reads: the format of the LIBSVM collection, compressed."""
    values = np.round(pixels.reshape(len(pixels), -1).astype(float) * 2 - 1, 3)
    text = "".join(
        f"{label + 1} " + " ".join(f"{i + 1}:{value:g}" for i, value in enumerate(row)) + " \n"
        for label, row in zip(labels, values, strict=True)
    )
    return bz2.compress(text.encode())


@pytest.fixture
def recipe(monkeypatch):
    """Replaces the recipe of one data set by one whose sums fit the given contents."""

    def install(name: str, contents: list[bytes], **changes: object):
        known = fetch.RECIPES[name]
        sources = tuple(
            dataclasses.replace(source, sum=hashlib.new(source.algorithm, content).hexdigest())
            for source, content in zip(known.sources, contents, strict=True)
        )
        changed = dataclasses.replace(known, sources=sources, **changes)
        monkeypatch.setattr(fetch, "RECIPES", {**fetch.RECIPES, name: changed})
        answers = dict(zip((source.address for source in sources), contents, strict=True))
        return answers.__getitem__

    return install


def test_every_address_is_https_and_has_a_sum() -> None:
    sources = [source for recipe in fetch.RECIPES.values() for source in recipe.sources]
    assert len(sources) == 9
    for source in sources:
        assert source.address.startswith("https://")
        assert len(source.sum) == 32 if source.algorithm == "md5" else len(source.sum) >= 8


def test_sums_are_those_that_torchvision_has() -> None:
    """The page on reproducing says whose they are."""
    listed = {digits for _, digits in MNIST.resources} | {digits for _, _, digits in USPS.split_list.values()}
    networks = (AlexNet_Weights.IMAGENET1K_V1, SqueezeNet1_0_Weights.IMAGENET1K_V1)
    listed |= {CIFAR10.tgz_md5} | {weights.url.rpartition("-")[2].removesuffix(".pth") for weights in networks}
    assert {source.sum for recipe in fetch.RECIPES.values() for source in recipe.sources} == listed
    assert cifar.SUMS.items() <= {(name, digits) for name, digits in CIFAR10.train_list + CIFAR10.test_list}


def test_the_public_form_of_usps_gives_the_very_file_of_the_book() -> None:
    folder = next((f for f in manifest.looked_in("usps") if (f / "usps.npz").is_file()), None)
    if folder is None:
        pytest.skip("usps.npz is not on this computer: `make fetch` brings it")
    with np.load(folder / "usps.npz") as arrays:
        packed = [lines(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    (content,) = fetch.usps_arrays(packed)
    assert hashlib.sha256(content).hexdigest() == MANIFEST["usps"].files[0].sha256


def test_usps_lines_are_read_with_missing_pixels_as_background() -> None:
    packed = [bz2.compress(b"10 1:1 256:-0.5\n1 2:0.001\n"), bz2.compress(b"3 1:0\n")]
    (content,) = fetch.usps_arrays(packed)
    with np.load(io.BytesIO(content)) as arrays:
        assert arrays["y_train"].tolist() == [9, 0]
        assert arrays["x_train"][0, 0, 0] == 1
        assert arrays["x_train"][0, 15, 15] == 0.25
        assert arrays["x_train"][0].sum() == 1.25
        assert arrays["x_test"][0, 0, 0] == 0.5


def test_another_usps_is_not_kept(tmp_path, recipe) -> None:
    packed = [lines(np.zeros((2, 16, 16)), np.array([1, 2]))] * 2
    get = recipe("usps", packed)
    with pytest.raises(DataError, match="public copy differs"):
        fetch.fetch("usps", tmp_path, get=get)
    assert list(tmp_path.rglob("*")) == []


def test_an_altered_download_is_not_kept(tmp_path) -> None:
    with pytest.raises(DataError, match=r"got md5 [0-9a-f]{32} \(6 bytes\); expected ec16"):
        fetch.fetch("usps", tmp_path, get=lambda address: b"<html>")
    assert list(tmp_path.rglob("*")) == []


def never(address: str) -> bytes:
    raise AssertionError(address)


def test_files_come_out_of_an_archive_and_stay_when_they_are_there(tmp_path, recipe, monkeypatch) -> None:
    buffer = io.BytesIO()
    names = [f"cifar-10-batches-py/{name}" for name in ("data_batch_1", "data_batch_2", "test_batch")]
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in [*names, "../elsewhere"]:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    get = recipe("cifar10", [buffer.getvalue()])
    with pytest.raises(DataError, match=r"data_batch_1: got md5 .*; expected c99c.*; the public copy differs"):
        fetch.fetch("cifar10", tmp_path / "data", get=get)
    monkeypatch.setattr(cifar, "SUMS", {n[20:]: hashlib.md5(n.encode()).hexdigest() for n in names})
    made = fetch.fetch("cifar10", tmp_path / "data", get=get)
    assert [path.read_text() for path in made] == names
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(n[20:] for n in names)
    assert fetch.fetch("cifar10", tmp_path / "data", get=never) == made
    made[2].write_bytes(b"test_batcH")
    assert fetch.fetch("cifar10", tmp_path / "data", get=get) == made
    assert [path.read_text() for path in made] == names
    made[2].write_bytes(b"test_batcH")
    (tmp_path / "data" / "cifar-10-python.tar.gz").write_bytes(buffer.getvalue())
    assert fetch.fetch("cifar10", tmp_path / "data", get=never) == made
    assert [path.read_text() for path in made] == names


def test_mnist_is_unpacked_and_compared_with_the_manifest(tmp_path, recipe, monkeypatch) -> None:
    contents = [f"file {i}".encode() for i in range(4)]
    get = recipe("mnist", [gzip.compress(content) for content in contents])
    with pytest.raises(DataError, match="public copy differs"):
        fetch.fetch("mnist", tmp_path, get=get)
    entries = tuple(
        dataclasses.replace(file, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for file, content in zip(MANIFEST["mnist"].files, contents, strict=True)
    )
    monkeypatch.setitem(MANIFEST, "mnist", dataclasses.replace(MANIFEST["mnist"], files=entries))
    made = fetch.fetch("mnist", tmp_path, get=get)
    assert [path.read_bytes() for path in made] == contents
    made[1].write_bytes(b"file 7")
    assert fetch.fetch("mnist", tmp_path, get=get) == made
    assert [path.read_bytes() for path in made] == contents


def test_files_that_somebody_put_there_are_not_asked_for(tmp_path, recipe, monkeypatch) -> None:
    """Packed as they are in their public place, in the folder itself or where torchvision leaves them."""
    contents = [f"file {i}".encode() for i in range(4)]
    recipe("mnist", [gzip.compress(content, mtime=0) for content in contents])
    entries = tuple(
        dataclasses.replace(file, sha256=hashlib.sha256(content).hexdigest())
        for file, content in zip(MANIFEST["mnist"].files, contents, strict=True)
    )
    monkeypatch.setitem(MANIFEST, "mnist", dataclasses.replace(MANIFEST["mnist"], files=entries))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for i, (file, content) in enumerate(zip(entries, contents, strict=True)):
        path = tmp_path / f"{file.path}.gz"
        (path if i % 2 else tmp_path / path.name).write_bytes(gzip.compress(content, mtime=0))
    path.write_bytes(b"<html>")
    said = rf"^{path}: got md5 [0-9a-f]{{32}} \(6 bytes\); expected [0-9a-f]{{32}}; delete it\.$"
    with pytest.raises(DataError, match=said):
        fetch.fetch("mnist", tmp_path, get=never)
    path.write_bytes(gzip.compress(contents[3], mtime=0))
    assert [path.read_bytes() for path in fetch.fetch("mnist", tmp_path, get=never)] == contents


def test_networks_lie_where_torchvision_says() -> None:
    from torchvision.models import AlexNet_Weights, SqueezeNet1_0_Weights

    for name, weights in (("alexnet", AlexNet_Weights), ("squeezenet", SqueezeNet1_0_Weights)):
        (source,) = fetch.RECIPES[name].sources
        assert source.address == weights.DEFAULT.url and source.address.endswith(f"-{source.sum}.pth")


def test_a_squeezenet_that_was_fetched_is_found_and_loaded(tmp_path, monkeypatch) -> None:
    import torch
    from torchvision.models import squeezenet1_0

    from intriguing.models import imagenet

    torch.manual_seed(0)
    network, buffer = squeezenet1_0(weights=None).eval(), io.BytesIO()
    torch.save(network.state_dict(), buffer)
    digits = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    file = f"squeezenet1_0-{digits}.pth"
    source = fetch.Source(f"https://example.org/{file}", "sha256", digits)
    recipe = dataclasses.replace(fetch.RECIPES["squeezenet"], made=(f"imagenet/{file}",), sources=(source,))
    monkeypatch.setattr(fetch, "RECIPES", {"squeezenet": recipe})
    monkeypatch.setattr(imagenet, "SQUEEZENET_FILE", file)
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(DataError, match="got sha256 .* nothing was kept"):
        fetch.fetch("squeezenet", tmp_path, get=lambda address: buffer.getvalue()[:-1])
    assert imagenet.torchvision_squeezenet() is None
    assert fetch.fetch("squeezenet", tmp_path, get={source.address: buffer.getvalue()}.__getitem__) == [
        tmp_path / "imagenet" / file
    ]
    damaged = bytearray(buffer.getvalue())
    damaged[-1] ^= 1
    (tmp_path / "imagenet" / file).write_bytes(damaged)
    with pytest.raises(DataError, match="is corrupt: .*; delete it and fetch it anew"):
        imagenet.torchvision_squeezenet()
    fetch.fetch("squeezenet", tmp_path, get={source.address: buffer.getvalue()}.__getitem__)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(imagenet.torchvision_squeezenet()(images), network(images))


def test_without_a_network_the_command_says_so_in_a_sentence(tmp_path, monkeypatch, capsys) -> None:
    def unknown(address: str, timeout: float) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unknown)
    assert commands.main(["fetch", "squeezenet", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(
        "torchvision's SqueezeNet 1.0: https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth"
    )
    assert "Name or service not known" in said and said.endswith(
        "into INTRIGUING_DATA or what --folder names, and run this again."
    )
    assert list(tmp_path.rglob("*")) == []


class Answer(io.BytesIO):
    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.url = url


def test_only_https_is_asked_and_followed(monkeypatch) -> None:
    with pytest.raises(DataError, match="expected one that begins with https"):
        fetch.download("http://example.org/usps.bz2")
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: Answer(b"x", "http://example.org/usps.bz2"))
    with pytest.raises(DataError, match="expected one that begins with https"):
        fetch.download("https://example.org/usps.bz2")
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: Answer(b"x" * 9, address))
    assert fetch.download("https://example.org/usps.bz2") == b"x" * 9
    monkeypatch.setattr(fetch, "LIMIT", 8)
    with pytest.raises(DataError, match="more than 8 bytes"):
        fetch.download("https://example.org/usps.bz2")


def test_addresses_that_are_none_are_named() -> None:
    for address in ("https://[::1", "https://a b/x", "https://localhost:abc/"):
        with pytest.raises(DataError, match=r"cannot be read \(.*\); connect to the network, or fetch"):
            fetch.download(address)
    with pytest.raises(DataError, match="got the address None; expected one that begins with https"):
        fetch.download(None)


def test_a_connection_that_breaks_off_is_named(monkeypatch) -> None:
    def broken(address, timeout):
        raise http.client.IncompleteRead(b"x", 9)

    monkeypatch.setattr(urllib.request, "urlopen", broken)
    with pytest.raises(DataError, match=r"usps\.bz2 cannot be read \(IncompleteRead"):
        fetch.download("https://example.org/usps.bz2")


def test_a_folder_that_is_none_is_said_before_the_network_is_asked(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "file/within", "loop/within"):
        with pytest.raises(DataError, match=rf"^got {tmp_path}/{name}, .*nothing can be kept.*; expected a folder"):
            fetch.fetch("usps", tmp_path / name, get=never)
    with pytest.raises(DataError, match=r"^got x{300}/usps\.npz, which cannot be read \(File name too long\)"):
        fetch.fetch("usps", "x" * 300, get=never)
    with pytest.raises(TypeError, match="got NoneType for a folder; expected a Path"):
        fetch.fetch("usps", None, get=never)
    for name in (None, ["usps"], "USPS"):
        with pytest.raises(ValueError, match=r"expected one of mnist, usps, .*; choose among these"):
            fetch.fetch(name, tmp_path, get=never)


@pytest.mark.parametrize("answer", ["text", None])
def test_what_comes_from_an_address_is_bytes(answer, tmp_path) -> None:
    with pytest.raises(TypeError, match=rf"got {type(answer).__name__} from https://.*usps.bz2; expected bytes"):
        fetch.fetch("usps", str(tmp_path), get=lambda address: answer)


def test_the_command_asks_for_no_device(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("INTRIGUING_DEVICE", "abacus")
    monkeypatch.setattr(fetch, "fetch", lambda name, folder: [folder / name])
    assert commands.main(["fetch", "usps", "--folder", str(tmp_path)]) == 0
    assert "INTRIGUING_DEVICE" not in capsys.readouterr().out


def test_the_command_says_what_failed_and_how_to_lay_out_imagenet(tmp_path, monkeypatch, capsys) -> None:
    def nothing(address: str) -> bytes:
        raise DataError(f"{address} cannot be read")

    monkeypatch.setattr(fetch, "download", nothing)
    assert commands.main(["fetch", "usps", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "usps.bz2 cannot be read" in said
    assert "imagenet/synset_words.txt" in said
    assert commands.main(["fetch", "celeba"]) == 1
    assert "got 'celeba'; expected names among mnist, usps, cifar10, alexnet" in capsys.readouterr().out
