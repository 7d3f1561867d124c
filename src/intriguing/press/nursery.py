"""Kernels that are ready at once: a process that has imported what every chapter imports is copied for each of them.

PyTorch, SciPy, pandas and matplotlib take seconds to import, and every chapter has a kernel of its own. Where Unix can
copy a process, one of them imports all this once; each kernel is a copy of it that has run nothing yet. Elsewhere, and
where arithmetic may use several threads, which no copy would have, kernels start as usual.

Copied or not, a kernel is spoken to through sockets in a folder of its own, where Unix has them and the path of that
folder is short enough. Network ports, which are left elsewhere, are chosen before it binds them, and another program
may take one in between: then the kernel dies.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

# Slow to import, and the same whether a kernel runs or not: tqdm.auto and ipywidgets, for instance, look for one.
IMPORTS = (
    "numpy",
    "torch",
    "torch._dynamo",  # imported by the first optimizer
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "pandas.io.formats.style",
    "scipy.stats",
    "scipy.optimize",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
)
"""What the first process imports; what is missing is left to the chapters."""

COLUMNS = 20
"""Columns of a table that pandas prints where it is imported in a kernel; elsewhere it asks the terminal."""

COPIED, STARTED = "nursery", "started"
"""The names under which Jupyter's client knows these two ways to get a kernel."""

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""What tells the C library of Linux, when the first process starts, to keep memory for the next batch of images instead
of giving it back and asking for it again thousands of times, which takes time."""

LONGEST_PATH = 80
"""Bytes that the folder of a kernel's sockets may have; a socket's path ends at 104 or 108."""


class Kernel:
    """A copied process, seen as Jupyter's client sees one that it has started itself.

    Args:
        pid: Of the process, which leads a group of its own.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Returns None while the process lives; its status is not known here, so 0 afterwards."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self) -> int:
        """Returns 0; it is called when the process has ended."""
        return 0

    def send_signal(self, number: int) -> None:
        """Sends a signal to the process if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the process to end."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that is copied; it starts with the first kernel and ends with ``close``, or with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def kernel(self, command: list[str], environment: dict[str, str], folder: str | None, quiet: bool) -> Kernel:
        """Starts a kernel.

        Args:
            command: ``[python, ..., "-m", module, *arguments]``.
            environment: Of the kernel. Its number of threads is that of the first kernel's.
            folder: In which the kernel starts; None for the present one.
            quiet: Whether what it writes to its standard output and its standard error is thrown away.

        Raises:
            OSError: The process that is copied has ended.
        """
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=MEMORY | environment,
                text=True,
                start_new_session=True,  # Ctrl-C is for the command, which then ends its kernels
            )
        asked = {"arguments": command[command.index("-m") + 1 :], "environment": environment}
        self._process.stdin.write(json.dumps(asked | {"folder": folder or os.getcwd(), "quiet": quiet}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise OSError("the process that kernels are copied from has ended; run the command again.")
        return Kernel(int(answer))

    def close(self) -> None:
        """Ends the process that is copied; kernels that still run end by themselves."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


_NURSERY = Nursery()


def copied(**given: Any) -> Any:
    """Returns what Jupyter's client asks for a copied kernel; it finds this function by its name."""

    class Copying(_provisioner()):  # type: ignore[misc]
        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
            if cmd[:1] != [sys.executable] or "-m" not in cmd:  # a kernel of another kind
                return await super().launch_kernel(cmd, **kwargs)
            self.cwd = kwargs.get("cwd") or os.getcwd()
            quiet = kwargs.get("stderr") is not None
            self.process = _NURSERY.kernel(cmd, dict(kwargs.get("env") or os.environ), str(self.cwd), quiet)
            self.pid = self.pgid = self.process.pid
            return self.connection_info

    return Copying(**given)


def started(**given: Any) -> Any:
    """Returns what Jupyter's client asks for a kernel that starts as usual."""
    return _provisioner()(**given)


def _provisioner() -> type:
    from jupyter_client.provisioning import LocalProvisioner

    class Speaking(LocalProvisioner):
        """A local kernel that is spoken to through sockets in a folder, where the system has such sockets."""

        folder: str | None = None

        async def pre_launch(self, **kwargs: Any) -> Any:
            manager = self.parent
            if manager is not None and self.folder is None and hasattr(os, "fork"):
                self.folder = tempfile.mkdtemp(prefix="kernel-")  # nobody else may look into it
                if len(os.fsencode(self.folder)) <= LONGEST_PATH:
                    manager.transport, manager.ip = "ipc", os.path.join(self.folder, "socket")
                    manager.cache_ports = False
            return await super().pre_launch(**kwargs)

        async def cleanup(self, restart: bool = False) -> None:
            await super().cleanup(restart)
            if self.folder is not None and not restart:
                shutil.rmtree(self.folder, ignore_errors=True)

    return Speaking


@contextlib.contextmanager
def kernels_are_copied(wanted: bool = True) -> Iterator[None]:
    """Has Jupyter's client take its kernels from here for the length of the block.

    Args:
        wanted: Whether they are copied, or start as usual; without ``os.fork`` none is copied in any case.
    """
    from jupyter_client.provisioning import KernelProvisionerFactory

    factory = KernelProvisionerFactory.instance()
    before = factory.default_provisioner_name
    for name, way in ((COPIED, copied), (STARTED, started)):
        factory.provisioners[name] = EntryPoint(name, f"{__name__}:{way.__name__}", factory.GROUP_NAME)
    factory.default_provisioner_name = COPIED if wanted and hasattr(os, "fork") else STARTED
    try:
        yield
    finally:
        factory.default_provisioner_name = before
        if before != COPIED:  # no block around this one needs it
            _NURSERY.close()


def serve() -> None:
    """What the process that is copied does: it imports, then answers each line with the number of a new kernel."""
    # Read while they are imported: what a kernel sets before, and the process whose end is the end of a kernel.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    atexit.register(_leave)  # before all others, so it comes after them
    answers = os.dup(1)
    os.dup2(2, 1)  # what is printed by others is no answer
    for name in IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if pandas := sys.modules.get("pandas"):
        pandas.set_option("display.max_columns", COLUMNS)
    gc.freeze()  # the copies need not look through what was imported when they look for what nobody holds
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies: let the system forget them
    for line in iter(sys.stdin.readline, ""):
        copy = os.fork()
        if not copy:
            os.close(answers)
            return _become_kernel(json.loads(line))
        os.write(answers, f"{copy}\n".encode())
    return None


def _leave() -> None:
    """Ends this process at once: to take all that was imported apart, object by object, would take a copy seconds."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def _become_kernel(asked: dict) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    if asked["quiet"]:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    os.environ.clear()
    os.environ.update(asked["environment"], JPY_PARENT_PID=str(os.getppid()))
    os.chdir(asked["folder"])
    sys.argv = asked["arguments"]
    runpy.run_module(sys.argv[0], run_name="__main__")
