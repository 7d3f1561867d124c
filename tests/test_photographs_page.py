"""The two halves of the page: photographs that everybody has, and ImageNet where it is at hand."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision import models

from intriguing.book import results, settings
from intriguing.chapters.photographs import everywhere, looking, recognition, study, travel
from intriguing.data.free import PICTURES, Free
from intriguing.data.photographs import Photographs
from intriguing.models import imagenet as files


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))


def model(seed):
    """A linear network of twelve classes that reads class 1 in nearly everything, the ostrich not far behind."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 12)).eval().requires_grad_(False)
    network[2].bias[1], network[2].bias[9] = 4, 3.5
    return recognition.Normalised(network, (0.5,) * 3).eval()


@pytest.fixture(scope="module")
def free():
    pictures = tuple(
        type(picture)(picture.name, picture.package, picture.path, (1,), picture.credit) for picture in PICTURES[:3]
    )
    images = 0.4 + 0.2 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Free(pictures, (images * 255).round() / 255)


def test_what_networks_see_is_marked_where_it_does_not_fit(free):
    frame = everywhere.seen({"A": model(0)}, free)
    assert list(frame.index) == list(free.names)
    assert all(entry.startswith("goldfish (") and "✗" not in entry for entry in frame["A"])
    other = Free(tuple(PICTURES[:3]), free.images)
    assert all(entry.endswith("✗") for entry in everywhere.seen({"A": model(0)}, other)["A"])


def test_everything_becomes_an_ostrich_and_noise_changes_nothing(free):
    made = everywhere.ostriches(model(0), free)
    frame = made.table().to_frame()
    assert (frame["an ostrich"] == 1).all() and (frame["changed by noise of that length"] == 0).all()
    assert frame["per pixel"].tolist() == pytest.approx((3**0.5 * frame["distortion"]).tolist())
    assert "yes" in made.shown().to_string() and "no" in made.shown().to_string()
    moved = everywhere.journey({"A": model(0), "B": model(1)}, free)
    assert [table.name for table in moved] == ["free_transfer", "free_transfer_target", "free_transfer_elsewhere"]
    own = study.square(moved[1], travel.MINIMUM)
    assert own.at[f"{travel.TARGET}, A", "A"] == own.at[f"{travel.TARGET}, B", "B"] == 1
    claims = everywhere.claims(made, moved)
    assert all(type(holds) is bool for holds in claims.values()) and claims["Every photograph becomes an ostrich"]
    still = everywhere.Ostriches(free, made.found, torch.ones(3, dtype=torch.bool))
    assert not everywhere.claims(still, moved)["Noise of the same length changes fewer than half"]
    *tables, elsewhere = moved
    row = f"{travel.TARGET}, {travel.MINIMUM}"
    hit = [0.5 if column == study.INTO else value for column, value in elsewhere.to_frame().loc[row].items()]
    caught = replace(elsewhere, rows=elsewhere.rows | {row: hit})
    none = "At that length none of those that every network reads is an ostrich to another"
    for part, hits in ((elsewhere, elsewhere.to_frame().at[row, study.INTO]), (caught, 0.5)):
        assert everywhere.claims(made, [*tables, part])[none] == (hits == 0)


def test_tables_are_stored_and_compared(free, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    spread(free)
    made, networks = everywhere.ostriches(model(0), free), {"A": model(0), "B": model(1)}
    moved = everywhere.journey(networks, free)
    claims = everywhere.claims(made, moved)
    assert len(everywhere.disagreements(made, moved, claims)) == 5
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert everywhere.disagreements(made, moved, claims) == []
    monkeypatch.delenv("INTRIGUING_RECORD")
    assert everywhere.disagreements(made, moved, claims) == []
    (line,) = everywhere.disagreements(made, moved, claims | {"Every photograph becomes an ostrich": False})
    assert "free_claims" in line


def spread(free, single=0.15, middle=0.02):
    rows = {name: [single] for name in free.names} | {study.MEDIAN: [middle]}
    meta = {"data": "toy", "profile": "quick"}
    results.record(results.Table(f"spread_{study.FREE}", [study.SPREAD], rows, meta))


def test_one_walk_may_turn_elsewhere_and_the_median_may_not(free, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    spread(free)
    made, moved = everywhere.ostriches(model(0), free), everywhere.journey({"A": model(0), "B": model(1)}, free)
    claims = everywhere.claims(made, moved)
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    everywhere.disagreements(made, moved, claims)
    monkeypatch.delenv("INTRIGUING_RECORD")

    def with_lengths(*factors):
        longer = made.found.rms * torch.tensor(factors, dtype=made.found.rms.dtype)
        return everywhere.Ostriches(free, replace(made.found, rms=longer), made.noise)

    order = made.found.rms.argsort().tolist()  # the median of three is the one in the middle
    longest = [1.5 if row == order[2] else 1.0 for row in range(3)]
    assert everywhere.disagreements(with_lengths(*longest), moved, claims) == []
    (line,) = everywhere.disagreements(with_lengths(1.1, 1.1, 1.1), moved, claims)
    assert line.startswith("The median distortion is")
    (line,) = everywhere.disagreements(with_lengths(*[3 if factor > 1 else 1 for factor in longest]), moved, claims)
    assert "'free_ostriches' differs from the stored run, 2 differences" in line
    # Six tenths of the stored length, whichever way it goes.
    for row, factors in ((order[0], (0.45, 0.35)), (order[2], (1.55, 1.65))):
        near, far = ([factor if place == row else 1 for place in range(3)] for factor in factors)
        assert everywhere.disagreements(with_lengths(*near), moved, claims) == []
        assert len(everywhere.disagreements(with_lengths(*far), moved, claims)) == 1


def test_sliders_hold_a_picture_for_every_position(free, monkeypatch):
    sizes = study.Sizes(60, ("goldfish", "ostrich"), (0.5, 0.6), 2, 2, 1)
    monkeypatch.setattr(study, "sizes", lambda: sizes)
    pages = everywhere.anything(model(0), free)
    text = pages._repr_mimebundle_()["text/html"] if hasattr(pages, "_repr_mimebundle_") else pages._repr_html_()
    assert text.count("<img") == 4 and "taken for ostrich with a probability of 0.6" in text


def imagenet(networks, count=16):
    """Soft pictures, each of the class that the first network sees in it."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randint(60, 190, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    pixels = nn.functional.interpolate(coarse.float(), (227, 227)).to(torch.uint8)
    labels = next(iter(networks.values()))(pixels[:, :, 1:225, 1:225] / 255).argmax(1)
    wnids = tuple(f"n{1_440_000 + i:08d}" for i in range(1000))
    files = tuple(f"{i:02d}" for i in range(count))
    return Photographs(pixels, labels, files, ("thing",) * 1000, wnids, "made", 0, 0, False)


def wide(seed):
    """A linear network of twelve classes for pictures of 224 by 224, the ostrich not far behind what it sees."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(192, 12)).eval().requires_grad_(False)
    network[2].weight.mul_(3)
    network[2].bias[1], network[2].bias[9] = 4, 3
    return recognition.Normalised(network, (0.5,) * 3).eval()


def test_with_photographs_ostriches_are_made_for_every_network_and_travel(monkeypatch):
    networks = {name: wide(seed) for seed, name in enumerate("ABC")}
    photos = imagenet(networks)
    seen = {name: model(photos.images(size=224)) for name, model in networks.items()}
    answers = {name: recognition.Responses(logits, logits) for name, logits in seen.items()}
    monkeypatch.setattr(study, "answers", lambda *_: answers)
    monkeypatch.setattr(study, "sizes", lambda: study.Sizes(40, (), (), 5, 2, 3))
    monkeypatch.setattr(study, "other_classes", lambda labels: (labels + 1) % 12)
    look = looking.Looking(photos, networks)
    assert list(look.drawn.found) == list(look.grown) == ["A", "B", "C"]
    assert all(bool(found.success.all()) for found in look.drawn.found.values())
    frame = study.surer_table(look.drawn, "made").to_frame()
    assert list(frame.columns)[:4] == ["A, median", "A, lower quartile", "A, upper quartile", "B, median"]
    assert (frame["A, lower quartile"] <= frame["A, median"]).all() and frame["C, median"].is_monotonic_increasing
    (axes,) = look.confidence().axes
    assert len(axes.containers) == 3 and axes.get_ylabel() == "median distortion"
    misread, hit, elsewhere = look.moved
    assert misread.meta["photographs"] == 5 and len(misread.rows) == 14 and len(hit.rows) == 7
    own = study.square(hit, travel.MINIMUM)
    assert [own.at[f"{travel.TARGET}, {name}", name] for name in "ABC"] == [1, 1, 1]
    away = study.square(misread, travel.MINIMUM)
    assert [away.at[f"{travel.AWAY}, {name}", name] for name in "ABC"] == [1, 1, 1]
    lines = look.abroad().to_string(delimiter="|").splitlines()
    assert lines[0].endswith("misread|noise|another photograph's|the target") and len(lines) == 7
    assert lines[1].startswith(f"{travel.TARGET}, {travel.MINIMUM}|") and " ± " in lines[1]
    assert lines[-1].endswith("|")  # nothing has a target there
    told = look.targeted()
    assert "all 5 photographs are ones that every network reads" in told
    assert "at most 22%, and where none of 5 was misread, up to 52% of all such photographs could be, at 95 %." in told
    assert len(elsewhere.rows) == 6


def alexnet(folder, monkeypatch):
    """A small AlexNet with random weights, laid out as torchvision's is."""
    torch.manual_seed(5)
    small = models.AlexNet(num_classes=12)
    small.features, small.avgpool = nn.AvgPool2d(28), nn.Identity()
    small.classifier = nn.Sequential(nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 12))
    monkeypatch.setattr(models, "alexnet", lambda weights: small)
    buffer = io.BytesIO()
    torch.save(small.state_dict(), buffer)
    name = f"alexnet-owt-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (folder / "imagenet").mkdir()
    (folder / "imagenet" / name).write_bytes(buffer.getvalue())
    monkeypatch.setenv("INTRIGUING_DATA", str(folder))
    monkeypatch.setattr(files, "TORCHVISION_FILE", name)


def test_alexnet_joins_judges_and_transfer_where_its_weights_are(tmp_path, monkeypatch):
    small = {recognition.SQUEEZENET: wide(0), recognition.LITE0: wide(1), recognition.LITE1: wide(2)}
    monkeypatch.setattr(recognition, "squeezenet", lambda: small[recognition.SQUEEZENET])
    monkeypatch.setattr(recognition, "efficientnet", small.get)
    monkeypatch.setattr(recognition, "alexnet_convolutions", lambda *_, **__: None)
    monkeypatch.setattr(study, "sizes", lambda: study.Sizes(5, (), (), 2, 1, 1))
    monkeypatch.setattr(study, "other_classes", lambda labels: (labels + 1) % 12)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    photos = imagenet({"all": lambda images: sum(model(images).softmax(1) for model in small.values())}, 80)
    without = looking.Looking(photos, recognition.networks())
    alexnet(tmp_path, monkeypatch)
    with_it = looking.Looking(photos, recognition.networks())
    assert list(without.networks) == list(small) and list(with_it.networks) == [recognition.ALEXNET, *small]
    assert "Left out: AlexNet" in without.says() and "Left out" not in with_it.says()
    assert list(without.judges.rows) == [f"{recognition.LITE0}, length one"]
    assert list(with_it.judges.rows) == [f"{name}, length one" for name in (recognition.LITE0, recognition.SQUEEZENET)]
    assert list(with_it.judged) == [recognition.ALEXNET, recognition.LITE0]
    assert "AlexNet" in study.square(with_it.moved[0], travel.MINIMUM).columns
    assert f"{travel.TARGET}, {recognition.ALEXNET}" in with_it.moved[0].rows
    compared = []
    monkeypatch.setattr(study, "comparable", lambda *_: True)
    monkeypatch.setattr(
        study, "disagreements", lambda tables, claims: compared.append([table.name for table in tables])
    )
    without.claims = {}
    without.disagreements()
    without.convolutions = torch.ones(80, 3)
    without.disagreements()
    assert compared[1] == [*compared[0], "imagenet_judges"]  # as stored, which has rows of these convolutions


def test_a_share_has_its_error():
    assert looking.share(0.25, 0.0312) == "25.0 ± 3.1 %" and looking.share(float("nan"), float("nan")) == ""


def test_without_photographs_the_second_half_is_empty():
    look = looking.Looking(None, {"A": model(0)})
    assert "left out in this run" in look.says()
    for name in ("recognised", "unit_rows", "direction_rows", "compared", "outcomes", "judgements", "among", "figure5",
                 "thumbnails", "distribution", "confidence", "saved", "survival", "abroad"):  # fmt: skip
        assert getattr(look, name)() is None
    assert look.rule() == "" and look.targeted().startswith("Left out in this run") and look.fooled(travel.FIVE) is None
    assert look.claims == {} and look.disagreements() == []
