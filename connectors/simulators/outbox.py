"""The queue of a vendor's webhooks in its store: an event waits there from the commit of its effect until every copy was acknowledged."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Event
from connectors.simulators.store import Store

FIRST_RETRY_S = 0.2
SLOWEST_RETRY_S = 5.0
LIFETIME_S = 72 * 3600.0  # vendors go on for one to three days


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is due; `payload` are the bytes to send, the same at each attempt."""

    position: int
    id: str
    type: str
    payload: bytes
    created_at_s: float
    acknowledged_copies: int
    failed_attempts: int
    order_key: str

    @property
    def attempt(self) -> int:
        """How many deliveries of it ended before this one."""
        return self.acknowledged_copies + self.failed_attempts


class Outbox:
    """The events of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, event: Event) -> None:
        """Enqueue, inside the caller's transaction."""
        at = unix_s()
        self._store.db.execute(
            "INSERT INTO events (id, type, order_key, payload, created_at_s, next_at_s) VALUES (?, ?, ?, ?, ?, ?)",
            (event.id, event.type, event.order_key, json.dumps(event.payload), at, at),
        )

    def due(self, *, at_s: float, limit: int, besides: Collection[int]) -> list[Waiting]:
        """The first pending event of each order key, where its time has come.

        Args:
            at_s: the time, Unix seconds.
            limit: at most so many.
            besides: positions of those that are on their way already.
        """
        self._store.db.execute("UPDATE events SET state = 'pending' WHERE state = 'held' AND next_at_s <= ?", (at_s,))
        rows = self._store.db.execute(
            "SELECT position, id, type, payload, created_at_s, acknowledged_copies, failed_attempts, order_key FROM events AS e"
            " WHERE state = 'pending' AND next_at_s <= ? AND position = (SELECT min(position) FROM events AS f"
            " WHERE f.order_key = e.order_key AND f.state = 'pending') ORDER BY next_at_s, position LIMIT ?",
            (at_s, limit + len(besides)),
        )
        due = [Waiting(row[0], row[1], row[2], row[3].encode(), row[4], row[5], row[6], row[7]) for row in rows if row[0] not in besides]
        return due[:limit]

    def next_due_s(self, *, after_s: float) -> float | None:
        """When the next one is due that waits for a time, Unix seconds; None where none does."""
        statement = "SELECT min(next_at_s) FROM events WHERE state = ? AND next_at_s > ?"
        found = [self._store.db.execute(statement, (state, after_s)).fetchone()[0] for state in ("pending", "held")]
        return min((float(each) for each in found if each is not None), default=None)

    def defer(self, event: Waiting, *, until_s: float) -> None:
        """Later; those of its aggregate that follow it wait behind it."""
        self._store.db.execute("UPDATE events SET next_at_s = ? WHERE position = ?", (until_s, event.position))

    def hold(self, event: Waiting, *, until_s: float) -> bool:
        """Step aside, so that the next one of the aggregate overtakes; unless one of the aggregate stands aside already.

        Args:
            event: the first of its aggregate.
            until_s: when it goes on in any case.
        """
        cursor = self._store.db.execute(
            "UPDATE events SET state = 'held', next_at_s = ?1 WHERE position = ?2"
            " AND NOT EXISTS (SELECT 1 FROM events WHERE state = 'held' AND order_key = ?3)",
            (until_s, event.position, event.order_key),
        )
        return cursor.rowcount == 1

    def release(self) -> None:
        """Nothing is late or stands aside any more; what failed keeps its time."""
        self._store.db.execute(
            "UPDATE events SET state = 'pending', next_at_s = created_at_s"
            " WHERE state = 'held' OR (state = 'pending' AND failed_attempts = 0)"
        )

    def lose(self, event: Waiting) -> None:
        """The vendor believes that it was delivered."""
        self._end(event, "lost")

    def acknowledge(self, event: Waiting, *, copies: int) -> bool:
        """One more copy was taken. Returns whether it was the last one, so that the event is delivered."""
        taken = event.acknowledged_copies + 1
        if taken >= copies:
            self._end(event, "delivered")
            return True
        self._store.db.execute("UPDATE events SET acknowledged_copies = ? WHERE position = ?", (taken, event.position))
        return False

    def postpone(self, event: Waiting) -> None:
        """An attempt failed: later again, or never where the event has outlived itself."""
        at = unix_s()
        delay = min(FIRST_RETRY_S * 2.0 ** min(event.failed_attempts, 10), SLOWEST_RETRY_S)
        state = "given_up" if at - event.created_at_s > LIFETIME_S else "pending"
        self._store.db.execute(
            "UPDATE events SET failed_attempts = failed_attempts + 1, next_at_s = ?, state = ? WHERE position = ?",
            (at + delay, state, event.position),
        )

    def counts(self) -> dict[str, int]:
        """Number of events by state: `pending`, `delivered`, `given_up`, `lost` (which the vendor takes for delivered)."""
        found = dict(self._store.db.execute("SELECT state, count(*) FROM events GROUP BY state").fetchall())
        found["pending"] = found.get("pending", 0) + found.pop("held", 0)
        return {state: found.get(state, 0) for state in ("pending", "delivered", "given_up", "lost")}

    def _end(self, event: Waiting, state: str) -> None:
        """It has left, and what it overtook follows."""
        with self._store.transaction():
            acknowledged = event.acknowledged_copies + (state == "delivered")
            self._store.db.execute(
                "UPDATE events SET acknowledged_copies = ?, state = ? WHERE position = ?", (acknowledged, state, event.position)
            )
            self._store.db.execute(
                "UPDATE events SET state = 'pending', next_at_s = ? WHERE state = 'held' AND order_key = ?", (unix_s(), event.order_key)
            )

    def payload(self, event_id: str) -> dict[str, object] | None:
        """What one event says; None where there is none with this id."""
        row = self._store.db.execute("SELECT payload FROM events WHERE id = ?", (event_id,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def listed(
        self, *, limit: int, event_types: Collection[str] = (), older_than: str | None = None, newer_than: str | None = None
    ) -> list[dict[str, object]]:
        """Payloads, newest first: what a vendor's own list of events shows.

        Args:
            limit: at most so many; of those newer than a given event these are the ones next to it.
            event_types: only these; all where it is empty.
            older_than: an event's id.
            newer_than: an event's id.
        """
        direction = "ASC" if newer_than else "DESC"
        statement = (
            "SELECT payload FROM events WHERE (?1 = '[]' OR type IN (SELECT value FROM json_each(?1)))"  # noqa: S608 - two words, see above
            " AND (?2 IS NULL OR position < (SELECT position FROM events AS e WHERE e.id = ?2))"
            " AND (?3 IS NULL OR position > (SELECT position FROM events AS e WHERE e.id = ?3))"
            f" ORDER BY position {direction} LIMIT ?4"
        )
        rows = self._store.db.execute(statement, (json.dumps(list(event_types)), older_than, newer_than, limit))
        payloads = [json.loads(row[0]) for row in rows]
        return payloads[::-1] if newer_than else payloads
