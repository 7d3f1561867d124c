"""The two ImageNet networks: shapes, values and the chain of layers where the files are, None where they are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from intriguing import imagenet, scale


def test_without_the_files_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    assert imagenet.alexnet_weights() is None
    assert imagenet.squeezenet() is None


def test_a_corrupt_file_is_reported(tmp_path, monkeypatch):
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "alexnet_bvlc_q8.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    with pytest.raises(imagenet.data.DataError, match="corrupt"):
        imagenet.alexnet_weights()


def test_a_fire_module_as_one_convolution():
    torch.manual_seed(0)

    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand1x1, self.expand3x3 = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(3, 4, 3, padding=1, bias=False)

    fire, x = Fire(), torch.rand(2, 3, 5, 5)
    whole = F.conv2d(x, imagenet.fire_kernel(fire), padding=1)
    assert torch.allclose(whole, torch.cat([fire.expand1x1(x), fire.expand3x3(x)], 1), atol=1e-6)


def test_weights_where_the_files_are():
    if scale.data_folder() is None or not (scale.data_folder() / "imagenet").is_dir():
        pytest.skip("INTRIGUING_DATA holds no ImageNet networks")
    weights = imagenet.alexnet_weights()
    assert set(weights) == {*imagenet.ALEXNET, "fc8"}
    assert tuple(weights["conv1"].shape) == (96, 3, 11, 11) and tuple(weights["fc8"].shape) == (1000, 4096)
    assert weights["conv2"].shape[1] * imagenet.ALEXNET["conv2"].groups == 96
    assert torch.equal(weights["conv1"] * 128, (weights["conv1"] * 128).round())
    with torch.no_grad():
        assert imagenet.squeezenet()(torch.zeros(1, 3, 227, 227)).shape == (1, 1000)
