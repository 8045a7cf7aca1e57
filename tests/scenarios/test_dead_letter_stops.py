"""A message that has a key and cannot be applied: the subscriber stands still there, through restarts, until its policy says skip."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from integration_fabric.delivery.dead_letters import view
from integration_fabric.messages.errors import DataProblem
from integration_fabric.messages.ids import CustomerId, InterventionId
from integration_fabric.messages.interventions import OpenIntervention
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.outcomes import Applied, Outcome
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.subscriber import subscriber
from integration_fabric.testing.world import World, run_until

TOPIC = OpenIntervention.topic


async def test_a_subscriber_stands_still_until_its_policy_says_skip(world: World) -> None:
    customer, name = f"C-{uuid4().hex}", f"test-{uuid4().hex[:8]}"
    applied: list[str] = []

    @subscriber(name)
    async def picky(command: OpenIntervention, context: Context[None]) -> Outcome:
        if command.reason == "bad":
            raise DataProblem(entity="customer", field="customer_id", value=command.customer_id, hint="test", code="unknown-customer")
        if command.customer_id == customer:
            applied.append(command.reason)
        return Applied()

    await world.ensure_topics(f"dlq.{name}")
    key = InterventionId(f"I-{uuid4().hex}")
    await world.publish(*(OpenIntervention(intervention_id=key, customer_id=CustomerId(customer), reason=r) for r in ("one", "bad", "two")))

    running = picky.bind(None)
    first = world.fabric.loop(running, worker="test")
    await run_until(first, lambda: first.state is LoopState.STOPPED and not first.busy)
    assert applied == ["one"]
    assert first.stop is not None
    assert first.stop.code == "unknown-customer"

    again = world.fabric.loop(running, worker="test")
    await run_until(again, lambda: again.state is LoopState.STOPPED)
    assert applied == ["one"]

    skipping = replace(running, policy=replace(running.policy, at_dead_letter=AtDeadLetter.SKIP))
    last = world.fabric.loop(skipping, worker="test")
    await run_until(last, lambda: applied == ["one", "two"] and not last.busy)

    dead = [view(record) for record in await world.records(f"dlq.{name}")]
    assert [(item.code, item.key, item.business_keys["customer"]) for item in dead] == [("unknown-customer", key.encode(), customer)]
