"""The campaign behind the chapter on the protocol: many networks trained and attacked; raw readings as files.

``python benchmarks/protocol.py --minutes 9 --output FOLDER`` wants a machine with CUDA, PyTorch, NumPy and SciPy, and
MNIST in ``INTRIGUING_DATA``. Each job runs in a process of its own, so that one computes while another waits; it writes
``FOLDER/<job>.npz`` whenever a part is done. ``--reduce`` makes results/benchmarks/protocol.json out of these files.
``--size tiny --device cpu`` runs the same on any computer in some minutes.

``--units FOLDER`` makes what the joint search wants, one network and one set of examples after the other; what is in
the folder is not made again, and a training that was killed goes on. ``--device cpu --part 0/2`` and ``1/2`` share the
work between two processes. With ``--reduce`` the search is added to the file of results. All of it wants safetensors,
pandas and platformdirs as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "protocol.json"


def work(options: argparse.Namespace, began: float) -> int:
    """One job, in this process."""
    from gpu import stand_in

    stand_in()
    from intriguing.book.clock import Clock
    from intriguing.chapters.protocol import campaign, trials
    from intriguing.data import mnist

    torch.set_num_threads(1 if options.device == "cpu" else 4)
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(options.device)
    clock = Clock(options.minutes, began)
    torch.backends.cudnn.allow_tf32 = False

    def say(line: str) -> None:
        print(f"{clock.spent():6.1f} s {options.job}: {line}", flush=True)

    digits = mnist(options.profile)
    data = trials.data(digits, options.images, device, train=options.train)
    store = trials.Store(options.output / f"{options.job}.npz")
    hardware = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    about = {"hardware": hardware, "torch": torch.__version__, "python": platform.python_version()}
    about |= {"data": digits.name, "images": options.images, "training images": len(data.train.labels)}
    store.put("about", json.dumps(about))
    sizes = {"full": campaign.Sizes(), "small": campaign.SMALL, "tiny": campaign.TINY}[options.size]
    job = campaign.Job(data, sizes, clock, store, say)
    say(f"begins on {hardware}")
    try:
        campaign.JOBS[options.job](job)
    except Exception:
        say(traceback.format_exc())
        job.save("a failure")
        return 1
    say("done")
    return 0


def reduce(folder: Path) -> int:
    """Writes what the chapter reads, and leaves the joint search as it is."""
    import numpy as np
    from harness import write_json

    from intriguing.attack.perturbations import random_targets
    from intriguing.chapters.protocol import rates, trials

    whole, halves = (dict(np.load(folder / f"{job}.npz")) for job in ("whole", "halves"))
    drawn = [random_targets(torch.from_numpy(job["labels"].astype(np.int64))).numpy() for job in (whole, halves)]
    kept = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    found = rates.reduced(whole, halves, *drawn, list(trials.LINEAR_VARIANTS))
    write_json(RESULT, found | {name: kept[name] for name in ("joint", "blocks", "costs") if name in kept})
    return 0


def units(options: argparse.Namespace, began: float) -> int:
    """Makes the units that are missing, or searches in those that are there."""
    os.environ["INTRIGUING_CACHE"] = str(options.units)
    from harness import alone_with, write_json

    from intriguing.chapters.protocol import joint, plan, rates
    from intriguing.chapters.protocol.units import Bench
    from intriguing.data import mnist

    cpu = options.device == "cpu"
    torch.set_num_threads(1 if cpu else 4)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def say(line: str) -> None:
        print(f"{time.strftime('%m-%d %H:%M')} {line}", flush=True)

    end = began + 60 * options.minutes
    bench = Bench(mnist(options.profile), options.images, torch.device(options.device), end, say)
    casts = plan.wanted()
    if options.reduce:
        found = json.loads(RESULT.read_text(encoding="utf-8"))
        told = rates.rounded({"blocks": plan.blocks_of(casts, bench), "costs": plan.costs(casts, bench)})
        write_json(RESULT, found | {"joint": joint.reduced(plan.found(casts, bench))} | told)
        return 0
    number, many = map(int, options.part.split("/"))
    with alone_with(options.units, number, many) as mine:
        if not mine:
            say(f"another process makes part {number} of {many} in {options.units}")
            return 1
        whole = plan.work(casts, bench, part=(number, many), together=1 if cpu else 16)
    left = plan.missing(casts, bench)
    say("all is there" if whole else f"{len(left)} networks are missing: {'; '.join(map(str, left))}")
    return 0


def main() -> int:
    """Starts a process for each job and waits for all.

    Returns:
        0 when all jobs ended well.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="after which no further part is begun")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, help="folder of the raw readings of the jobs")
    where.add_argument("--units", type=Path, help="folder of the units of the joint search")
    parser.add_argument("--part", default="0/1", help="of the units: number of this process and how many there are")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--profile", default="paper", choices=("quick", "paper"))
    parser.add_argument("--images", type=int, default=1500, help="how many are attacked")
    parser.add_argument("--train", type=int, help="how many training images are used (default: all)")
    parser.add_argument("--size", default="full", choices=("full", "small", "tiny"), help="seeds and iterations")
    parser.add_argument("--job", help="only this one, in this process")
    parser.add_argument("--began", type=float)
    parser.add_argument("--reduce", action="store_true", help="only make the file of results")
    options = parser.parse_args()
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        sys.path.insert(0, str(folder))
    if options.units:
        options.units.mkdir(parents=True, exist_ok=True)
        return units(options, time.monotonic())
    if options.reduce:
        return reduce(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    began = options.began or time.monotonic()
    if options.job:
        return work(options, began)
    environment = os.environ | {"OMP_NUM_THREADS": "4", "INTRIGUING_DEVICE": options.device}
    command = [sys.executable, "-u", *sys.argv, "--began", str(began)]
    jobs = ("halves", "whole")
    if options.device == "cpu":
        return max(subprocess.run([*command, "--job", job], env=environment, check=False).returncode for job in jobs)
    started = [subprocess.Popen([*command, "--job", job], env=environment) for job in jobs]
    return max(process.wait() for process in started)


if __name__ == "__main__":
    sys.exit(main())
