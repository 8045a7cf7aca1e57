"""What goes wrong with one webhook, drawn from the seeded dice: the same at each attempt, and in each run with the same seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.simulators.faults import Switches


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one webhook on its way.

    Attributes:
        lost: it never arrives, and the vendor believes that it did.
        copies: how many times it is delivered.
        delay_s: how much later it leaves.
        overtaken: whether the next one of its aggregate leaves before it.
        drifted: whether its fields have other names.
    """

    lost: bool
    copies: int
    delay_s: float
    overtaken: bool
    drifted: bool


def fate_of(position: int, switches: Switches, *, seed: str) -> Fate:
    """The fate of a webhook.

    Args:
        position: in the vendor's queue.
        switches: as they stand. A draw does not depend on them, so a higher rate spoils those that a lower one does, and more.
        seed: of the dice.
    """
    dice = random.Random(f"{seed}:webhook:{position}")
    loss, duplicate, jitter, reorder, drift = (dice.random() for _ in range(5))
    return Fate(
        lost=loss < switches.webhook_loss_rate,
        copies=switches.webhook_copies + (duplicate < switches.webhook_duplicate_rate),
        delay_s=(switches.webhook_delay_ms + jitter * switches.webhook_delay_jitter_ms) / 1000,
        overtaken=reorder < switches.webhook_reorder_rate,
        drifted=bool(switches.renamed_fields) and drift < switches.drift_rate,
    )


def is_corrupt(position: int, attempt: int, switches: Switches, *, seed: str) -> bool:
    """Whether the signature of one attempt does not fit; each attempt has a draw of its own, as a line has that damages some."""
    return random.Random(f"{seed}:attempt:{position}:{attempt}").random() < switches.webhook_corrupt_rate
