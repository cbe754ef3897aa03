"""What a program may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: From its start to its end.
        computing: Seconds of processor time of one process (paper A gives a program 3 s, as HumanEval does).
        memory: MiB, of one process and of all together.
        processes: With threads.
        file: MiB of one file.
        folder: MiB of all its files, where they can be counted.
    """

    seconds: float = 10.0
    computing: int = 3
    memory: int = 1024
    processes: int = 16
    file: int = 16
    folder: int = 64

    @property
    def text(self) -> str:
        """In words, for reports."""
        time = f"at most {self.seconds:g} s, {self.computing} s of computing"
        return f"{time}, {self.memory} MiB, {self.processes} processes"

    @property
    def of_a_process(self) -> dict[str, int]:
        """Limits as the system calls them."""
        mib = 1 << 20
        return {
            "CPU": self.computing,
            "AS": self.memory * mib,
            "FSIZE": self.file * mib,
            "NPROC": self.processes,
            "NOFILE": 64,
            "CORE": 0,
            "MSGQUEUE": 0,
        }
