"""What is refused of a model, and what is left alone."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from intriguing.attack.models import refuse_training_mode


def network() -> nn.Sequential:
    block = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), block, nn.Linear(16, 4)).eval()


def test_a_child_in_training_mode_is_named():
    model = network()
    refuse_training_mode(model)
    model[2][2].train()
    with pytest.raises(ValueError, match=r"got a model whose '2\.2' \(Dropout\) is in training mode; expected every"):
        refuse_training_mode(model)
    model[2].train()
    with pytest.raises(ValueError, match=r"'2' \(Sequential\) and 3 more is in training mode; .*; call model.eval\(\)"):
        refuse_training_mode(model)
    assert model[2][1].training and not model.training  # looked at, not changed
    with pytest.raises(ValueError, match="got a model in training mode; expected one in evaluation mode"):
        refuse_training_mode(model.train())


def test_functions_are_looked_through():
    model = network()
    wrapped = [lambda x: model(x), functools.partial(model), model.forward, functools.partial(model.forward)]
    for function in wrapped:
        refuse_training_mode(function)
    model[2][2].train()
    for function in wrapped:
        with pytest.raises(ValueError, match=r"'2\.2' \(Dropout\) is in training mode"):
            refuse_training_mode(function)
    refuse_training_mode(torch.relu)
    refuse_training_mode(3)


def test_an_exported_program_has_no_mode():
    program = torch.export.export(network(), (torch.rand(3, 1, 6, 6),)).module()
    assert program.training
    refuse_training_mode(program)
