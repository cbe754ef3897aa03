"""One writer per run folder, or per file of lines."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType

from taskpoint.errors import RunFolderError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# File systems (some network ones) that know no locks: a run without a lock is better than none.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class FolderLock:
    """Holds a run folder, or a file, for this process until released; the system releases it when the process dies.

    The lock file stays: removing it would let two processes lock two different files of the same name.
    Where the system has no `flock`, nothing is locked.
    """

    def __init__(self, path: Path, held: Path | None = None) -> None:
        """Takes the lock; `held` is what it stands for in messages, None for its folder.

        Raises:
            RunFolderError: Another process holds it.
            OSError: The file cannot be made.
        """
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(path, held)
        except BaseException:
            self.release()
            raise

    def _take(self, path: Path, held: Path | None) -> None:
        descriptor = self._descriptor
        if fcntl is None or descriptor is None:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise RunFolderError(
                f"{held or path.parent} is in use by another process (id {holder}): "
                f"wait for it, or give another {'folder' if held is None else 'file'} with --out"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Releases the lock; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
