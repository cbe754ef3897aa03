"""Makes the process of root that of a user whom nobody else is: limits and permissions hold for such a one."""

from __future__ import annotations

import os


def main(number: int) -> None:
    """Goes on as the user and the group of this number, for good."""
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
