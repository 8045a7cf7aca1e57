"""Stripe's `Idempotency-Key`: the first answer to a key is the answer to every repetition, for a while."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from connectors.simulators.clock import unix_s
from connectors.simulators.exchange import Answer, Call
from connectors.simulators.stripe.errors import error

_HEADER = "idempotency-key"


def key_of(method: str, headers: Mapping[str, str]) -> str | None:
    """The key of a request; only POST has one, the other methods are idempotent anyway."""
    return headers.get(_HEADER) if method == "POST" else None


class KeyMemory:
    """Performs each key once.

    Same key and same parameters: the stored answer, a failure too. Same key and others: 400. A request whose parameters are invalid did not
    begin, so its key stays free. The answer is stored in the transaction of the effect, so neither is ever there alone.

    Args:
        lasting: keys are forgotten after it.
    """

    def __init__(self, lasting: timedelta) -> None:
        self._lasting_s = lasting.total_seconds()

    def __call__(self, call: Call, run: Callable[[], Answer]) -> Answer:
        """Answer from memory, or perform and remember."""
        key = key_of(call.method, call.headers)
        if key is None or call.switches.ignore_idempotency_keys:
            return run()
        fingerprint = _fingerprint(call)
        stored = self._recall(call, key)
        if stored is None:
            answer = run()
            if not _is_invalid(answer):
                self._remember(call, key, fingerprint, answer)
            return answer
        first_fingerprint, status, body, kind, external_id = stored
        call.concerns(kind, external_id)
        if first_fingerprint != fingerprint:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
                f" Try using a key other than '{key}' if you meant to execute a different request."
            )
            return error(400, "idempotency_error", message)
        return Answer(status, json.loads(body), {"idempotent-replayed": "true"})

    def _recall(self, call: Call, key: str) -> tuple[Any, ...] | None:
        call.store.db.execute("DELETE FROM answers WHERE key = ? AND stored_at_s < ?", (key, unix_s() - self._lasting_s))
        row: tuple[Any, ...] | None = call.store.db.execute(
            "SELECT fingerprint, status, body, kind, external_id FROM answers WHERE key = ?", (key,)
        ).fetchone()
        return row

    def _remember(self, call: Call, key: str, fingerprint: str, answer: Answer) -> None:
        call.store.db.execute(
            "INSERT INTO answers (key, fingerprint, status, body, kind, external_id, stored_at_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, fingerprint, answer.status, json.dumps(answer.body), call.kind, call.external_id, unix_s()),
        )


def _fingerprint(call: Call) -> str:
    request = json.dumps([call.method, call.path, call.body], sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()


def _is_invalid(answer: Answer) -> bool:
    return str(answer.body.get("error", {}).get("code", "")).startswith("parameter_")
