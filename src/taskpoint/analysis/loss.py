"""What a cut below the recognition point loses, and how much of it a prompt without the hidden part would not."""

from __future__ import annotations


def gap_share(score: float, ceiling: float, zero_shot: float) -> float | None:
    """The share of the loss that is the price of the gap which hidden tokens leave in the positions.

    A cut loses ceiling - score. A prompt that has no hidden part to begin with loses ceiling - zero_shot; where the cut
    scores even below that, the rest of its loss is not for want of what is hidden, which both lack: (zero_shot - score)
    / (ceiling - score). The definition is the project's own.

    Returns:
        A share from 0 to 1; None where the cut loses nothing.
    """
    loss = ceiling - score
    return None if loss <= 0 else min(1.0, max(0.0, zero_shot - score) / loss)
