"""The front door: public names, loaded from their rooms when they are used, and nothing besides."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

import intriguing

PROMISED = {
    "attack",
    "conv_norm",
    "global_certificate",
    "linear_norm",
    "local_certificate",
    "logit_margin",
    "minimize_box",
    "minimum_distortion",
    "network_bound",
    "penalty_path",
    "project_polyhedron",
}


def after(statement: str) -> tuple[set[str], dict[str, str]]:
    """The modules that a new interpreter has loaded after a statement, and the environment variables it set."""
    code = (
        "import json, os, sys; before = dict(os.environ)\n"
        f"{statement}\n"
        "new = {k: v for k, v in os.environ.items() if before.get(k) != v}\n"
        "print(json.dumps([sorted(sys.modules), new]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, variables = json.loads(done.stdout.splitlines()[-1])
    return set(modules), variables


def test_every_promised_name_is_offered():
    assert set(intriguing.__all__) >= PROMISED
    assert set(dir(intriguing)) >= set(intriguing.__all__)


@pytest.mark.parametrize("name", sorted(intriguing.ROOMS))
def test_a_name_is_the_object_of_its_room(name):
    assert getattr(intriguing, name) is getattr(import_module(f"intriguing.{intriguing.ROOMS[name]}"), name)


def test_readers_of_the_source_see_the_same_rooms():
    tree = ast.parse(Path(intriguing.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    written = {
        alias.name: node.module.removeprefix("intriguing.")
        for node in guarded.body
        for alias in node.names
        if node.module != "intriguing"
    }
    assert written == intriguing.ROOMS


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'minimal_distortion'"):
        intriguing.minimal_distortion  # noqa: B018 - looking is the test


def test_the_door_loads_nothing():
    modules, variables = after("import intriguing")
    assert not modules & {"torch", "numpy", "pandas", "matplotlib", "scipy"}
    assert not variables


@pytest.mark.parametrize("room", ["attack", "lipschitz"])
def test_a_room_to_lift_out_knows_nothing_of_the_others(room):
    modules, variables = after(f"import intriguing.{room}")
    own = {name for name in modules if name.startswith("intriguing.")}
    assert own and all(name.split(".")[1] == room for name in own)
    assert not modules & {"pandas", "matplotlib", "sklearn", "torchvision"}
    assert not variables


def test_the_room_is_the_long_run_too(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 4)).eval()
    images = torch.rand(3, 1, 3, 3)
    targets = (net(images).argmax(1) + 1) % 4
    found = intriguing.attack(net, images, targets, folder=tmp_path / "run")
    again = intriguing.minimum_distortion(net, images, targets)
    assert found.success.all()
    assert torch.equal(found.images, again.images)
    assert list((tmp_path / "run").glob("chunk-*.safetensors"))
