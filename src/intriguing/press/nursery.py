"""Kernels that are ready at once: a process that has imported what every chapter imports is copied for each of them.

PyTorch, SciPy, pandas and matplotlib take seconds to import, and every chapter has a kernel of its own. Where Unix can
copy a process, one of them imports all this once; each kernel is a copy of it that has run nothing yet. Elsewhere, and
where arithmetic may use several threads, which no copy would have, kernels start as usual.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
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

NAME, USUAL = "nursery", "local-provisioner"
"""The names under which Jupyter's client knows this way to start a kernel, and its own."""


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
    """The process that is copied; it starts with the first kernel and ends with this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def kernel(self, command: list[str], environment: dict[str, str], folder: str | None, quiet: bool) -> Kernel:
        """Starts a kernel.

        Args:
            command: ``[python, ..., "-m", module, *arguments]``.
            environment: Of the kernel. Its number of threads is that of the first kernel's.
            folder: In which the kernel starts; None for the present one.
            quiet: Whether what it writes to its standard error is thrown away.

        Raises:
            OSError: The process that is copied has ended.
        """
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
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


def provisioner(**given: Any) -> Any:
    """Returns what Jupyter's client asks to start a kernel; it finds this function by its name."""
    from jupyter_client.provisioning import LocalProvisioner

    class Provisioner(LocalProvisioner):
        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
            if cmd[:1] != [sys.executable] or "-m" not in cmd:  # a kernel of another kind
                return await super().launch_kernel(cmd, **kwargs)
            self.cwd = kwargs.get("cwd") or os.getcwd()
            quiet = kwargs.get("stderr") is not None
            self.process = _NURSERY.kernel(cmd, dict(kwargs.get("env") or os.environ), str(self.cwd), quiet)
            self.pid = self.pgid = self.process.pid
            return self.connection_info

    return Provisioner(**given)


@contextlib.contextmanager
def kernels_are_copied(wanted: bool = True) -> Iterator[None]:
    """Has Jupyter's client start its kernels here, or as usual, for the length of the block.

    Args:
        wanted: Whether they are copied; without ``os.fork`` they are not in any case.
    """
    from jupyter_client.provisioning import KernelProvisionerFactory

    factory = KernelProvisionerFactory.instance()
    before = factory.default_provisioner_name
    factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:provisioner", factory.GROUP_NAME)
    factory.default_provisioner_name = NAME if wanted and hasattr(os, "fork") else USUAL
    try:
        yield
    finally:
        factory.default_provisioner_name = before
        if before != NAME:  # no block around this one needs it
            _NURSERY.close()


def serve() -> None:
    """What the process that is copied does: it imports, then answers each line with the number of a new kernel."""
    # Read while they are imported: what a kernel sets before, and the process whose end is the end of a kernel.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    answers = os.dup(1)
    os.dup2(2, 1)  # what is printed by others is no answer
    for name in IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if pandas := sys.modules.get("pandas"):
        pandas.set_option("display.max_columns", COLUMNS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies: let the system forget them
    for line in iter(sys.stdin.readline, ""):
        copy = os.fork()
        if not copy:
            os.close(answers)
            return _become_kernel(json.loads(line))
        os.write(answers, f"{copy}\n".encode())
    return None


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
