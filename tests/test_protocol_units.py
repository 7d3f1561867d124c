"""Units of the hunt on a few digits: made once, made anew when something changed, gone on with when cut off."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from intriguing.attack import files
from intriguing.attack.penalty import grid_distortion
from intriguing.book import paper
from intriguing.book.halves import small
from intriguing.chapters.protocol import blocks, joint, plan, stacked, units
from intriguing.chapters.protocol.trials import VARIANTS, Coder, Variant
from intriguing.chapters.protocol.units import Bench, Network
from intriguing.data import mnist
from intriguing.models.training import trained

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def digits():
    few = small(mnist("quick"), 200)
    return replace(few, test=few.test.take(slice(0, 100)))


@pytest.fixture
def bench(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    said = []
    made = Bench(digits, images=6, say=said.append)
    made.said = said
    return made


def kept(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_a_network_is_trained_as_the_book_trains_it(bench):
    for name in ("FC100-100-10", "FC10(1e-2)", "AE400-10"):
        coder = Coder(iterations=5) if name == "AE400-10" else None
        ours = Network(name, "part1", 3, coder=coder, end=12)
        units.train([ours], bench)
        if coder:
            continue
        theirs = trained(name, bench.digits.part1, seed=3, max_iterations=12).model
        for (weight, bias), layer in zip(units.layers(ours, bench), theirs[1::2], strict=True):
            torch.testing.assert_close(weight[0], layer.weight, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(bias[0], layer.bias, rtol=1e-3, atol=1e-4)


def test_the_softmax_on_an_encoder_reads_what_the_encoder_shows(bench):
    network = Network("AE400-10", coder=Coder(iterations=5), end=40)
    units.train([network], bench)
    other = replace(network, way=Variant(0.5, bias=True))
    units.train([other], bench)
    assert len(list(files.cache_folder().rglob("AE400-encoder*"))) == 1
    (first, head), (same, _) = units.layers(network, bench), units.layers(other, bench)
    assert first[0].shape == (1, 400, 784) and head[0].shape == (1, 10, 400)
    assert torch.equal(first[0], same[0])
    assert int(units.errors(network, bench)["train"][0]) < 100


def test_several_networks_side_by_side_are_those_of_one_at_a_time(bench, digits, tmp_path, monkeypatch):
    ways = (units.BASE, plan.SIGMOID[plan.ALIKE])
    two = [Network("FC100-100-10", "part2", seed, way, end=8) for seed, way in enumerate(ways)]
    units.train(two, bench)
    together = [units.layers(one, bench) for one in two]
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "other"))
    for one, there in zip(two, together, strict=True):
        units.train([one], bench)
        for (weight, _), (same, _) in zip(units.layers(one, bench), there, strict=True):
            torch.testing.assert_close(weight, same, rtol=1e-3, atol=1e-4)


def test_an_autoencoder_takes_as_long_as_both_its_layers(bench):
    network = Network("AE400-10", coder=Coder(iterations=5), end=12)
    units.train([network], bench)
    other = replace(network, way=Variant(0.5, bias=True))
    units.train([other], bench)
    head, below = (units.cache.location(*where(other, bench)) for where in (units.place, units._below))
    parts = [float(files.read(path, _key(path))[0]["seconds"]) for path in (head, below)]
    assert min(parts) > 0 and units.seconds(other, bench) == pytest.approx(sum(parts))


def test_a_network_is_made_anew_when_its_settings_or_data_change(bench, digits):
    one = Network("FC10(1)", end=3)
    units.train([one], bench)
    assert units.there(one, bench)
    with pytest.raises(units.Missing, match=r"FC10\(1\) of train from 0, decay 0.5, 4 iterations is not there"):
        units.layers(replace(one, way=VARIANTS["half decay"], end=4), bench)
    moved = Bench(replace(digits, train=digits.train.take(slice(1, 200))), images=6)
    assert not units.there(one, moved)
    bench.code = "other"
    assert not units.there(one, bench)


def test_a_killed_training_goes_on_to_the_same_network(bench, tmp_path, monkeypatch):
    one = Network("FC100-100-10", end=30)
    monkeypatch.setattr("intriguing.book.unfinished.EVERY", 0.0)
    left, train = iter(range(25)), stacked.train

    def killed(*args, **options):
        options["stop"] = lambda: next(left) < 0  # as a kill: StopIteration leaves everything where it is
        return train(*args, **options)

    monkeypatch.setattr("intriguing.chapters.protocol.trials.train", killed)
    with pytest.raises(StopIteration):
        units.train([one], bench)
    (unfinished,) = (tmp_path / "unfinished").iterdir()
    memory, _ = files.read(unfinished, _key(unfinished))
    assert 0 < memory["state/iterations"].item() < 30
    before = memory["seconds"].item()
    assert not units.there(one, bench)
    monkeypatch.setattr("intriguing.chapters.protocol.trials.train", train)
    units.train([one], bench)
    assert not unfinished.exists() and units.seconds(one, bench) > before
    again = units.layers(one, bench)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "whole"))
    units.train([one], bench)
    for (weight, bias), (same, too) in zip(units.layers(one, bench), again, strict=True):
        assert torch.equal(weight, same) and torch.equal(bias, too)


def _key(path):
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()["key"]


def test_a_broken_memory_is_reported_and_left(bench, tmp_path):
    one = Network("FC10(1)", end=3)
    saved = units._saved([units.place(one, bench)], bench)
    saved.path.parent.mkdir()
    saved.path.write_bytes(b"broken")
    with pytest.warns(UserWarning, match="begins anew"):
        units.train([one], bench)


def test_the_time_ends_a_training_and_keeps_it(bench, tmp_path):
    one = Network("FC100-100-10", end=30)
    bench.end = 0.0
    assert not plan.work([_Casts([one])], bench)
    assert bench.said == ["the time is over"] and list((tmp_path / "unfinished").iterdir())
    bench.end = float("inf")
    assert plan.work([_Casts([one])], bench) and units.there(one, bench)


class _Casts(plan.Cast):
    def __init__(self, networks):
        object.__setattr__(self, "shown", networks)

    def networks(self):
        return {one.name: one for one in self.shown}


def test_what_is_shown_has_the_sizes_that_are_asked_for():
    clean = torch.full((4, 9), 0.5)
    step = torch.linspace(0, 0.3, 4)[:, None] * torch.ones(4, 9)
    shown = dict(units.steps(clean, {"step": step.half(), "rms": step[:, 0]}, longer=True))
    size = {way: (images - clean).square().mean(1).sqrt() for way, images in shown.items()}
    assert size["clean"].max() == 0 and torch.equal(shown["each"][0], clean[0])
    torch.testing.assert_close(size["each"][1:], torch.full((3,), 0.1), rtol=1e-3, atol=0)
    torch.testing.assert_close(size["x2"], 2 * step[:, 0], rtol=1e-3, atol=0)
    assert shown["x2, cut"].max() == 1 and shown["x2"].max() > 1
    assert list(dict(units.steps(clean, {"step": step, "rms": step[:, 0]}, longer=False))) == ["clean", "found"]


def test_readings_are_made_once_and_hold_what_the_reader_takes_them_for(bench, tmp_path):
    maker, reader = (Network("FC100-100-10", "part1", seed, end=20) for seed in (0, 1))
    for one in (maker, reader):
        units.train([one], bench)
    own, other = units.reading(maker, maker, bench), units.reading(maker, reader, bench)
    targets = torch.from_numpy(joint.rates.wrong(bench.data.made_of_test.labels.numpy())).flatten()
    success = units.examples(maker, bench)["success"]
    assert success.any() and float((own["x1.4"] == targets)[success].double().mean()) > 0.9
    labels = bench.data.made_of_test.labels.repeat_interleave(9)
    clean = stacked.Stack(units.layers(reader, bench)).read(bench.data.made_of_test.images)[0].repeat_interleave(9)
    assert torch.equal(other["clean"], clean) and set(own) == set(other)
    assert (clean == labels).double().mean() > 0.2
    before = kept(tmp_path)
    units.reading(maker, reader, bench)
    assert kept(tmp_path) == before


def test_what_is_misread_under_noise_is_what_is_counted_of_it(bench, monkeypatch):
    cast = plan.Cast(False, 0, end=3)
    linear = [cast.networks()[name] for name in paper.MODELS[:3]]
    for one in linear:
        units.train([one], bench)
        errors, noisy = units.errors(one, bench)["train"], units.noisy(one, bench)
        assert noisy["uncut"].sum(1).tolist() == errors[1::2].tolist()
        assert noisy["cut"].sum(1).tolist() == errors[2::2].tolist()
    monkeypatch.setattr(blocks, "DRAWS", 10)
    told = plan.blocks_of([plan.Cast(True, 0), cast, plan.Cast(False, 1, "x0.5")], bench)
    assert list(told) == ["x1"] and set(told["x1"]) == {"uncut", "cut"}
    wanted = 256 * np.array([units.noisy(one, bench)["uncut"].double().mean(1).numpy() for one in linear]).T
    assert told["x1"]["uncut"]["mean"] == pytest.approx(wanted)


def test_a_search_on_a_grid_takes_longer_steps_to_the_random_target(bench):
    maker, reader = (Network("FC100-100-10", "part1", seed, end=20) for seed in (0, 1))
    for one in (maker, reader):
        units.train([one], bench)
    exact, part = units.examples(maker, bench), bench.data.made_of_test
    rows = units.trials.random_rows(part)
    targets, found = units.trials.nine(part)[1][rows], exact["success"][rows]
    assert found.sum() >= 3 and exact["edge"][rows][found].isfinite().all()
    edges = exact["edge"][rows][found]
    for ratio in (1.2, 10.0):
        coarse, read = units.on_grid(maker, ratio, bench), units.reading(maker, maker, bench, ratio)
        assert coarse["step"].shape == (6, 784) and len(read["found"]) == 6 == len(read["x2, cut"])
        assert (read["found"] == targets)[found].all()
        assert (coarse["rms"] >= exact["rms"][rows] * 0.999)[found].all()
        assert torch.allclose(coarse["rms"], coarse["step"].float().square().mean(1).sqrt(), rtol=1e-3)
        # the short way is the way of the whole grid: the minimiser of the last value below the edge
        below = ratio ** (edges.log() / np.log(ratio)).floor()
        model = units._alone(units.layers(maker, bench))
        wanted, gaps = grid_distortion(model, part.images[found], targets[found], below[:, None])
        hit = (gaps > 0)[:, 0]
        torch.testing.assert_close((wanted[:, 0] - part.images[found])[hit].half(), coarse["step"][found][hit])
    assert not torch.equal(units.on_grid(maker, 1.2, bench)["rms"], units.on_grid(maker, 10.0, bench)["rms"])
    with pytest.raises(units.Missing, match="on a grid is not there"):
        units.on_grid(reader, 2.0, bench, make=False)


def test_casts_are_those_of_the_paper():
    casts = plan.wanted()
    assert len(set(casts)) == len(casts)
    first = plan.Cast(True, 1).networks()
    assert {name: (net.name, net.part, net.seed) for name, net in first.items()} == {
        "FC100-100-10": ("FC100-100-10", "part1", 2),
        "FC123-456-10": ("FC123-456-10", "part1", 2),
        "FC100-100-10'": ("FC100-100-10", "part2", 3),
    }
    other = plan.Cast(False, 0, "x0.5, biases decayed", plan.ALIKE, "activity 0.05").networks()
    assert list(other) == list(paper.MODELS)
    assert other["FC10(1)"].way == Variant(0.5, bias=True) == other["AE400-10"].way
    assert other["AE400-10"].coder.activity == 0.05 and other["FC10(1)"].coder is None
    assert plan.Cast(False, 0, sigmoid="mean taken off").networks()["AE400-10"].way == units.BASE
    assert [(cast.sigmoid, cast.coder) for cast in casts][0] == ("as printed", "as in the book")


def test_networks_of_a_kind_are_trained_side_by_side():
    networks = plan.networks(plan.wanted())
    for first in networks:
        batch = plan.alike(first, networks, 16)
        assert batch[0] == first and len({(one.name, one.part, one.end) for one in batch}) == 1
        assert len(batch) == len(set(batch)) and (len(batch) == 1) == (first.coder is not None)
        assert plan.alike(first, networks, 1) == [first] and len(plan.alike(first, networks, 3)) <= 3


def test_two_processes_share_the_work_and_a_third_start_makes_nothing(bench, tmp_path, monkeypatch):
    cast = plan.Cast(True, 0, end=8)
    monkeypatch.setattr(units, "FACTORS", (1.4, 2.0))
    assert not plan.work([cast], bench, part=(1, 2))
    assert len(plan.missing([cast], bench)) == 2
    assert plan.work([cast], bench, part=(0, 2))
    before = kept(tmp_path)
    assert plan.work([cast], bench) and kept(tmp_path) == before
    for one in list((tmp_path / "weights").glob("reading-*"))[:1]:
        one.rename(one.with_suffix(".away"))
        assert len(plan.found([cast], bench).read) == 35
        one.with_suffix(".away").rename(one)
    found = plan.found([cast], bench)
    assert len(found.read) == 36 and len(found.rms) == 12 and found.errors and found.casts
    monkeypatch.setattr(joint, "BASE", joint.Protocol(end="8"))
    result = joint.search(found)
    assert set(result.printed.index.get_level_values("table")) == {"table3", "table4"}
    assert len(result.printed) == 30 and np.isfinite(result.z).all()


def test_the_script_says_what_is_missing_and_leaves_a_folder_to_one_process(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("protocol")
    monkeypatch.setenv("INTRIGUING_CACHE", "")  # the script sets it; this puts it back
    options = ["--units", str(tmp_path), "--device", "cpu", "--profile", "quick", "--images", "4", "--minutes", "0"]
    monkeypatch.setattr("sys.argv", ["protocol.py", *options])
    threads = torch.get_num_threads()
    assert script.main() == 0
    said = capsys.readouterr().out
    assert "the time is over" in said and "networks are missing: FC100-100-10 of part1 from 0;" in said
    assert list((tmp_path / "unfinished").iterdir())
    with (tmp_path / "part-0-of-1.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert script.main() == 1
    assert "another process makes part 0 of 1" in capsys.readouterr().out
    torch.set_num_threads(threads)
