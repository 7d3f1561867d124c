"""Many networks at a time: trained as PyTorch trains each alone, attacked as the engine attacks each alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from intriguing.attack.distortion import minimum_distortion
from intriguing.chapters.protocol import stacked, trials
from intriguing.models.recipes import build

WIDTHS = (20, 6, 5, 4)
DECAY = [[1e-5, 1e-5, 1e-6], [1e-2, 1e-3, 1e-3], [1e-1, 1e-1, 1e-1]]


def problem(*, biases=(False, True, False)):
    chance = torch.Generator().manual_seed(0)
    images = torch.rand(60, 20, generator=chance, dtype=torch.float64)
    labels = torch.randint(0, 4, (60,), generator=chance)
    images[torch.arange(60), labels] += 0.7
    layout = stacked.Layout(WIDTHS)
    start = stacked.initial(WIDTHS, [0, 1, 2]).double()
    loss = stacked.Classification(layout, images, labels, torch.tensor(DECAY).double(), torch.tensor(biases))
    return layout, images, labels, start, loss


def alone(layout, images, labels, flat, decay, bias):
    shown, penalty = images, 0
    for i, (weight, shift) in enumerate(layout.split(flat[None])):
        shown = (shown.sigmoid() if i else shown) @ weight[0].T + shift[0]
        penalty = penalty + decay[i] * (weight.square().sum() + bias * shift.square().sum())
    return F.cross_entropy(shown, labels) + penalty


def test_the_gradient_by_hand_is_that_of_autograd():
    layout, images, labels, start, loss = problem()
    value, gradient, errors = loss(start, torch.arange(3))
    for i, bias in enumerate((0, 1, 0)):
        leaf = start[i].clone().requires_grad_()
        expected = alone(layout, images, labels, leaf, DECAY[i], bias)
        expected.backward()
        torch.testing.assert_close(value[i], expected.detach())
        torch.testing.assert_close(gradient[i], leaf.grad)
    assert errors.shape == (3,) and errors.max() <= 60


def test_a_mean_that_is_taken_off_moves_into_the_biases():
    layout, images, labels, start, loss = problem()
    mean = images.mean(0)
    moved = stacked.Classification(
        layout, images, labels, loss.decay, loss.bias, mean, torch.tensor([True, False, True])
    )
    shifted = stacked.Classification(layout, images - mean, labels, loss.decay, loss.bias)
    rows = torch.arange(3)
    for ours, theirs, plain in zip(
        moved(start, rows)[:2], shifted(start, rows)[:2], loss(start, rows)[:2], strict=True
    ):
        torch.testing.assert_close(ours[[0, 2]], theirs[[0, 2]])
        torch.testing.assert_close(ours[1], plain[1])
    same = stacked.Stack(layout.split(moved.plain(start, rows)))
    wanted = stacked.Stack(layout.split(start))
    assert torch.equal(same.read(images)[0], wanted.read(images - mean)[0])


@pytest.mark.parametrize("iterations", [5, 25])
def test_each_network_goes_the_way_that_pytorch_takes_it_alone(iterations):
    layout, images, labels, start, loss = problem(biases=(False, False, False))
    found = stacked.train(loss, start, [iterations])
    for i in range(3):
        leaf = start[i].clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [leaf],
            max_iter=iterations,
            max_eval=2 * iterations,
            history_size=stacked.HISTORY,
            tolerance_grad=stacked.GRADIENT,
            tolerance_change=stacked.CHANGE,
            line_search_fn="strong_wolfe",
        )

        def closure(leaf=leaf, i=i, optimizer=optimizer):
            optimizer.zero_grad()
            total = alone(layout, images, labels, leaf, DECAY[i], 0)
            total.backward()
            return total

        optimizer.step(closure)
        assert int(found.iterations[str(iterations)][i]) == optimizer.state[leaf]["n_iter"]
        torch.testing.assert_close(found.levels[str(iterations)][i], leaf.detach(), rtol=1e-4, atol=1e-5)


def test_training_ends_by_itself_and_keeps_its_levels():
    *_, start, loss = problem()
    found = stacked.train(loss, start, [3, 2000])
    assert bool(found.ended.all()) and found.gradient.max() < 1e-3
    assert found.iterations["3"].tolist() == [3, 3, 3] and found.iterations["2000"].max() < 2000
    assert not torch.equal(found.levels["3"], found.levels["2000"])
    stopped = stacked.train(loss, start, [2000], stop=lambda: True)
    assert torch.equal(stopped.levels["2000"], start) and stopped.iterations["2000"].tolist() == [0, 0, 0]


def test_seeds_are_those_of_the_book():
    model = build("FC100-100-10", seed=3)
    flat = torch.cat([weights.flatten() for weights in model.parameters()])
    assert torch.equal(stacked.initial((784, 100, 100, 10), [3])[0], flat)


def test_a_stack_is_attacked_as_its_networks_are_alone():
    layout, images, _, start, _ = problem()
    stack = stacked.Stack(layout.split((5 * start).float()))
    shown = images[:8].clamp(0, 1).float()
    targets = torch.arange(8) % 4
    rows = stacked.numbered(shown, 3)
    found = minimum_distortion(stack, rows, targets.repeat(3))
    assert torch.equal(found.images[:, -1], rows[:, -1])
    for i in range(3):
        layers = []
        for weight, bias in zip(stack.weights, stack.biases, strict=True):
            layer = nn.Linear(weight.shape[2], weight.shape[1]).requires_grad_(False)
            layer.weight.copy_(weight[i])
            layer.bias.copy_(bias[i])
            layers += [layer, nn.Sigmoid()]
        one = minimum_distortion(nn.Sequential(*layers[:-1]).eval(), shown, targets)
        mine = found.images[8 * i : 8 * i + 8, :-1]
        assert torch.equal(found.success[8 * i : 8 * i + 8], one.success)
        torch.testing.assert_close(mine, one.images, rtol=0, atol=2e-3)


def test_one_pixel_tells_no_more_networks_apart():
    with pytest.raises(ValueError, match="got 65 networks; expected 1 to 64"):
        stacked.numbered(torch.zeros(2, 4), 65)


def test_what_is_shown_has_the_sizes_that_are_asked_for():
    clean, found = torch.full((20, 9), 0.5), torch.full((20, 9), 0.5)
    found[1:] += torch.linspace(0.01, 0.2, 19)[:, None]
    rms = (found - clean).square().mean(1).sqrt()
    images = trials.shown(clean, found, rms, toward=torch.ones(20, 9))
    step = {name: (image - clean).square().mean(1).sqrt() for name, image in images.items()}
    torch.testing.assert_close(step["each"][1:], torch.full((19,), trials.SIZE))
    assert step["each"][0] == 0 and step["clean"].max() == 0
    torch.testing.assert_close(step["x1.4"], 1.4 * rms)
    torch.testing.assert_close(step["toward"], rms)
    torch.testing.assert_close(step["others"], rms.roll(9))


class Notes:
    """Remembers a training and ends it after some evaluations."""

    def __init__(self, most, kept=None):
        self.left, self.kept = most, kept

    def load(self):
        return self.kept

    def offer(self, told):
        self.left -= 1
        self.kept = {name: part.clone() for name, part in told().items()}

    def over(self):
        return self.left <= 0


@pytest.mark.parametrize("most", [1, 2, 17, 30])
def test_a_training_that_is_cut_off_goes_the_same_way(most):
    *_, start, loss = problem()
    start[0] *= 0  # ends long before the others, and is dropped
    whole, notes = stacked.train(loss, start, [5, 40, 200]), Notes(most)
    stacked.train(loss, start, [5, 40, 200], stop=notes.over, memory=notes)
    assert 0 < notes.kept["state/iterations"].max() + (most == 1) < 200
    again = stacked.train(loss, start, [5, 40, 200], memory=Notes(10**6, notes.kept))
    for level, kept in whole.levels.items():
        assert torch.equal(again.levels[level], kept), level
        assert torch.equal(again.iterations[level], whole.iterations[level])
    for name in ("loss", "gradient", "ended"):
        assert torch.equal(getattr(again, name), getattr(whole, name))
