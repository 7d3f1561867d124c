"""Ends the work at random moments and breaks what it stands on; writes results/benchmarks/faults.json.

``python benchmarks/faults.py`` kills (SIGKILL) a training, a long attack, a download, a recording and a run of
chapters, twenty times each, and lets them go on. Afterwards every file must be whole and the result that of an
undisturbed run. Then the disk is full, the cache read-only, the clock wrong, the network gone, and files are cut short
and altered. Each try is made in a fork of this process, which has loaded PyTorch once; data, networks and chapters are
small ones.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from harness import write_json
from torch import nn
from torchvision.datasets import MNIST

from intriguing.attack import files
from intriguing.book import halves, settings
from intriguing.data import DataError, manifest, mnist
from intriguing.models.training import trained
from intriguing.press import commands, fetch

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "faults.json"
SEED, MOMENTS = 0, 20
LIMIT = 300.0  # seconds for one try
HTML = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>" * 40
NOBODY = 65534


# One try in a process of its own.


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit status, negative for a signal.
        seconds: that it ran.
        said: what it wrote, both streams.
        value: what the work returned, as JSON; None where it did not return.
    """

    code: int
    seconds: float
    said: str
    value: Any


def begin(work: Callable[[], Any], folder: Path) -> int:
    """Starts some work in a fork of this process, in a group of its own; returns its id."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        log = os.open(folder / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        value = work()
        (folder / f"{os.getpid()}.json").write_text(json.dumps(value))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, folder: Path, *, kill_after: float | None = None) -> Ended:
    """Waits for it, or ends it with SIGKILL after some seconds."""
    started = time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - started > (LIMIT if kill_after is None else kill_after):
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    log, told = folder / f"{child}.log", folder / f"{child}.json"
    return Ended(
        os.waitstatus_to_exitcode(status),
        time.monotonic() - started,
        log.read_text(errors="replace") if log.exists() else "",
        json.loads(told.read_text()) if told.exists() else None,
    )


def tried(work: Callable[[], Any], folder: Path) -> Ended:
    """Does some work in a fork of this process to its end."""
    return wait(begin(work, folder), folder)


# What is done.


def small_training() -> str:
    """Trains a network on 400 digits and returns the sum of its weights."""
    digits = halves.small(mnist("quick"), 400)
    return files.digest(trained("FC100-100-10", digits.train, max_iterations=60).model.state_dict())


def long_attack() -> list[Any]:
    """Attacks 24 small images in chunks of two; returns the sum of the result and how many chunks were solved here."""
    from intriguing.attack import runs

    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 20), nn.Tanh(), nn.Linear(20, 5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    images = torch.rand(24, 1, 10, 10, generator=generator)
    model = model.eval().requires_grad_(False)
    run = runs.Run(model, images, (model(images).argmax(1) + 1) % 5, chunk=2)
    made: list[int] = []
    solve = run._make
    run._make = lambda index: made.append(index) or solve(index)
    run.finish()
    return [files.digest(dict(vars(run.collect()))), len(made)]


CONTENT = {
    "train-images-idx3-ubyte": struct.pack(">4i", 2051, 300, 28, 28) + (bytes(range(256)) * 919)[: 300 * 784],
    "train-labels-idx1-ubyte": struct.pack(">2i", 2049, 300) + bytes(i % 10 for i in range(300)),
    "t10k-images-idx3-ubyte": struct.pack(">4i", 2051, 60, 28, 28) + bytes(60 * 784),
    "t10k-labels-idx1-ubyte": struct.pack(">2i", 2049, 60) + bytes(i % 10 for i in range(60)),
}
"""MNIST in its own format, with fewer images."""


@contextlib.contextmanager
def small_mnist(address: str) -> Iterator[None]:
    """Lets MNIST be the small one that a server has; the mirrors' https is left out, as a local server has none."""
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENT.items()}
    sums = [(name, hashlib.md5(content, usedforsecurity=False).hexdigest()) for name, content in packed.items()]
    described = tuple(
        manifest.File(f"MNIST/raw/{name}", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in CONTENT.items()
    )
    kind = type("MNIST", (MNIST,), {"mirrors": [address], "resources": sums})
    data_set = dataclasses.replace(manifest.MANIFEST["mnist"], files=described)
    changed = {**manifest.MANIFEST, "mnist": data_set}
    with (
        mock.patch.object(manifest, "MANIFEST", changed),
        mock.patch.object(manifest, "_fetch", lambda folder: kind(folder, download=True) and None),
    ):
        yield


def download(address: str) -> Callable[[], str]:
    """Looks for MNIST, which is not there, and returns the sum of what was downloaded."""

    def work() -> str:
        with small_mnist(address):
            folder = manifest.find("mnist")
        return _sum(folder / "MNIST" / "raw")

    return work


def _sum(folder: Path) -> str:
    total = hashlib.sha256()
    for name in CONTENT:
        total.update((folder / name).read_bytes())
    return total.hexdigest()


@contextlib.contextmanager
def server(answer: Callable[[str], tuple[int, bytes, int]], pause: float = 0.0) -> Iterator[str]:
    """A web server on this computer.

    Args:
        answer: name of a file -> status, content, and the length that is promised.
        pause: seconds between the pieces of a file.

    Yields:
        Its address.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content, length = answer(self.path.rsplit("/", 1)[-1])
            with contextlib.suppress(OSError):  # who asked may be gone
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                for start in range(0, len(content), 4096):
                    self.wfile.write(content[start : start + 4096])
                    self.wfile.flush()
                    time.sleep(pause)

        def log_message(self, *_: object) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/"
    finally:
        served.shutdown()
        served.server_close()


def as_it_is(name: str) -> tuple[int, bytes, int]:
    """The file that was asked for."""
    content = gzip.compress(CONTENT[name.removesuffix(".gz")], mtime=0)
    return 200, content, len(content)


HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n# Small\n\n"


def small_book(root: Path) -> None:
    """Writes a book of three small chapters; each stores a result."""
    (root / "notebooks").mkdir(parents=True)
    (root / "results" / "quick").mkdir(parents=True)
    for name in ("one", "two", "three"):
        store = (
            "import time\nfrom pathlib import Path\nfrom intriguing.attack import files\n"
            f"time.sleep(0.1)\nfiles.write_atomically(Path('../results/quick/{name}.json'), b'[1]')\n6 * 7"
        )
        text = HEADER + f"```{{code-cell}} ipython3\n{store}\n```\n"
        (root / "notebooks" / f"{name}.md").write_text(text)
        (root / "results" / "quick" / f"{name}.json").write_text("[1]")
    listed = "".join(f"- file: notebooks/{name}\n" for name in ("one", "two", "three"))
    (root / "_toc.yml").write_text("chapters:\n" + listed)


def book(root: Path, *arguments: str) -> Callable[[], int]:
    """Runs or records the chapters of a small book."""

    def work() -> int:
        with (
            mock.patch.object(settings, "checkout", lambda: root),
            mock.patch.object(commands, "_build", lambda *_: True),
        ):
            code = commands.main([*arguments, "--jobs", "1"])
        if code:
            sys.exit(code)
        return code

    return work


# What is found afterwards.


def remains(folder: Path) -> list[str]:
    """Files that are neither whole nor ignored: kept weights and chunks that cannot be read, JSON that is none."""
    from safetensors import SafetensorError, safe_open

    broken = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, "pt") as file:
                    told = (file.metadata() or {}).get("sha256")
                    found = files.digest({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
                if told != found:
                    broken.append(path.name)
            elif path.suffix in (".json", ".ipynb") and path.is_file():
                json.loads(path.read_text())
        except (OSError, ValueError, SafetensorError):
            broken.append(path.name)
    return broken


def killed(
    what: str, prepare: Callable[[Path], Callable[[], Any]], folder: Path, moments: int, whole: Callable[[Any], Any]
) -> dict[str, Any]:
    """Ends the same work at random moments and lets it go on.

    Args:
        what: is done.
        prepare: an empty folder -> the work.
        folder: for all of it.
        moments: how often.
        whole: what the work returned -> what must be the same as in an undisturbed run.

    Returns:
        A row: how many tries ended as they should, and what went wrong in the others.
    """
    undisturbed = tried(prepare(folder / "undisturbed"), folder / "logs")
    if undisturbed.code:
        return {"what": what, "fault": "kill -9", "tries": 0, "sound": 0, "wrong": [_line(undisturbed.said)]}
    draw, wrong, hit = random.Random(f"{SEED} {what}"), [], 0
    for i in range(moments):
        place = folder / f"killed {i}"
        work = prepare(place)
        first = wait(begin(work, folder / "logs"), folder / "logs", kill_after=draw.uniform(0, undisturbed.seconds))
        hit += first.code == -signal.SIGKILL
        if broken := remains(place):
            wrong.append(f"left {', '.join(broken)}")
        again = tried(work, folder / "logs")
        if again.code or whole(again.value) != whole(undisturbed.value):
            wrong.append(_line(again.said) if again.code else f"another result: {again.value}")
        shutil.rmtree(place, ignore_errors=True)
    return {
        "what": what,
        "fault": "kill -9",
        "tries": moments,
        "hit": hit,
        "sound": moments - len(wrong),
        "wrong": wrong,
    }


def _line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing was said"


def in_cache(work: Callable[[], Any], folder: Path) -> Callable[[], Any]:
    """The work with a cache of its own and no other data."""

    def inside() -> Any:
        os.environ["INTRIGUING_CACHE"] = str(folder / "cache")
        os.environ.pop("INTRIGUING_DATA", None)
        return work()

    return inside


def refused(
    what: str, fault: str, ended: Ended, words: str, left: list[str], *, warned: bool = False
) -> dict[str, Any]:
    """A row on a fault that must be told in one sentence, and leave nothing behind."""
    said = [line for line in ended.said.splitlines() if words in line]
    sound = bool(said) and not left and (warned or ended.code != 0)
    wrong = [] if sound else [f"exit {ended.code}, left {left}: {_line(ended.said)}"]
    return {
        "what": what,
        "fault": fault,
        "tries": 1,
        "sound": int(sound),
        "wrong": wrong,
        "said": _line(said[-1] if said else ""),
    }


# The faults one by one.


def kills(folder: Path, moments: int) -> Iterator[dict[str, Any]]:
    """SIGKILL at random moments of everything that takes long."""
    yield killed("training", lambda at: in_cache(small_training, at), folder / "training", moments, lambda sum_: sum_)
    yield killed("long attack", lambda at: in_cache(long_attack, at), folder / "attack", moments, lambda two: two[0])
    with server(as_it_is, pause=0.05) as address:
        yield killed(
            "download", lambda at: in_cache(download(address), at), folder / "download", moments, lambda sum_: sum_
        )

    for command in ("record", "run"):

        def prepare(at: Path, command: str = command) -> Callable[[], Any]:
            small_book(at / "book")
            return in_cache(book(at / "book", command), at)

        yield killed(f"{command} of three chapters", prepare, folder / command, moments, lambda code: code)


def resumption(folder: Path) -> Iterator[dict[str, Any]]:
    """What was finished before a kill is not done again; two runs on one cache share the work."""
    work = in_cache(long_attack, folder / "resumed")
    child = begin(work, folder / "logs")
    chunks = folder / "resumed" / "cache" / "runs"
    until = time.monotonic() + LIMIT
    while len(list(chunks.rglob("*.safetensors"))) < 5 and time.monotonic() < until:
        time.sleep(0.005)
    wait(child, folder / "logs", kill_after=0)
    kept = len(list(chunks.rglob("*.safetensors")))
    again = tried(work, folder / "logs")
    sound = again.code == 0 and again.value[1] == 12 - kept
    wrong = [] if sound else [f"{kept} chunks were kept and {again.value} made: {_line(again.said)}"]
    yield {"what": "long attack", "fault": "kill -9 after five chunks", "tries": 1, "sound": int(sound), "wrong": wrong}
    for what, share in (("long attack", long_attack), ("training", small_training)):
        work = in_cache(share, folder / f"shared {what}")
        both = [begin(work, folder / "logs") for _ in range(2)]
        ended = [wait(child, folder / "logs") for child in both]
        values = [one.value[0] if what == "long attack" and one.value else one.value for one in ended]
        sound = all(one.code == 0 for one in ended) and values[0] == values[1]
        if what == "long attack" and sound:
            sound = sum(one.value[1] for one in ended) == 12
        wrong = [] if sound else [f"{[one.value for one in ended]}: {_line(ended[0].said + ended[1].said)}"]
        yield {"what": what, "fault": "two runs on one cache", "tries": 1, "sound": int(sound), "wrong": wrong}


def cramped(work: Callable[[], Any], most: int) -> Callable[[], Any]:
    """The work where no file may be larger than some bytes: writing ends as on a full disk, with another number."""

    def inside() -> Any:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        return work()

    return inside


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A file system of some size at a folder, where this process may mount one."""
    folder.mkdir(parents=True)
    mounted = os.system(f"mount -t tmpfs -o size={size},mode=777 faults '{folder}' 2>/dev/null") == 0
    try:
        yield mounted
    finally:
        if mounted:
            os.system(f"umount -l '{folder}'")


def disks(folder: Path) -> Iterator[dict[str, Any]]:
    """A full disk, and a cache that can only be read."""
    for what, work in (("training", small_training), ("long attack", long_attack)):
        place = folder / f"full {what}"
        with small_disk(place, "64k" if what == "training" else "16k") as mounted:
            inside = work if mounted else cramped(work, 4096)
            ended = tried(in_cache(inside, place), folder / "logs")
            fault = "full disk" if mounted else "no file above 4 kB"
            yield refused(what, fault, ended, "disk is full" if mounted else "Cannot write", remains(place))
    place = folder / "full book"
    with small_disk(place, "36k") as mounted:
        if mounted:
            small_book(place / "book")
            ended = tried(in_cache(book(place / "book", "record"), place), folder / "logs")
            yield refused("record of three chapters", "full disk", ended, "disk is full", remains(place))
    with server(as_it_is) as address, small_disk(folder / "full download", "64k") as mounted:
        inside = download(address) if mounted else cramped(download(address), 4096)
        ended = tried(in_cache(inside, folder / "full download"), folder / "logs")
        left = [path.name for path in (folder / "full download").rglob("*ubyte*")]
        yield refused("download", "full disk", ended, "free some space", left)
    if os.geteuid() == 0:
        place = folder / "read-only"
        kept = tried(in_cache(long_attack, place), folder / "logs")
        new = lambda: (os.environ.update(INTRIGUING_CACHE=str(place / "cache")), small_training())[1]  # noqa: E731
        for path in place.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        for path in (folder, *folder.parents):
            if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
                path.chmod(0o755)
        (folder / "logs").chmod(0o777)
        again = tried(_as_nobody(in_cache(long_attack, place)), folder / "logs")
        sound = again.code == 0 and again.value == [kept.value[0], 0]
        wrong = [] if sound else [f"{again.value}: {_line(again.said)}"]
        yield {
            "what": "long attack",
            "fault": "read-only cache that holds it",
            "tries": 1,
            "sound": int(sound),
            "wrong": wrong,
        }
        yield refused("training", "read-only cache", tried(_as_nobody(new), folder / "logs"), "nothing can be kept", [])


def _as_nobody(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work as a user who may write nothing here; to the superuser no folder is read-only."""

    def inside() -> Any:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return work()

    return inside


def networks(folder: Path) -> Iterator[dict[str, Any]]:
    """No network, a page in the place of a file, a file that ends early, and one of another content."""

    def page(name: str) -> tuple[int, bytes, int]:
        return 200, HTML, len(HTML)

    def short(name: str) -> tuple[int, bytes, int]:
        status, content, length = as_it_is(name)
        return status, content[: length // 2], length

    def cut(name: str) -> tuple[int, bytes, int]:
        status, content, length = as_it_is(name)
        return status, content[: length // 2], length // 2

    def altered(name: str) -> tuple[int, bytes, int]:
        content = bytearray(CONTENT[name.removesuffix(".gz")])
        content[-1] ^= 1
        packed = gzip.compress(bytes(content), mtime=0)
        return 200, packed, len(packed)

    def gone(name: str) -> tuple[int, bytes, int]:
        return 404, b"", 0

    answers = {
        "HTML for a gzip": page,
        "connection ends early": short,
        "truncated file": cut,
        "altered file": altered,
        "not found": gone,
    }
    for fault, answer in answers.items():
        place = folder / fault.replace(" ", "-")
        with server(answer) as address:
            ended = tried(in_cache(download(address), place), folder / "logs")
        left = [path.name for path in place.rglob("*ubyte*")]
        yield refused("download", fault, ended, "the download failed", left)
    ended = tried(in_cache(download("http://127.0.0.1:9/"), folder / "none"), folder / "logs")
    yield refused("download", "no network", ended, "the download failed", [])
    for fault, get in (("HTML for a gzip", lambda _: HTML), ("truncated file", lambda _: b"\x1f\x8b\x08\x00")):

        def work(get: Callable[[str], bytes] = get) -> None:
            fetch.fetch("usps", folder / "fetched", get=get)

        ended = tried(work, folder / "logs")
        yield refused(
            "fetch of USPS", fault, ended, DataError.__name__, [str(p) for p in (folder / "fetched").rglob("*.npz")]
        )


def altered_files(folder: Path) -> Iterator[dict[str, Any]]:
    """Kept files that are cut short or changed in one byte are made anew with a warning; another time means nothing."""
    for what, work, pattern in (("training", small_training, "weights"), ("long attack", long_attack, "runs")):
        place = folder / what
        first = tried(in_cache(work, place), folder / "logs")
        sum_of = (lambda value: value[0]) if what == "long attack" else (lambda value: value)
        for fault in ("truncated file", "altered file", "clock set back"):
            path = sorted((place / "cache" / pattern).rglob("*.safetensors"))[0]
            content = bytearray(path.read_bytes())
            if fault == "truncated file":
                path.write_bytes(content[: len(content) // 2])
            if fault == "altered file":
                content[-3] ^= 1
                state = path.stat()
                path.write_bytes(content)
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # its time says nothing
            if fault == "clock set back":
                for kept in (place / "cache").rglob("*"):
                    os.utime(kept, (time.time() + 1e7,) * 2)
            again = tried(in_cache(work, place), folder / "logs")
            sound = again.code == 0 and sum_of(again.value) == sum_of(first.value)
            told = "made anew" in again.said
            sound &= told != (fault == "clock set back")
            wrong = [] if sound else [f"{again.value}, told {told}: {_line(again.said)}"]
            yield {"what": what, "fault": fault, "tries": 1, "sound": int(sound), "wrong": wrong}
    place = folder / "book"
    small_book(place / "book")
    run = in_cache(book(place / "book", "run"), place)
    first = tried(run, folder / "logs")
    for fault in ("clock set back", "altered file", "truncated file"):
        kept = sorted((place / "book" / "_build").rglob("executed/one*"))
        for path in kept:
            content = bytearray(path.read_bytes())
            if fault == "truncated file":
                path.write_bytes(content[: len(content) // 2])
            if fault == "altered file":
                path.write_bytes(content.replace(b'"42"', b'"43"'))
        if fault == "clock set back":
            for path in (place / "book").rglob("*"):
                os.utime(path, (time.time() + 1e7,) * 2)
        again = tried(run, folder / "logs")
        nothing = "Nothing to execute" in again.said
        sound = first.code == again.code == 0 and nothing == (fault == "clock set back") and bool(kept)
        wrong = [] if sound else [f"executed nothing: {nothing}; {_line(again.said)}"]
        yield {"what": "run of three chapters", "fault": fault, "tries": 1, "sound": int(sound), "wrong": wrong}


GROUPS = {"kills": kills, "resumption": resumption, "disks": disks, "networks": networks, "altered": altered_files}


def main(arguments: list[str] | None = None) -> int:
    """Tries every fault and writes the table.

    Returns:
        0 when everything ended as it should, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="some of the faults (default: all)")
    parser.add_argument("--moments", type=int, default=MOMENTS, help="how often each work is killed")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    os.environ |= {"TQDM_DISABLE": "1", "INTRIGUING_PROFILE": "quick", "INTRIGUING_DEVICE": "cpu"}
    warnings.simplefilter("default")
    mnist("quick")  # loads what reads it; a fork that is nobody may not even read the packages
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    if options.groups and options.output.exists():
        rows = [row for row in json.loads(options.output.read_text())["rows"] if row["group"] not in options.groups]
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for group in options.groups or GROUPS:
            place = Path(name) / group
            given = (options.moments,) if group == "kills" else ()
            for row in GROUPS[group](place, *given):
                rows.append({"group": group, **row})
                told = f"{row['sound']} of {row['tries']}"
                print(f"{told:9} {row['what']}: {row['fault']}", *row["wrong"][:2], sep="\n          ", flush=True)
                meta = settings.provenance(started)
                write_json(options.output, {"name": "faults", "meta": meta, "rows": rows})
    return 0 if all(row["sound"] == row["tries"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
