"""The protocol of a partition on the real core, in memory: whatever happens, its invariants hold and at rest all is right (tests 1, 2, 12).

For a long search: `MACHINE_SEED=7 MACHINE_EXAMPLES=20000 python -m pytest tests/conformance/machine -k invariants`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from mutations import MUTATIONS, Mutation
from protocol_machine import ProtocolMachine

from integration_fabric.runtime.ports import Codec

SEED = os.environ.get("MACHINE_SEED")
"""Without it, the same runs each time."""
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "150"))
STEPS = int(os.environ.get("MACHINE_STEPS", "30"))
MUTANT_EXAMPLES = 2_000
"""Within which each mutation must be noticed; most are within ten, the latest within 300 or so, as sets have another order each time."""


def search(make: Callable[[], ProtocolMachine], examples: int, *phases: Phase) -> None:
    """Raises what the machine finds."""
    run_state_machine_as_test(
        make if SEED is None else seed(int(SEED))(make),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=SEED is None,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, *phases),
        ),
    )


@pytest.mark.timeout(0 if SEED else 300)
def test_whatever_happens_the_invariants_hold(codec: Codec) -> None:
    search(lambda: ProtocolMachine(codec), EXAMPLES, Phase.shrink)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.rule}: {mutation.name}")
def test_a_rule_that_is_switched_off_is_noticed(codec: Codec, mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.patch(monkeypatch)
    with pytest.raises(AssertionError) as noticed:
        search(lambda: ProtocolMachine(codec, mutation.world, mutation.focus), MUTANT_EXAMPLES)
    assert not isinstance(noticed.value.__cause__, (TypeError, AttributeError)), "the mutation does not fit what it changes any more"
