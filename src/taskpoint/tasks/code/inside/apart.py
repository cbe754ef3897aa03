"""Sets a process apart by what Linux lets anybody do: namespaces, Landlock, a parent that outlives it.

For where bubblewrap is not to be had. Each measure is taken where the system allows it; `main` tells which.
Numbers are those of the kernel's headers (sched.h, mount.h, prctl.h, landlock.h, capability.h).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

_NEW_USER, _NEW_PID, _NEW_NET, _NEW_MOUNTS, _NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000
_RECURSIVE, _PRIVATE, _NO_SUID, _NO_DEVICES = 1 << 14, 1 << 18, 1 << 1, 1 << 2
_DEATH_SIGNAL, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 36, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_CAPABILITIES_3 = 0x20080522
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def main(folder: str, readable: Sequence[str], megabytes: int, wanted: Sequence[str], user: int) -> list[str]:
    """Returns in the process that is set apart, which is no longer the one that called.

    Args:
        folder: The only one that it may write to.
        readable: Files and folders that it may read.
        megabytes: What the folder may hold, where it is one of memory.
        wanted: The measures to take: ``namespaces``, ``user`` and ``landlock``.
        user: The number of a user whom nobody else is.

    Returns:
        The measures that were taken.
    """
    taken: list[str] = []
    try:
        library: Any = ctypes.CDLL(None, use_errno=True)
        library.prctl(_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux
        _forked(None)
        os.chdir(folder)
        return taken
    library.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if "namespaces" in wanted and _new_namespaces(library):
        _forked(library)
        # Nothing that is mounted here is seen outside.
        private = library.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None) == 0
        size = f"size={megabytes}m,nr_inodes=10000,mode=700".encode()
        if private and library.mount(b"own", os.fsencode(folder), b"tmpfs", _NO_SUID | _NO_DEVICES, size) == 0:
            taken.append("folder")
        taken.append("namespaces")
    _forked(library)
    if "user" in wanted and os.geteuid() == 0 and _open_to_all(os.__file__):
        taken += _become(user, folder)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if "landlock" in wanted:
        taken += _landlock(library, folder, readable)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    library.capset(header, none)
    os.chdir(folder)
    return taken


def _open_to_all(path: str) -> bool:
    """Whether everybody may read a file."""
    place, mode = path, 4
    while place != os.path.dirname(place):
        if not os.stat(place).st_mode & mode:
            return False
        place, mode = os.path.dirname(place), 1
    return True


def _become(user: int, folder: str) -> list[str]:
    try:
        os.chown(folder, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return []
    return ["user"]


def _new_namespaces(library: Any) -> bool:
    user, group = os.geteuid(), os.getegid()
    others = _NEW_PID | _NEW_NET | _NEW_MOUNTS | _NEW_IPC
    if user == 0 and library.unshare(others) == 0:
        return True  # as root of the machine one may become another user
    if library.unshare(others | _NEW_USER) == 0:
        for name, said in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(said)
        return True
    return False


def _forked(library: Any) -> None:
    """Goes on in a child; the parent waits for it and keeps no end of a pipe open."""
    child = os.fork()
    if child:
        _wait_for(child)
    if library is not None:
        library.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _wait_for(child: int) -> NoReturn:
    """Ends when all descendants have: orphans of the program become children of this process.

    As the first process of a namespace it ends with the program, and takes all others with it.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, 256)
    while True:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            os._exit(0)
        if ended == child and os.getpid() == 1:
            os._exit(0)


def _landlock(library: Any, folder: str, readable: Sequence[str]) -> list[str]:
    version = library.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return []
    files = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    network, scope = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    asked = (ctypes.c_uint64 * 3)(files, network, scope)
    rules = library.syscall(_CREATE_RULESET, asked, 8 if version < 4 else 16 if version < 6 else 24, 0)
    if rules < 0:
        return []
    reading = _EXECUTE | _READ | _LIST
    for path, allowed in (
        (folder, files),
        *((path, reading) for path in readable),
        *((path, _READ | _WRITE) for path in _DEVICES),
    ):
        _allow(library, rules, path, allowed)
    if library.syscall(_RESTRICT_SELF, rules, 0) != 0:
        return []
    os.close(rules)
    return ["files", *(["tcp"] if network else []), *(["signals"] if scope else [])]


def _allow(library: Any, rules: int, path: str, allowed: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        allowed &= _EXECUTE | _READ | _WRITE
    rule = ctypes.create_string_buffer(allowed.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder), 12)
    library.syscall(_ADD_RULE, rules, 1, rule, 0)
    os.close(opened)
