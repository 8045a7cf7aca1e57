"""The activity log has an encoder of its own, made for speed: it must write what the general one writes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, builds, datetimes, dictionaries, floats, integers, just, lists, none, text, tuples

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.messages.errors import ContractBroken
from integration_fabric.messages.fabric import Activity, Transition
from integration_fabric.runtime.ports import TransitionFields

words = text(max_size=8)
moments = datetimes(timezones=just(UTC))
transitions = builds(
    Transition,
    topic=words,
    partition=integers(0, 2**31 - 1),
    offset=integers(0, 2**63 - 1),
    key=none() | binary(max_size=80),
    message_id=text(max_size=80),
    message_type=words,
    correlation_id=words,
    causation_id=none() | words,
    business_keys=dictionaries(words, words, max_size=3),
    system=none() | words,
    from_state=words,
    outcome=words,
    detail=words,
    code=none() | words,
    attempts=integers(0, 2**31 - 1),
    published_at=moments,
    started_at=moments,
    duration_ms=floats(0, 1e9),
    outputs=lists(words, max_size=3).map(tuple),
)


def fields_of(transition: Transition) -> TransitionFields:
    return TransitionFields(**transition.model_dump())  # type: ignore[typeddict-item]


def test_the_fields_are_those_of_the_message() -> None:
    assert TransitionFields.__annotations__.keys() == Transition.model_fields.keys()


@given(found=lists(transitions, max_size=4), at=moments, rest=tuples(words, words, integers(-(2**63), 2**63 - 1)))
@settings(max_examples=200, deadline=None)
def test_it_writes_what_the_general_encoder_writes(
    codec: AvroCodec, found: list[Transition], at: datetime, rest: tuple[str, str, int]
) -> None:
    subscriber, worker, version = rest
    activity = Activity(subscriber=subscriber, worker=worker, committed_at=at, transitions=tuple(found), aggregate_version=version)
    written = codec.encode_activity(
        {
            "subscriber": subscriber,
            "worker": worker,
            "committed_at": at,
            "transitions": [codec.encode_transition(fields_of(item)) for item in found],
            "aggregate_version": version,
        }
    )
    assert written == codec.encode(activity)
    assert codec.decode(written, Activity) == activity


def test_a_field_that_is_no_value_of_its_type_is_refused(codec: AvroCodec) -> None:
    fields = fields_of(
        Transition(
            topic="t",
            partition=0,
            offset=0,
            message_id="m",
            message_type="",
            correlation_id="",
            business_keys={},
            from_state="",
            outcome="applied",
            detail="",
            attempts=1,
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            duration_ms=0.0,
        )
    )
    fields["correlation_id"] = "\ud800"
    with pytest.raises(ContractBroken):
        codec.encode_transition(fields)


def test_a_codec_that_was_not_prepared_for_it_says_so() -> None:
    with pytest.raises(ContractBroken, match="Activity"):
        AvroCodec(MemoryRegistry()).encode_activity({})  # type: ignore[typeddict-item]
