"""What the ledger is asked to do: entries into accounts, one command for each strategy by which an unknown outcome is resolved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.governance.ports import SchemaRegistry, subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Command, Event, Message, Replies
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.fabric import Activity, SubscriberAnnounced
from integration_fabric.messages.ids import deterministic_id

PARTITIONS = 8

_FIELDS = [{"name": "account", "type": "string"}, {"name": "version", "type": "long"}]


class EntryPosted(Event):
    """The ledger has it."""

    topic: ClassVar[str] = "chaos.entry-posted.v1"
    schema_name: ClassVar[str] = "chaos.v1.EntryPosted"
    key_field: ClassVar[str] = "account"

    account: str
    version: int
    aggregate_version: int


class EntryRefused(EntryPosted):
    """The ledger will not have it."""

    topic: ClassVar[str] = "chaos.entry-refused.v1"
    schema_name: ClassVar[str] = "chaos.v1.EntryRefused"


class Entry(Command):
    """The `version`-th entry of an account; they are applied in this order."""

    replies: ClassVar[Replies] = Replies(EntryPosted, EntryRefused)
    key_field: ClassVar[str] = "account"

    account: str
    version: int

    @property
    def name(self) -> str:
        """The ledger's external id."""
        return f"{self.account}.{self.version}"


class PostEntry(Entry):
    """The ledger knows our key: what it is sent again it answers as before."""

    topic: ClassVar[str] = "chaos.post-entry.v1"
    schema_name: ClassVar[str] = "chaos.v1.PostEntry"


class PutEntry(Entry):
    """Sets an entry by its external id."""

    topic: ClassVar[str] = "chaos.put-entry.v1"
    schema_name: ClassVar[str] = "chaos.v1.PutEntry"


class AddEntry(Entry):
    """The ledger enters whatever it is sent, so it is asked first."""

    topic: ClassVar[str] = "chaos.add-entry.v1"
    schema_name: ClassVar[str] = "chaos.v1.AddEntry"


ENTRIES: tuple[type[Entry], ...] = (PostEntry, PutEntry, AddEntry)
KINDS: tuple[type[Message], ...] = (*ENTRIES, EntryPosted, EntryRefused, Activity, SubscriberAnnounced)
_OURS = {*ENTRIES, EntryPosted, EntryRefused}


def schema_text(kind: type[Message]) -> str:
    """The schema of one type, the ledger's own among them."""
    if kind not in _OURS:
        return read(kind).text
    more: list[dict[str, Any]] = [{"name": "aggregate_version", "type": "long"}] if issubclass(kind, Event) else []
    return json.dumps({"type": "record", "name": kind.__name__, "namespace": "chaos.v1", "fields": [*_FIELDS, *more]})


def make_codec(registry: SchemaRegistry, *, register: bool = False) -> AvroCodec:
    """A codec that writes all of them."""
    if register:
        for kind in KINDS:
            registry.register(subject_of(kind), schema_text(kind))
    codec = AvroCodec(registry, schema_text=schema_text)
    codec.prepare(KINDS)
    return codec


def entries(count: int, accounts: int) -> Iterator[Envelope]:
    """So many commands, a third for each strategy, over the accounts in turn: each account's entries count up from 0."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        kind = ENTRIES[number % len(ENTRIES)]
        turn = number // len(ENTRIES)
        body = kind(account=f"{kind.__name__}-{turn % accounts}", version=turn // accounts)
        yield Envelope(body, deterministic_id("chaos", body.name), "/test", at, correlation_id=body.account)


def names(envelopes: Sequence[Envelope]) -> set[str]:
    """The external ids that they come to."""
    return {body.name for envelope in envelopes if isinstance(body := envelope.body, Entry)}
