"""What a request and an answer are inside the simulators, and what a vendor is; every vendor's table of endpoints is made of these.

A handler is a plain function from `Call` to `Answer`. It runs inside one transaction of its vendor's store and never awaits, so nothing
else of that vendor happens meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from connectors.simulators.faults import Ability, Switches
from connectors.simulators.store import Record, Store

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: HTTP status.
        body: a JSON value, a `str` (sent as HTML) or None (no body).
        headers: extra headers.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The vendor says no: what the handler wrote is rolled back, and this answer goes out."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Event:
    """One webhook to be: `payload` is its whole body, `order_key` the aggregate whose events keep their order."""

    id: str
    type: str
    order_key: str
    payload: JsonObject


@dataclass(slots=True)
class Call:
    """One request as a handler sees it.

    Attributes:
        parts: the variable parts of the path.
        query: query parameters in the order they came.
        headers: names in lower case.
        body: the parsed body, empty where there was none.
        store: the vendor's state, inside an open transaction.
        switches: the vendor's, as they stand.
        kind: what the call is about, for the call log; a handler sets it.
        external_id: whose it is, for the call log; a handler sets it.
        events: webhooks to enqueue in the same transaction.
    """

    method: str
    path: str
    parts: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: JsonObject
    store: Store
    switches: Switches = field(default_factory=Switches)
    kind: str | None = None
    external_id: str | None = None
    events: list[Event] = field(default_factory=list)

    def concerns(self, kind: str, external_id: str | None) -> None:
        """Note for the call log what the call is about."""
        self.kind = kind
        self.external_id = external_id

    def first(self, name: str) -> str | None:
        """The first query parameter of this name."""
        return next((value for key, value in self.query if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every query parameter of this name."""
        return [value for key, value in self.query if key == name]

    def number(self, name: str, default: int) -> int:
        """A query parameter that is a count; the default where it is absent or no number."""
        value = self.first(name)
        return int(value) if value is not None and value.isdigit() else default

    def existing(self, kind: str, unique_key: str) -> Record | None:
        """The record that has a unique external id, for an upsert; none where the vendor is switched to make a second one."""
        return None if self.switches.ignore_unique_ids else self.store.by_unique_key(kind, unique_key)

    def claim(self, kind: str, unique_key: str | None) -> str | None:
        """What keeps a second record out, for an insert; none where the vendor is switched to let one in beside the first."""
        if unique_key is None or not self.switches.ignore_unique_ids or self.store.by_unique_key(kind, unique_key) is None:
            return unique_key
        return None

    def emit(self, event: Event) -> None:
        """Enqueue a webhook; it exists if and only if the call's effect does."""
        self.events.append(event)


def new_event_id(prefix: str = "") -> str:
    """An event id that never comes again: after a reset, one that did would be taken for a duplicate by whoever remembers ids."""
    return prefix + uuid4().hex


class UnreadableError(ValueError):
    """The body of a request is not what it should be."""


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path below the vendor's prefix; `writes` says whether it has an effect (and so is logged and can fail after it)."""

    method: str
    path: str
    handler: Handler
    writes: bool = True


def read(path: str, handler: Handler, *, method: str = "GET") -> Endpoint:
    """An endpoint without effect."""
    return Endpoint(method, path, handler, writes=False)


def parse_json(_headers: Mapping[str, str], body: bytes) -> JsonObject:
    """The body as a JSON object.

    Raises:
        ValueError: it is something else.
    """
    if not body:
        return {}
    parsed = json.loads(body)
    if not isinstance(parsed, dict):
        raise UnreadableError("the body must be a JSON object")
    return parsed


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer <token>`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def run_handler(_call: Call, run: Callable[[], Answer]) -> Answer:
    """The plain way to perform a call: just do it."""
    return run()


def do_nothing(_store: Store) -> None:
    """No seed, nothing to settle."""


def no_key(_method: str, _headers: Mapping[str, str]) -> str | None:
    """No two requests exclude each other."""
    return None


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor as data.

    Attributes:
        name: as in the control API.
        prefix: path prefix, without a slash at the end.
        endpoints: what it offers, first match wins.
        failure: an error of the front door in the vendor's shape, by status and message.
        token: the credential that a request presents.
        parse: the body as an object; raises ValueError.
        indexed: paths into the stored bodies that searches go by, e.g. `$.party`; several by comma that are searched by together.
        around: wraps the performance of a call, inside its transaction.
        exclusive_key: requests with the same key at the same time get a 409.
        settle: advances what moves by itself; called before each call.
        seed: fills an empty store.
        signature_header: name of the header that signs its webhooks; None where it sends none.
        idempotency_keys: whether a request may carry a key that is performed once.
        unique_ids: whether it keeps external ids unique that callers rely on.
    """

    name: str
    prefix: str
    endpoints: tuple[Endpoint, ...]
    failure: Callable[[int, str], Answer]
    token: Callable[[Mapping[str, str]], str | None] = bearer_token
    parse: Callable[[Mapping[str, str], bytes], JsonObject] = parse_json
    indexed: tuple[str, ...] = ()
    around: Callable[[Call, Callable[[], Answer]], Answer] = run_handler
    exclusive_key: Callable[[str, Mapping[str, str]], str | None] = no_key
    settle: Callable[[Store], None] = do_nothing
    seed: Callable[[Store], None] = do_nothing
    signature_header: str | None = None
    idempotency_keys: bool = False
    unique_ids: bool = False

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it has for switches to spoil."""
        has = {
            Ability.WEBHOOKS: self.signature_header is not None,
            Ability.IDEMPOTENCY_KEYS: self.idempotency_keys,
            Ability.UNIQUE_IDS: self.unique_ids,
        }
        return frozenset(ability for ability, there in has.items() if there)
