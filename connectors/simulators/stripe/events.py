"""Events of the Stripe simulator: the same by webhook and in the list of events."""

from __future__ import annotations

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Call, Event, JsonObject, new_event_id

API_VERSION = "2024-06-20"


def emit(call: Call, event_type: str, about: JsonObject) -> None:
    """Enqueue an event about an object as it stands now; events about one object keep their order."""
    event_id = new_event_id("evt_")
    payload = {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "type": event_type,
        "created": int(unix_s()),
        "livemode": False,
        "pending_webhooks": 1,
        "data": {"object": about},
        "request": {"id": None, "idempotency_key": call.headers.get("idempotency-key")},
    }
    call.emit(Event(event_id, event_type, about["id"], payload))
