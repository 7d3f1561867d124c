"""Intriguing properties of neural networks, computed again.

The front door: the names below are loaded from their rooms when they are first used, so that ``import intriguing``
costs nothing, sets nothing and brings neither pandas nor matplotlib along. ``attack`` is a room of the package and can
be called as well: ``intriguing.attack(model, images, targets)`` is a long run whose finished parts are kept.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intriguing import attack
    from intriguing.attack.distortion import Distortion, minimum_distortion
    from intriguing.attack.lbfgsb import minimize_box
    from intriguing.attack.penalty import penalty_path
    from intriguing.attack.perturbations import logit_margin
    from intriguing.attack.polyhedron import project_polyhedron
    from intriguing.lipschitz.certificates import global_certificate, local_certificate
    from intriguing.lipschitz.network import network_bound
    from intriguing.lipschitz.norms import conv_norm, linear_norm

__version__ = "1.0.0"

ROOMS = {
    "Distortion": "attack.distortion",
    "minimum_distortion": "attack.distortion",
    "minimize_box": "attack.lbfgsb",
    "penalty_path": "attack.penalty",
    "logit_margin": "attack.perturbations",
    "project_polyhedron": "attack.polyhedron",
    "global_certificate": "lipschitz.certificates",
    "local_certificate": "lipschitz.certificates",
    "network_bound": "lipschitz.network",
    "conv_norm": "lipschitz.norms",
    "linear_norm": "lipschitz.norms",
}
"""In which room each public name stands."""

__all__ = [
    "Distortion",
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
]


def __getattr__(name: str) -> object:
    """Loads a public name, or the room of that name, when it is first used."""
    if name in ROOMS:
        value = getattr(import_module(f"{__name__}.{ROOMS[name]}"), name)
    elif name == "attack":
        value = import_module(f"{__name__}.attack")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
