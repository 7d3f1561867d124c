"""A model as the solvers see it: on the unit box, in the precision that small margins need, checked at every call."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Classifier:
    """The model on the unit box, with its arithmetic in float64 where the device has it: small margins need the digits.

    With ``least`` the arithmetic of a module may be as coarse as that type, if its own weights are.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        device: torch.device,
        bounds: tuple[float, float] = (0.0, 1.0),
        least: torch.dtype = torch.float64,
    ) -> None:
        self.bounds = bounds
        own = torch.float64
        if isinstance(model, nn.Module):
            if model.training:
                raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
            first = next(model.parameters(), None)
            if first is not None:
                device, own = first.device, first.dtype
        self.device = device
        coarse = device.type == "mps" or (own == torch.float32 and least == torch.float32)
        self.dtype = torch.float32 if coarse else torch.float64
        if isinstance(model, nn.Module):
            model = copy.deepcopy(model).to(self.dtype).requires_grad_(False)
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        lowest, highest = self.bounds
        logits = self.model(x if (lowest, highest) == (0, 1) else lowest + (highest - lowest) * x)
        if not isinstance(logits, Tensor):
            raise TypeError(f"got {type(logits).__name__} from the model; expected a tensor of logits.")
        if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
            raise ValueError(
                f"got logits of shape {tuple(logits.shape)}; expected ({len(x)}, k) with k >= 2; "
                "return one row of class scores per image."
            )
        return logits.to(self.dtype)
