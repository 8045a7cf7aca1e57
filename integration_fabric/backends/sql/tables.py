"""The tables of the store. `migrations/` makes them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

STORE = Table("store", METADATA, Column("id", String(36), primary_key=True))
"""One row: the store's name. Commit metadata carries it."""

LEASES = Table(
    "leases",
    METADATA,
    Column("subscriber", String(200), nullable=False),
    Column("topic_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("owner", String(300), nullable=False),
    PrimaryKeyConstraint("subscriber", "topic_id", "partition"),
)
"""Who may write for a partition."""

STOPS = Table(
    "stops",
    METADATA,
    Column("subscriber", String(200), nullable=False),
    Column("topic_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("code", String(200), nullable=False),
    Column("message", Text, nullable=False),
    PrimaryKeyConstraint("subscriber", "topic_id", "partition", "offset"),
)
"""Dead letters at which a subscriber stands still."""

EFFECTS = Table(
    "effects",
    METADATA,
    Column("subscriber", String(200), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("topic_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("deadline_s", Float),
    Column("kind", String(20)),
    Column("detail", Text),
    Column("outputs", LargeBinary),
    Column("written_s", Float, nullable=False),
    Column("redelivery", Integer),
    PrimaryKeyConstraint("subscriber", "message_id"),
    Index("ix_effects_place", "subscriber", "topic_id", "partition", "offset"),
)
"""The effect log: what each subscriber did with each message. Times are seconds since 1970 by the database's clock."""

CROSS_REFERENCES = Table(
    "cross_references",
    METADATA,
    Column("entity", String(50), nullable=False),
    Column("canonical_id", String(200), nullable=False),
    Column("system", String(100), nullable=False),
    Column("native_id", String(200), nullable=False),
    PrimaryKeyConstraint("entity", "canonical_id", "system"),
    UniqueConstraint("entity", "system", "native_id", name="uq_cross_references_native"),
)

CURSORS = Table(
    "cursors",
    METADATA,
    Column("poller", String(200), primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("saved_s", Float, nullable=False),
)
"""How far each poller has published."""

INSTANCES = Table(
    "process_instances",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("process", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("step", Text, nullable=False),
    Column("since_s", Float, nullable=False),
    Column("deadline_s", Float),
    Column("body", Text, nullable=False),
    UniqueConstraint("process", "key", name="uq_process_instances_key"),
    Index("ix_process_instances_state", "process", "state"),
)

COMMANDS = Table(
    "process_commands",
    METADATA,
    Column("command_id", String(36), primary_key=True),
    Column("instance_id", String(36), nullable=False),
    Index("ix_process_commands_instance", "instance_id"),
)
"""Which instance sent a command: a reply is matched by this alone."""

HOLDS = Table(
    "process_holds",
    METADATA,
    Column("process", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("entity_id", String(200), nullable=False),
    Column("instance_id", String(36), nullable=False),
    PrimaryKeyConstraint("process", "entity", "entity_id", "instance_id"),
    Index("ix_process_holds_instance", "instance_id"),
)
"""What held instances wait for."""

CHANGES = Table(
    "process_changes",
    METADATA,
    Column("process", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("entity_id", String(200), nullable=False),
    Column("changed_s", Float, nullable=False),
    PrimaryKeyConstraint("process", "entity", "entity_id"),
)
"""When master data last changed, for a refusal that arrives after the change that mends it."""

TIMERS = Table(
    "process_timers",
    METADATA,
    Column("instance_id", String(36), nullable=False),
    Column("step", String(100), nullable=False),
    Column("arm", Integer, nullable=False),
    Column("process", String(100), nullable=False),
    Column("due_s", Float, nullable=False),
    PrimaryKeyConstraint("instance_id", "step"),
    Index("ix_process_timers_due", "process", "due_s"),
)

EARLY = Table(
    "process_early",
    METADATA,
    Column("process", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("kept_s", Float, nullable=False),
    Column("until_s", Float, nullable=False),
    Column("schema_name", String(200), nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("process", "key", "message_id"),
    Index("ix_process_early_until", "process", "until_s"),
)
"""Facts that instances wait for which have not begun."""

RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("system", String(100), nullable=False),
    Column("received_s", Float, nullable=False),
    Column("state", String(20), nullable=False),
    Column("messages", Text, nullable=False),
    Column("code", String(200), nullable=False),
    Column("problem", Text, nullable=False),
    Index("ix_receipts_received", "received_s"),
)
"""What became of each payload that was taken."""

PUBLISHED = Table(
    "receipt_messages",
    METADATA,
    Column("message_id", String(200), primary_key=True),
    Column("received_s", Float, nullable=False),
    Index("ix_receipt_messages_received", "received_s"),
)
"""Events that were published, for the other payloads that tell of them."""

SYSTEM_STATES = Table(
    "system_states",
    METADATA,
    Column("system", String(100), primary_key=True),
    Column("flow", String(20), nullable=False),
    Column("until_s", Float, nullable=False),
    Column("since_s", Float, nullable=False),
    Column("why", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("probe_until_s", Float, nullable=False),
    Column("free_s", Float, nullable=False),
)
"""How systems stand, and from when on the next call of a shared rate may be made."""

ORDERS = Table(
    "orders",
    METADATA,
    Column("subscriber", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("has_key", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("given_s", Float, nullable=False),
    Index("ix_orders_subscriber", "subscriber"),
)
"""What people order of subscribers; an empty topic and no key is all of it."""

REDELIVERIES = Table(
    "redeliveries",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("subscriber", String(200), nullable=False),
    Column("force", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("has_key", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("filed_s", Float, nullable=False),
)
"""What subscribers are to be given once more."""

STRETCHES = Table(
    "redelivery_stretches",
    METADATA,
    Column("number", Integer, nullable=False),
    Column("subscriber", String(200), nullable=False),
    Column("topic_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("topic", String(249), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),
    PrimaryKeyConstraint("number", "topic_id", "partition"),
)
"""What a redelivery covers of each partition, how far it is, and what became of the messages below that; counts are JSON, by outcome."""

REDELIVERED = Table(
    "redelivered",
    METADATA,
    Column("number", Integer, nullable=False),
    Column("topic_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("outputs", LargeBinary, nullable=False),
    Column("transition", LargeBinary, nullable=False),
    PrimaryKeyConstraint("number", "topic_id", "partition", "offset"),
)
"""What became of each message that was redelivered: to be emitted where its serial is above the commit metadata's. It goes once its stretch
is past it, unless it failed."""
