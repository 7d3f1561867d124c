"""Back-feeding at full size: hundreds of networks at once on a GPU; writes results/benchmarks/back_feeding.json.

``python benchmarks/back_feeding.py`` wants a machine with CUDA, PyTorch, NumPy and SciPy, and MNIST in
``INTRIGUING_DATA``. It measures its pace first and then chooses how many epochs fit into the time. The file is written
after each part, and says what was not run. ``--device cpu --small`` runs the same on any computer in a minute.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "back_feeding.json"
EPOCHS = (300, 200, 120, 80, 40, 20, 10)
"""What a part is cut down to when it would not fit into the time that is left."""
LAST = 15.0  # seconds kept for costs, speed and distances


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

    def part(self, name: str, wanted: float, work: Any) -> None:
        """Runs a part that adds to the content, when there is time for it; what fails is told and does no harm."""
        from harness import reason

        print(f"{name}: {self.clock.left():.0f} s left, {wanted:.0f} s expected", flush=True)
        if self.clock.left() < wanted:
            self.content["parts"][name] = {"not_run": f"{self.clock.left():.0f} s were left, {wanted:.0f} s are wanted"}
        else:
            left = self.clock.left()
            self.content["parts"][name] = about = {}
            try:
                unfinished = work()
                if unfinished:
                    about["unfinished"] = unfinished
            except Exception:
                import traceback

                print(traceback.format_exc(), flush=True)
                about["failed"] = reason(traceback.format_exc(), 1)
            about["seconds"] = left - self.clock.left()
        self.save()

    def save(self) -> None:
        """Writes what there is."""
        from harness import write_json

        self.content["meta"]["seconds"] = self.clock.elapsed()
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
    state: dict[str, Any] = {"late": 1.0, "pace": room.Pace(1e-3, 1e-4), "length": room.MENU[-1]}
    state |= {"kept": {}, "misread": {}}

    def tried(inside: bool) -> list:
        """What is selected from: plans for the images alone, or those that reach into hidden layers."""
        entries = [entry for activation in ACTIVATIONS for entry in room.selection(activation)]
        entries = [entry for entry in entries if (entry.plan.layers != (0,)) == inside]
        return entries[::7] if options.small or options.smoke else entries

    def measure() -> None:
        entries = [entry for activation in ACTIVATIONS for entry in room.selection(activation)]
        entries = [entry for entry in entries if entry.plan.layers == (0,)]
        some = fitted.cut(slice(0, 1000 if options.small else 10000))
        large, small = (entries[::15], entries[::60]) if options.small else (entries, entries[::10])
        timed = [(len(part) * 5, room.update_seconds(part, 5, some)) for part in (small, large)]
        state["pace"] = room.Pace.through(*timed)
        state["length"] = room.affordable(room.MENU, clock.left() - LAST, state["pace"], len(train))
        if options.small or options.smoke:
            content["affordable"] = asdict(state["length"])
            state["length"] = room.Length(1, 1, 1, 1, 2, 2)
        expected = room.seconds(state["length"], len(train), state["pace"])
        content["length"] = asdict(state["length"]) | {"pace": asdict(state["pace"]), "expected_seconds": expected}
        print(timed, content["length"], content.get("affordable"), flush=True)

    def fitting(networks: int, wanted: int, images: int, keep: float) -> tuple[int, float]:
        """As many of the epochs as there is time for, and the seconds that they take."""
        for epochs in (wanted, *(fewer for fewer in EPOCHS if fewer < wanted)):
            seconds = state["late"] * state["pace"].seconds(networks, epochs, images)
            if seconds < clock.left() - keep:
                break
        return epochs, seconds

    def trained(key: str, entries: list, epochs: int, seeds: int, where: tuple) -> str:
        print(f"{len(entries)} plans, {seeds} seeds, {epochs} epochs", flush=True)
        rows, misread, kept = room.run(entries, epochs, seeds, *where, clock)
        state["kept"].setdefault(key, {}).update(kept)
        state["misread"].setdefault(key, {}).update(misread)
        content.setdefault(key, []).extend(rows)
        if key in ("final", "layers"):
            told = [row for row in content.get("contrasts", []) if row["part"] != key]
            content["contrasts"] = told + [{"part": key} | row for row in room.contrasts(state["misread"][key])]
        if key == "selection" and rows:  # what was measured over seconds was measured better than the pace
            expected = state["pace"].seconds(rows[0]["networks"], epochs, rows[0]["images"])
            state["late"] = max(1.0, rows[0]["seconds"] * rows[0]["networks"] * epochs / expected)
        return "" if rows else "the time was over before the training was"

    def both(key: str) -> list[list]:
        """The rows of a part for each activation that has some."""
        found = [[row for row in content.get(key, []) if row["activation"] == name] for name in ACTIVATIONS]
        return [rows for rows in found if rows]

    def stage(key: str, entries: list, epochs: int, seeds: int, where: tuple, keep: float, more: str = "") -> None:
        if not entries:
            content["parts"][key] = {"not_run": "what it builds on was not run"}
            return
        epochs, wanted = fitting(len(entries) * seeds, epochs, len(where[0]), keep)
        record.part(key + more, wanted, lambda: trained(key, entries, epochs, seeds, where))

    def others() -> None:
        kept = state["kept"].get("final", {})
        for activation in ACTIVATIONS:
            mine = [weights for (name, _), weights in kept.items() if name == activation]
            if mine:
                wide = [(matrix.repeat(10, 1, 1), bias.repeat(10, 1, 1)) for matrix, bias in mine[0]]
                found = room.costs(wide, activation, test)
                content.setdefault("cost", []).extend({"activation": activation} | row for row in found)
        few = room.Pixels(test.images[:200].cpu(), test.labels[:200].cpu())
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

    record.part("checks", 0, checked)
    record.part("pace", 0, measure)
    length = state["length"]
    record.part("speed", 0, speed)
    held_out, all_of_it = (fitted, chosen_by), (train, test)
    stage("selection", tried(False), length.selection, length.seeds, held_out, 0.6 * clock.left())
    stage("selection", tried(True), length.selection, length.seeds, held_out, 0.7 * clock.left(), ", hidden layers")
    chosen = both("selection")
    entries = [entry for rows in chosen if room.best(rows, ("dose",)) for entry in room.to_confirm(rows)]
    stage("confirmation", entries, length.confirmation, length.seeds, held_out, 0.6 * clock.left())
    confirmed = both("confirmation") or [[] for _ in chosen]
    named = [room.finalists(rows, more) for rows, more in zip(chosen, confirmed, strict=True)]
    first, rest = ([entry for pair in named for entry in pair[number]] for number in range(2))
    stage("final", first, length.final, length.judged, all_of_it, 0.35 * clock.left())
    stage("final", rest, length.final, length.seeds, all_of_it, 0.35 * clock.left(), ", others")
    entries = [entry for rows in chosen for entry in room.of_layers(rows) + room.of_doses(rows[0]["activation"])]
    entries = entries[::6] if options.small or options.smoke else entries
    stage("layers", entries, length.layers, length.judged, all_of_it, LAST)
    record.part("cost and distances", 0, others)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=6.0, help="after which nothing further is begun")
    parser.add_argument("--small", action="store_true", help="a few images and epochs, to see that it works")
    parser.add_argument("--smoke", action="store_true", help="all images and plans, one epoch of each part")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("got no CUDA device; expected one; run it elsewhere, or with --device cpu --small.")
    options.profile = "quick" if options.small else "paper"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs everything and writes the file.

    Returns:
        0 when every part was run to its end, 1 otherwise.
    """
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from gpu import hardware, stand_in

    missing = stand_in()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        os.environ.setdefault("INTRIGUING_CACHE", folder)
        options = parse(arguments)
        from intriguing.chapters.back_feeding.campaign import Clock

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
