"""A vendor renames a field: what it sends is kept byte for byte with the path of the field, nothing is half done, and others go on."""

from __future__ import annotations

from integration_fabric.delivery.dead_letters import view
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

FIELD = "SBQQ__PaymentTerms__c"


async def test_a_renamed_field_is_an_exception_with_its_path(world: World) -> None:
    await world.settle()
    quarantine = f"dlq.{world.drivers.systems['cpq'].name}.intake"
    before = len(await world.records(quarantine))
    await world.drivers.set_faults("cpq", renamed_fields={FIELD: "Payment_Terms__c"})
    drifted = await world.cpq.approve_quote()
    await world.settle()
    await world.drivers.faultless()

    found = [view(record) for record in (await world.records(quarantine))[before:]]
    assert found, "it is stored"
    for dead in found:
        assert (dead.failure, dead.code, dead.subscriber) == ("vendor_drift", "vendor-drift", quarantine.removeprefix("dlq."))
        assert dead.headers["fabric_dlq_field"] == f"sobject.{FIELD}"
        assert drifted.id.encode() in (dead.value or b"")
        assert b"Payment_Terms__c" in (dead.value or b"")
    assert await drifted.footprint() == Footprint()

    sound = await world.cpq.approve_quote()
    await world.settle()
    assert await sound.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
