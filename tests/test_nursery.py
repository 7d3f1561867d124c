"""Kernels that are copied: the same answers as from one that was started, and none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalPortCache

from intriguing.press import nursery, publishing
from test_running import write_chapter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")

# What a chapter could notice: bars that look for a kernel when they are imported, widgets, threads, folders, variables.
ASKED = """\
import os, subprocess, sys, warnings
import matplotlib, torch
from pathlib import Path
from IPython import get_ipython
from tqdm.auto import tqdm
import ipywidgets, pandas
print(tqdm.__module__, matplotlib.rcParams["backend"], torch.get_num_threads())
print({name: pandas.get_option(name) for name in ("display.max_columns", "display.width", "display.max_rows")})
print(Path.cwd().name, sys.path[0] == "", os.environ["INTRIGUING_PROFILE"], "JPY_PARENT_PID" in os.environ)
print(__name__, "intriguing.book.settings" in sys.modules, sys.argv[1], warnings.filters[-4:])
print(subprocess.run(["true"]).returncode, sorted(os.environ.keys() - {"MPLBACKEND", "KERNEL_LAUNCH_TIMEOUT"}))
print(os.getpid() == os.getpgid(0), sys.stdin is not None, torch.ones(2, requires_grad=True).sum().backward())
ipywidgets.IntSlider(description=repr(get_ipython().kernel.comm_manager.targets.keys()))"""


def outputs(path: Path, copied: bool) -> list:
    with nursery.kernels_are_copied(copied):
        notebook = publishing.execute(path, "quick")
    return [output.get("text") or output["data"]["text/plain"] for output in notebook.cells[1].outputs]


def test_a_copied_kernel_says_what_a_started_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = write_chapter(tmp_path, "one", ASKED)
    started = outputs(path, False)
    assert len(started) == 2
    assert outputs(path, True) == started


def test_a_copied_kernel_has_all_that_is_slow_imported(tmp_path: Path) -> None:
    asked = (
        f"import gc, sys\nprint([n for n in {nursery.IMPORTS} if n not in sys.modules], gc.get_freeze_count() > 1e5)"
    )
    assert outputs(write_chapter(tmp_path, "one", asked), True) == ["[] True\n"]


def test_the_first_process_keeps_memory_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def popen(command: list[str], env: dict[str, str], **given: object) -> None:
        seen.append(env)
        raise OSError("not today")

    monkeypatch.setattr(nursery.subprocess, "Popen", popen)
    other = {"MALLOC_TRIM_THRESHOLD_": "0"}
    for environment in ({}, other):
        with pytest.raises(OSError, match="not today"):
            nursery.Nursery().kernel([sys.executable, "-m", "name"], environment, None, True)
    assert seen == [nursery.MEMORY, nursery.MEMORY | other]


def test_one_process_serves_all_that_a_block_asks_for(tmp_path: Path) -> None:
    path = write_chapter(tmp_path, "one", "import os\nprint(os.getppid())")
    with nursery.kernels_are_copied():
        first = outputs(path, True)
        assert outputs(path, True) == first != outputs(path, False)


@pytest.mark.parametrize("copied", [True, False])
def test_a_port_that_another_program_takes_ends_no_kernel(
    copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_chapter(tmp_path, "one", "print(6 * 7)")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda self, ip: number)
        with monkeypatch.context() as patch, pytest.raises(publishing.ChapterFailed, match="died"):
            patch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", "local-provisioner")
            publishing.execute(path, "quick")  # as Jupyter's client starts it by itself
        assert outputs(path, copied) == ["42\n"]


@pytest.mark.parametrize("copied", [True, False])
def test_the_folder_of_a_kernel_goes_with_it(copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sockets").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "sockets"))
    monkeypatch.setattr(nursery, "LONGEST_PATH", 1000)
    asked = f"import os\nprint([sorted(f) for _, _, f in os.walk({str(tmp_path / 'sockets')!r}) if 'socket-1' in f])"
    path = write_chapter(tmp_path, "one", asked)
    assert outputs(path, copied) == [str([[f"socket-{number}" for number in range(1, 6)]]) + "\n"]
    assert not list((tmp_path / "sockets").glob("kernel-*"))
    monkeypatch.setattr(nursery, "LONGEST_PATH", 1)  # no socket can be that short: ports it is
    assert outputs(path, copied) == ["[]\n"]


# What asked to be done at the end, what a file has not got yet, and an object that lives as long as Python does.
AT_THE_END = """\
import atexit, os, sys
from pathlib import Path
atexit.register(lambda: Path("asked").touch())
file = open("written", "w")
file.write("all of it")
class Last:
    def __del__(self, write=os.write, place=os.open("taken apart", os.O_WRONLY | os.O_CREAT)):
        write(place, b"yes")
sys.last = Last()"""


@pytest.mark.parametrize("copied", [True, False])
def test_a_copy_does_what_is_asked_for_its_end_and_is_not_taken_apart(copied: bool, tmp_path: Path) -> None:
    path = write_chapter(tmp_path, "one", AT_THE_END)
    with nursery.kernels_are_copied(copied):
        publishing.execute(path, "quick")
    assert (path.parent / "asked").is_file()
    assert (path.parent / "written").read_text() == "all of it"
    assert (path.parent / "taken apart").read_text() == ("" if copied else "yes")


@pytest.mark.parametrize("copied", [True, False])
def test_a_kernel_that_takes_its_time_to_end_is_not_cut_off(copied: bool, tmp_path: Path) -> None:
    slow = "import atexit, pathlib, time\natexit.register(lambda: (time.sleep(3), pathlib.Path('ended').touch()))"
    path = write_chapter(tmp_path, "one", slow)
    with nursery.kernels_are_copied(copied):
        publishing.execute(path, "quick")
    assert (path.parent / "ended").is_file()


def test_a_kernel_that_dies_is_noticed(tmp_path: Path) -> None:
    path = write_chapter(tmp_path, "one", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with nursery.kernels_are_copied(), pytest.raises(publishing.ChapterFailed, match="died"):
        publishing.execute(path, "quick")


def test_copies_end_with_the_process_that_asked_for_them(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    path = write_chapter(
        tmp_path,
        "one",
        f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(f'{{os.getpid()}} ')\ntime.sleep(600)",
    )
    code = (
        "import sys; from pathlib import Path; from intriguing.press import nursery, publishing\n"
        "with nursery.kernels_are_copied(): publishing.execute(Path(sys.argv[1]), 'quick')"
    )
    asking = subprocess.Popen([sys.executable, "-c", code, str(path)])
    until = time.monotonic() + 120
    while not (note.is_file() and note.read_text().endswith(" ")):
        assert time.monotonic() < until and asking.poll() is None
        time.sleep(0.1)
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    kernel = nursery.Kernel(int(note.read_text()))
    while kernel.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("command", [[sys.executable, "-c", "raise SystemExit(3)"], ["env", "-u", "-m", "false"]])
def test_a_kernel_of_another_kind_is_started_as_usual(command: list[str]) -> None:
    made = nursery.copied()
    asyncio.run(made.launch_kernel(command))
    assert isinstance(made.process, subprocess.Popen)
    assert asyncio.run(made.wait()) > 0
