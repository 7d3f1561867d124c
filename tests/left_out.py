"""What a run of the tests leaves out because data are not on this computer, or because no chapter was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NEEDS = {
    "photographs": {
        "imagenet/val": "what is measured on ImageNet",
        "imagenet/squeezenet1_0_imagenet.safetensors": "SqueezeNet",
        "imagenet/alexnet_bvlc_q8.safetensors": "what AlexNet judges",
    },
    "spectral": {
        "imagenet/alexnet_bvlc_q8.safetensors": "the norms of AlexNet",
        "imagenet/squeezenet1_0_imagenet.safetensors": "the bound of SqueezeNet",
    },
    "quocnet": {"cifar-10-batches-py": "every measurement on cars"},
    "explanation": {"usps.npz": "USPS, for which MNIST stands in"},
}
"""Chapter -> what it looks for in the folders with data -> what it leaves out without it."""


def summary(folders: Sequence[Path], chapters: Sequence[str], executed: bool) -> str:
    """Returns one line: which chapters were not executed again, or only in part, and why.

    Args:
        folders: Where data are looked for.
        chapters: The names of all chapters.
        executed: Whether this session executes the chapters.
    """
    if not executed:
        return (
            f"Chapters: none of the {len(chapters)} was executed again, because this session was not asked to; "
            "make test, or --nbval-lax notebooks, does. They keep their stored outputs."
        )
    parts = []
    for chapter, wanted in NEEDS.items():
        missing = [f"{what} ({path})" for path, what in wanted.items() if not any((f / path).exists() for f in folders)]
        if missing and chapter in chapters:
            parts.append(f"{chapter} without {' and '.join(missing)}")
    if not parts:
        return f"Chapters: all {len(chapters)} were executed again in full."
    return (
        f"Chapters: executed again only in part, for want of data in INTRIGUING_DATA: {'; '.join(parts)}. "
        "These parts keep their stored outputs."
    )
