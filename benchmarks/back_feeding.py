"""Back-feeding at full size: hundreds of networks at once on a GPU; writes results/benchmarks/back_feeding.json.

``python benchmarks/back_feeding.py`` wants a machine with CUDA, PyTorch, NumPy and SciPy, and MNIST in
``INTRIGUING_DATA``. Before each part it measures the pace of the very networks
that are to be trained, and gives them as many epochs as fit into their share of the time. The file is written
after each part, and says what was not run. ``--device cpu --small`` runs the same on any computer in a minute.

``--units FOLDER`` makes the long trainings on CPUs, one network after the other: 200 epochs, chosen on five seeds and
judged on ten. What is in the folder is not made again, a training that was killed goes on where it was, and
``--part 0/2`` and ``1/2`` share the work between two processes. With ``--reduce`` what is there is added to the file of
results under ``long``, and nothing else in it changes. All of it wants safetensors, pandas and platformdirs as well.
Use one thread for each process (``OMP_NUM_THREADS=1``); on processors with AVX-512 that NumPy's OpenBLAS does not know
as such, ``OPENBLAS_CORETYPE=SkylakeX`` makes it faster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "back_feeding.json"
LAST = 15.0  # seconds kept for costs and distances
MEASURED = 10  # updates by which the pace of a bank is measured before its epochs are chosen
SEEDS, JUDGED = 5, 10  # networks for each plan while choosing, and of the main plans on the test set


def check_captured(device: torch.device) -> float:
    """The largest difference of a weight between updates replayed on the device and plain ones on the CPU."""
    from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup

    plans = [
        Plan("dose", 1.5),
        Plan("exit", 1.5, steps=3, layers=(0, 1, 2), alternate=True, activation="sigmoid"),
        Plan(decay=1e-4, activation="sigmoid"),
    ]
    generator = torch.Generator().manual_seed(0)
    pixels, labels = torch.rand(100, 784, generator=generator), torch.randint(10, (100,), generator=generator)
    ends = []
    for where in (device, torch.device("cpu")):
        bank = Bank([(plan, 0) for plan in plans], Setup(0.003, 2, 20), pixels.to(where), labels.to(where))
        ends.append([part.cpu() for layer in bank.train().last for part in layer])
    return max(float((one - other).abs().max()) for one, other in zip(*ends, strict=True))


class Record:
    """What is written, after each part."""

    def __init__(self, path: Path, clock: Any, meta: dict[str, Any]) -> None:
        self.path, self.clock = path, clock
        self.content: dict[str, Any] = {"meta": meta, "parts": {}}
        if path.exists():  # the long trainings are another run's, and stay
            known = json.loads(path.read_text(encoding="utf-8"))
            self.content |= {"long": known["long"]} if "long" in known else {}

    def part(self, name: str, work: Callable[[], str | None]) -> None:
        """Runs a part that adds to the content, when there is time for it; what fails is told and does no harm."""
        from harness import reason

        left = self.clock.left()
        print(f"{name}: {left:.0f} s left", flush=True)
        about = self.content["parts"].setdefault(name, {})
        if left <= 0:
            about["not_run"] = "the time was over"
        else:
            try:
                unfinished = work()
                about |= {"unfinished": unfinished} if unfinished else {}
            except Exception:
                print(traceback.format_exc(), flush=True)
                about["failed"] = reason(traceback.format_exc(), 1)
            about["seconds"] = left - self.clock.left()
        self.save()

    def save(self) -> None:
        """Writes what there is."""
        from harness import write_json

        self.content["meta"]["seconds"] = self.clock.spent()
        write_json(self.path, self.content)


def campaign(options: argparse.Namespace, record: Record) -> None:
    """Everything, part by part."""
    from intriguing.chapters.back_feeding import campaign as room
    from intriguing.chapters.back_feeding.examples import ACTIVATIONS
    from intriguing.data import mnist

    device, clock, content = torch.device(options.device), record.clock, record.content
    digits = mnist(options.profile)
    content["meta"]["data"] = digits.name
    train, test = (
        room.Pixels(part.images.flatten(1).to(device), part.labels.to(device)) for part in (digits.train, digits.test)
    )
    if options.small:
        train, test = train.cut(slice(0, 1200)), test.cut(slice(0, 200))
    held = len(train) // 6
    fitted, chosen_by = train.cut(slice(held, None)), train.cut(slice(0, held))
    state: dict[str, Any] = {"kept": {}, "misread": {}, "epochs": {}}
    seeds, judged = (2, 2) if options.small or options.smoke else (SEEDS, JUDGED)

    def tried(inside: bool) -> list:
        """What is selected from: plans for the images alone, or those that reach into hidden layers."""
        entries = [entry for activation in ACTIVATIONS for entry in room.selection(activation)]
        entries = [entry for entry in entries if (entry.plan.layers != (0,)) == inside]
        return entries[::7] if options.small or options.smoke else entries

    def trained(key: str, entries: list, seeds: int, where: tuple, share: float, most: int) -> str:
        """Trains for as many epochs as fit into a share of the time, by the pace of these very networks."""
        some = where[0].cut(slice(0, MEASURED * room.BATCH))
        pace = room.update_seconds(entries, seeds, some)
        per_epoch = pace * len(where[0]) / room.BATCH
        most = 1 if options.small or options.smoke else most
        epochs = room.affordable(per_epoch, share * (clock.left() - LAST), most)
        print(f"{len(entries)} plans, {seeds} seeds, {epochs} epochs of {per_epoch:.3g} s", flush=True)
        if not epochs:
            return f"an epoch takes {per_epoch:.3g} s, and there was less"
        rows, misread, kept = room.run(entries, epochs, seeds, *where, clock)
        state["epochs"][key] = epochs
        state["kept"].setdefault(key, {}).update(kept)
        state["misread"].setdefault(key, {}).update(misread)
        content.setdefault(key, []).extend(rows)
        if key in ("final", "layers"):
            told = [row for row in content.get("contrasts", []) if row["part"] != key]
            content["contrasts"] = told + [{"part": key} | row for row in room.contrasts(state["misread"][key])]
        return "" if rows else "the time was over before the training was"

    def both(key: str) -> list[list]:
        """The rows of a part for each activation that has some."""
        found = [[row for row in content.get(key, []) if row["activation"] == name] for name in ACTIVATIONS]
        return [rows for rows in found if rows]

    def stage(name: str, entries: list, seeds: int, where: tuple, share: float, most: int) -> None:
        if not entries:
            record.content["parts"][name] = {"not_run": "what it builds on was not run"}
            return
        record.part(name, lambda: trained(name.partition(",")[0], entries, seeds, where, share, most))

    def others() -> None:
        kept = state["kept"].get("final", {})
        copies, shown = (2, 20) if options.small else (10, 200)
        for activation in ACTIVATIONS:
            mine = [weights for (name, _), weights in kept.items() if name == activation]
            if mine:
                wide = [(matrix.repeat(copies, 1, 1), bias.repeat(copies, 1, 1)) for matrix, bias in mine[0]]
                found = room.costs(wide, activation, test.cut(slice(0, shown)))
                content.setdefault("cost", []).extend({"activation": activation} | row for row in found)
        few = room.Pixels(test.images[:shown].cpu(), test.labels[:shown].cpu())
        for (activation, name), weights in kept.items():
            if clock.left() < 2:
                return
            mine = [(matrix[:2].cpu(), bias[:2].cpu()) for matrix, bias in weights]
            found = room.distances(mine, activation, few)
            content.setdefault("distances", []).append(
                {"activation": activation, "name": name, "distance": found, "images": len(few)}
            )

    def speed() -> None:
        some = fitted.cut(slice(0, min(4000, len(fitted))))
        dose = [entry for entry in room.selection("ReLU") if entry.name == "dose 1.5"]
        content["speed"] = [
            {
                "networks": seeds,
                "captured": capture and device.type == "cuda",
                "seconds_per_update": room.update_seconds(dose, seeds, some, capture=capture),
            }
            for seeds, capture in ((1, False), (1, True), (10, True), (100, True))[: 2 if options.small else 4]
        ]

    def checked() -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            content["checks"] = {"largest difference between replayed and plain updates": check_captured(device)}
        finally:
            torch.backends.cuda.matmul.allow_tf32 = True

    record.part("checks", checked)
    record.part("speed", speed)
    held_out, all_of_it = (fitted, chosen_by), (train, test)
    stage("selection", tried(False), seeds, held_out, 0.2, 80)
    stage("selection, hidden layers", tried(True), seeds, held_out, 0.2, state["epochs"].get("selection", 80))
    chosen = both("selection")
    entries = [entry for rows in chosen if room.best(rows, ("dose",)) for entry in room.to_confirm(rows)]
    stage("confirmation", entries, seeds, held_out, 0.15, 300)
    confirmed = both("confirmation") or [[] for _ in chosen]
    named = [room.finalists(rows, more) for rows, more in zip(chosen, confirmed, strict=True)]
    first, rest = ([entry for pair in named for entry in pair[number]] for number in range(2))
    stage("final", first, judged, all_of_it, 0.5, 300)
    stage("final, others", rest, seeds, all_of_it, 0.6, state["epochs"].get("final", 300))
    entries = [entry for rows in chosen for entry in room.of_layers(rows) + room.of_doses(rows[0]["activation"])]
    entries = entries[::6] if options.small or options.smoke else entries
    stage("layers", entries, judged, all_of_it, 0.9, 120)
    record.part("cost and distances", others)


def units(options: argparse.Namespace) -> int:
    """Makes the networks of the long trainings that are missing, or reduces those that are there.

    Returns:
        0, or 1 where another process makes this part.
    """
    from gpu import hardware
    from harness import alone_with, write_json

    from intriguing.chapters.back_feeding import findings, long
    from intriguing.data import mnist

    end = time.monotonic() + 60 * options.minutes
    torch.set_num_threads(1)

    def say(line: str) -> None:
        print(f"{time.strftime('%m-%d %H:%M')} {line}", flush=True)

    digits, sizes = mnist(options.profile), {}
    if options.small:
        few = {name: getattr(digits, name).take(slice(0, count)) for name, count in (("train", 1200), ("test", 200))}
        digits, sizes = replace(digits, **few), {"epochs": 2, "seeds": 2, "judged": 2}
    bench = long.Bench(digits, end, say, phases=options.phases or long.PHASES, **sizes)
    if options.reduce:
        known = json.loads(options.output.read_text(encoding="utf-8"))
        before = known.get("long", {})
        told = long.reduced(bench, before) | {"power": long.power(findings.short())}
        machines = before.get("hardware", {}) | dict.fromkeys(bench.phases, hardware(torch.device("cpu")))
        write_json(options.output, known | {"long": told | {"hardware": machines}})
        return 0
    number, many = map(int, options.part.split("/"))
    with alone_with(options.units, number, many) as mine:
        if not mine:
            say(f"another process makes part {number} of {many} in {options.units}")
            return 1
        if number == 0:
            seen = long.power(findings.short())["seen from"]
            hours = ", ".join(f"{phase} {value:.1f}" for phase, value in long.left(bench).items())
            say(f"differences show from about {seen:.2%} on, two standard errors; core-hours left: {hours}")
        missing = long.work(bench)
    say(f"{len(missing)} networks are missing" if missing else "all is there, or taken by another process")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda; cpu for the units")
    parser.add_argument("--minutes", type=float, default=6.0, help="after which nothing further is begun")
    parser.add_argument("--small", action="store_true", help="a few images and epochs, to see that it works")
    parser.add_argument("--smoke", action="store_true", help="all images and plans, one epoch of each part")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--units", type=Path, help="folder of the networks of the long trainings")
    parser.add_argument("--part", default="0/1", help="of the units: number of this process and how many there are")
    parser.add_argument("--phases", nargs="+", help="of the units; default: all of them")
    parser.add_argument("--reduce", action="store_true", help="only put what the units tell into the file of results")
    options = parser.parse_args(arguments)
    options.device = options.device or ("cpu" if options.units else "cuda")
    if options.units and options.device != "cpu":
        parser.error("got --units on a GPU; expected --device cpu, for which the units are made.")
    if options.reduce and not options.units:
        parser.error("got --reduce without --units; expected the folder of the networks.")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("got no CUDA device; expected one; run it elsewhere, or with --device cpu --small.")
    options.profile = "quick" if options.small else "paper"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs everything and writes the file.

    Returns:
        0 when every part was run to its end, or what units were asked for could be begun; 1 otherwise.
    """
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    options = parse(arguments)
    if options.units:
        options.units.mkdir(parents=True, exist_ok=True)
        with mock.patch.dict(os.environ, INTRIGUING_CACHE=str(options.units)):
            return units(options)
    from gpu import hardware, stand_in

    missing = stand_in()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        os.environ.setdefault("INTRIGUING_CACHE", folder)
        from intriguing.book.clock import Clock

        clock = Clock(options.minutes)
        torch.backends.cuda.matmul.allow_tf32 = True
        about = hardware(torch.device(options.device))
        about["products"] = "TF32, sums in float32" if about["device"] == "cuda" else "float32"
        meta = {"hardware": about, "minutes": options.minutes, "missing_packages": missing}
        record = Record(options.output, clock, meta)
        campaign(options, record)
    parts = record.content["parts"]
    stopped = [name for name, about in parts.items() if set(about) & {"failed", "not_run", "unfinished"}]
    print(f"{len(parts) - len(stopped)} of {len(parts)} parts were run to the end.", *stopped, sep="\n")
    print(f"Written: {os.path.relpath(options.output)}")
    return 1 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
