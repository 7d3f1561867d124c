"""Figure 5 on networks small enough to check by hand: the draw, amplification and 8 bits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.chapters.photographs import ostriches


def network(seed=0):
    torch.manual_seed(seed)
    return (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 12)).eval().requires_grad_(False)
    )


def test_the_draw_is_without_replacement_and_always_the_same():
    rows = ostriches.draw(1500, 64)
    assert len(rows.unique()) == 64 and int(rows.min()) >= 0 and int(rows.max()) < 1500
    assert torch.equal(rows, ostriches.draw(1500, 64)) and not torch.equal(rows, ostriches.draw(1500, 64, seed=1))
    assert torch.equal(ostriches.draw(1500, 8), rows[:8])  # a shorter draw is the beginning of a longer one
    assert ostriches.draw(5, 5).sort().values.tolist() == [0, 1, 2, 3, 4]
    counts = sum(torch.bincount(ostriches.draw(10, 3, seed=seed), minlength=10) for seed in range(400))
    assert int(counts.min()) > 80 and int(counts.max()) < 160  # 120 each, and no photograph is preferred
    for wrong in (0, 11):
        with pytest.raises(ValueError, match=f"got {wrong} photographs to draw; expected 1 to 10 of 10"):
            ostriches.draw(10, wrong)


def test_a_file_holds_multiples_of_one_step():
    images = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0])
    assert torch.allclose(ostriches.rounded(images) * 255, torch.tensor([0.0, 0.0, 1.0, 254.0, 255.0]))
    clean = torch.randint(0, 256, (2, 3, 4, 4)).float() / 255
    assert torch.equal(ostriches.rounded(clean + 0.4 / 255), ostriches.rounded(clean))


def test_amplified_perturbations_by_hand():
    """A linear network of two classes: class 1 where the sum of a single pixel's channels exceeds 1."""

    def model(images):
        total = images.flatten(1).sum(1)
        return torch.stack([torch.ones_like(total), total], 1)

    clean = torch.tensor([[90, 80, 80], [60, 60, 60]]).view(2, 3, 1, 1) / 255  # 250 and 180 of the 255 needed
    step = torch.tensor([[5.2, 0.0, 0.0], [0.0, 0.3, 0.0]]).view(2, 3, 1, 1) / 255
    found = ostriches.amplify(model, clean, clean + step, torch.ones(2, dtype=torch.long), [1, 2, 300], chunk=1)
    assert found.hit.tolist() == [[True, False], [True, False], [True, True]]
    # 5.2 steps become 5, which only meets the other class; 0.3 become none; 90 become 90; 1560 are cut to 165
    assert found.rounded_hit.tolist() == [[False, False], [True, False], [True, True]]
    assert torch.allclose(found.rms * 255 * 3**0.5, torch.tensor([[5.2, 0.3], [10.4, 0.6], [165, 90]]).double())
    assert torch.allclose(found.rounded_rms * 255 * 3**0.5, torch.tensor([[5.0, 0], [10, 1], [165, 90]]).double())
    assert found.probability[0, 0] == pytest.approx(1 / (1 + 2.718281828 ** (-0.2 / 255)), abs=1e-6)
    assert found.factors.tolist() == [1, 2, 300]
    assert torch.allclose(found.margin[0] * 255, torch.tensor([0.2, -74.7]).double(), atol=1e-3)


def test_chunks_change_nothing():
    model, images = network(), torch.rand(5, 3, 8, 8)
    other = (images + 0.05 * torch.randn(images.shape)).clamp(0, 1)
    targets = torch.arange(5)
    one, two = (ostriches.amplify(model, images, other, targets, (1, 3), chunk=size) for size in (2, 5))
    for field in vars(one):
        torch.testing.assert_close(getattr(one, field), getattr(two, field))
