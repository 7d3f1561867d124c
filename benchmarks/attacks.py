"""Every attack of the comparison behind one signature: (images, targets, starting images) -> images.

Packages are imported when an attack is built, in the process that runs it, so that a missing or broken one costs its
own rows only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from harness import Attack
from torch import Tensor, nn

SMALL, LARGE = "small", "large"


@dataclass(frozen=True)
class Method:
    """One line of the comparison.

    Attributes:
        title: as the table shows it.
        package: the distribution whose version is recorded.
        build: model -> attack.
        batches: which of the two batches it gets: ``"small"``, ``"large"``.
        most: images at most, for attacks that take them one by one.
        note: what a reader has to know about the row.
    """

    title: str
    package: str
    build: Callable[[nn.Module], Attack]
    batches: tuple[str, ...] = (SMALL,)
    most: int | None = None
    note: str = ""


def _ours(**options: object) -> Callable[[nn.Module], Attack]:
    def build(model: nn.Module) -> Attack:
        from intriguing.attack.distortion import minimum_distortion

        return lambda images, targets, _: minimum_distortion(model, images, targets, **options).images

    return build


def _scipy(model: nn.Module) -> Attack:
    from intriguing.attack.oracles import scipy_distortion

    def attack(images: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        # The function returns a number; the image behind it is the nearest it looked at that reached the target.
        double = model.double()
        best, length = images.double(), torch.full((len(images),), torch.inf, dtype=torch.float64)
        for i, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):

            def watched(x: Tensor, i: int = i, image: Tensor = image, target: int = target) -> Tensor:
                logits = double(x)
                if not torch.is_grad_enabled() and int(logits[0].argmax()) == target:
                    distance = (x[0] - image).norm()
                    if distance < length[i]:
                        best[i], length[i] = x[0], distance
                return logits

            scipy_distortion(watched, image, target)
        model.float()
        return best

    return attack


def _foolbox(name: str, *, started: bool = False, **options: object) -> Callable[[nn.Module], Attack]:
    def build(model: nn.Module) -> Attack:
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=next(model.parameters()).device)
        attack = getattr(foolbox.attacks, name)(**options)

        def run(images: Tensor, targets: Tensor, starts: Tensor) -> Tensor:
            criterion = foolbox.criteria.TargetedMisclassification(targets)
            return attack.run(wrapped, images, criterion, **({"starting_points": starts} if started else {}))

        return run

    return build


def _walk(steps: int, more: int = 0) -> Callable[[nn.Module], Attack]:
    def build(model: nn.Module) -> Attack:
        from intriguing.chapters.photographs.shortest import moved, onward, walk

        def run(images: Tensor, targets: Tensor, _: Tensor) -> Tensor:
            found = walk(model, images, targets, away=False, sure=None, steps=steps)
            if more:
                found = onward(model, images, targets, found, steps=more)
            return moved(images, found)

        return run

    return build


def _adv_lib(name: str, **options: object) -> Callable[[nn.Module], Attack]:
    def build(model: nn.Module) -> Attack:
        sys.modules.setdefault("visdom", ModuleType("visdom"))  # it draws curves, which nobody asks for here
        from adv_lib import attacks

        attack = getattr(attacks, name)
        return lambda images, targets, _: attack(model, images, targets, targeted=True, **options)

    return build


def _advertorch(model: nn.Module) -> Attack:
    # It asks torch for a helper that torch dropped in 1.9; the attack used here never calls it.
    gradcheck = sys.modules["torch.autograd.gradcheck"]
    if not hasattr(gradcheck, "zero_gradients"):
        gradcheck.zero_gradients = _zero_gradients
    from advertorch.attacks import LBFGSAttack

    def run(images: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        attack = LBFGSAttack(model, num_classes=10, batch_size=len(images), targeted=True)
        return attack.perturb(images, targets)

    return run


def _zero_gradients(x: Tensor) -> None:
    if x.grad is not None:
        x.grad.zero_()


def _torchattacks(model: nn.Module) -> Attack:
    import torchattacks

    def run(images: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        best, length = images.clone(), torch.full((len(images),), torch.inf)
        for c in np.logspace(-2, 2, 9):  # it has no search over c of its own
            attack = torchattacks.CW(model, c=float(c), steps=1000, lr=0.01)
            attack.set_mode_targeted_by_label(quiet=True)
            found = attack(images, targets)
            with torch.no_grad():
                there = model(found).argmax(1) == targets
            distance = torch.where(there, (found - images).flatten(1).norm(dim=1), torch.inf)
            shorter = distance < length
            best[shorter], length[shorter] = found[shorter], distance[shorter]
        return best

    return run


def _art(model: nn.Module) -> Attack:
    from art.attacks.evasion import CarliniL2Method
    from art.estimators.classification import PyTorchClassifier

    def run(images: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        classifier = PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(images.shape[1:]), 10, clip_values=(0, 1), device_type="cpu"
        )
        attack = CarliniL2Method(
            classifier, targeted=True, binary_search_steps=10, max_iter=100, batch_size=len(images), verbose=False
        )
        wanted = nn.functional.one_hot(targets, 10).float().numpy()
        return torch.from_numpy(attack.generate(images.numpy(), wanted))

    return run


def _cleverhans(model: nn.Module) -> Attack:
    from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2

    return lambda images, targets, _: carlini_wagner_l2(model, images, 10, y=targets, targeted=True)


_BOTH = (SMALL, LARGE)
_OURS, _FOOLBOX = "intriguing", "foolbox"

_NO_VISDOM = "imports with a stand-in for visdom, which these attacks do not use"

METHODS: dict[str, Method] = {
    "penalty": Method("ours, the paper's penalty method", _OURS, _ours(), _BOTH),
    "penalty-plain": Method("ours, the same with c |r|", _OURS, _ours(norm="plain")),
    "refined": Method("ours, refine=True", _OURS, _ours(refine=True), _BOTH),
    "refined-100": Method("ours, refine=True, chunk=100", _OURS, _ours(refine=True, chunk=100), (LARGE,)),
    "refined-2000": Method("ours, refine=True, chunk=2000", _OURS, _ours(refine=True, chunk=2000), (LARGE,)),
    "walk": Method("ours, a walk on spheres, 100 steps", _OURS, _walk(100)),
    "walk-onward": Method("ours, a walk of 100 steps, then 25 onward", _OURS, _walk(100, 25)),
    "ddn-100": Method("foolbox DDN, 100 steps", _FOOLBOX, _foolbox("DDNAttack", steps=100), _BOTH),
    "ddn-1000": Method("foolbox DDN, 1000 steps", _FOOLBOX, _foolbox("DDNAttack", steps=1000), _BOTH),
    "brendel-bethge-50": Method(
        "foolbox Brendel-Bethge, 50 steps",
        _FOOLBOX,
        _foolbox("L2BrendelBethgeAttack", started=True, steps=50),
        note="given the nearest training image of the target class to start from",
    ),
    "brendel-bethge-200": Method(
        "foolbox Brendel-Bethge, 200 steps",
        _FOOLBOX,
        _foolbox("L2BrendelBethgeAttack", started=True, steps=200),
        note="given the nearest training image of the target class to start from",
    ),
    "fmn": Method("foolbox FMN as shipped", _FOOLBOX, _foolbox("L2FMNAttack")),
    "alma-100": Method("adv_lib ALMA, 100 steps", "adv-lib", _adv_lib("alma", num_steps=100), note=_NO_VISDOM),
    "alma-1000": Method("adv_lib ALMA, 1000 steps", "adv-lib", _adv_lib("alma"), note=_NO_VISDOM),
    "pdgd-100": Method("adv_lib PDGD, 100 steps", "adv-lib", _adv_lib("pdgd", num_steps=100), note=_NO_VISDOM),
    "pdgd-500": Method("adv_lib PDGD, 500 steps", "adv-lib", _adv_lib("pdgd"), note=_NO_VISDOM),
    "cw-foolbox": Method(
        "foolbox CW 9x1000", _FOOLBOX, _foolbox("L2CarliniWagnerAttack", binary_search_steps=9, steps=1000)
    ),
    "cw-cleverhans": Method("cleverhans CW 5x1000", "cleverhans", _cleverhans),
    "cw-art": Method("ART CW 10x100", "adversarial-robustness-toolbox", _art),
    "cw-torchattacks": Method(
        "torchattacks CW, best of 9 c", "torchattacks", _torchattacks, note="1000 steps for each c from 0.01 to 100"
    ),
    "lbfgs-advertorch": Method(
        "advertorch LBFGSAttack",
        "advertorch",
        _advertorch,
        note="imports with a stand-in for torch.autograd.gradcheck.zero_gradients, which this attack does not use",
    ),
    "scipy": Method(
        "SciPy L-BFGS-B per image, 15 values of c", "scipy", _scipy, most=10, note="one image at a time, float64"
    ),
}
YARDSTICK = "ddn-100"
