"""The script for a GPU, run small on the CPU, without the packages that such a machine may lack."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
CHECKS = [
    *("box", "distortion", "exact", "bounds", "ways_out", "grid", "run", "convolution", "repeated", "ways_between")
]
LACKING = ("tqdm", "tqdm.auto", "pandas", "safetensors", "safetensors.torch", "torchvision", "torchvision.datasets")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gpu")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """What the script writes in a process of its own that has PyTorch, NumPy and SciPy but not the other packages."""
    output = tmp_path_factory.mktemp("gpu") / "gpu.json"
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({LACKING})); sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        f"import gpu; sys.exit(gpu.main(['--device', 'cpu', '--small', '--output', {str(output)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(output.read_text())


def test_missing_packages_are_named_and_not_needed(content) -> None:
    assert content["meta"]["missing_packages"] == ["tqdm", "pandas", "safetensors", "torchvision"]
    assert content["meta"]["hardware"]["device"] == "cpu"
    assert content["meta"]["hardware"]["torch"] == torch.__version__
    assert [name for name, part in content["parts"].items() if "seconds" not in part] == []


def test_every_check_passed(content) -> None:
    # Long runs are kept by a package that is not there.
    assert [row["check"] for row in content["checks"]] == [name for name in CHECKS if name != "run"]
    assert all(row["passed"] for row in content["checks"])


def test_both_precisions_and_shares_are_there(content) -> None:
    assert len(content["speed"]) == 4
    for row in content["speed"]:
        assert row["images_per_second"] > 0
        assert row["success"] == 1
        if row["method"] == "refine=True":
            assert row["success_float64"] == 1
            assert row["rms"] == pytest.approx(row["rms_float64"], rel=0.05)
        shares = sum(row[name] for name in ("forward", "backward", "direction", "projection", "rest"))
        assert shares == pytest.approx(1, abs=1e-4)
        assert row["above_floor"] > 1


def test_tables_have_the_papers_form(content) -> None:
    tables = {table["name"]: table for table in content["tables"] + content["halves"]}
    assert list(tables) == ["table1", "table2", "table3", "table4"]
    assert set(tables["table1"]["rows"]) == {"FC10(1e-4)", "FC100-100-10"}
    assert len(tables["table3"]["rows"]) == 3
    for table in tables.values():
        assert all(len(row) == len(table["columns"]) for row in table["rows"].values())
    speed = {(row["model"], row["method"]): row["rms"] for row in content["speed"]}
    # Other images of the same set: the distortions are of one size.
    assert tables["table1"]["rows"]["FC10(1e-4)"][-1] == pytest.approx(speed["FC10(1e-4)", "penalty method"], rel=1)


def test_peers_that_are_not_here_say_so(content) -> None:
    told = {row["method"]: row for row in content["peers"]}
    assert told["ours, refine=True"]["success"] == 1
    assert told["ours, refine=True"]["rms"] <= told["ours, the paper's penalty method"]["rms"] * 1.001
    assert all("failed" in row or row["rms"] > 0 for row in content["peers"])


def test_a_failing_check_is_told(gpu, monkeypatch) -> None:
    def check_nothing(device):
        """Never right."""
        raise AssertionError("got 1; expected 2.")

    monkeypatch.setattr(gpu, "CHECKS", (check_nothing,))
    (row,) = gpu.checks(torch.device("cpu"))
    assert row | {"problem": None} == {"check": "nothing", "says": "Never right.", "passed": False, "problem": None}
    assert row["problem"][0].startswith("AssertionError: got 1; expected 2. (test_gpu_script.py, line ")


def test_without_time_nothing_is_begun(gpu, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(gpu.Budget, "left", lambda self: -1.0)
    output = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--small", "--output", str(output)]) == 0
    parts = json.loads(output.read_text())["parts"]
    assert list(parts) == list(gpu.PARTS)
    assert parts["networks"] == {"not_run": "-1 s were left, 10 s are wanted"}


def test_without_cuda_the_script_says_what_to_do(gpu, monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "got no CUDA device; expected one; run it elsewhere" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this computer")
@pytest.mark.parametrize("name", CHECKS)
def test_cuda_agrees_with_the_cpu(gpu, name: str) -> None:
    getattr(gpu, f"check_{name}")(torch.device("cuda"))
