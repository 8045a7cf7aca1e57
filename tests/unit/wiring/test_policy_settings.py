"""What the settings say about a subscriber's policy."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from integration_fabric.runtime.policy import AtDeadLetter, Policy
from integration_fabric.wiring import landscape
from integration_fabric.wiring.settings import Settings, SubscriberSettings

DECLARED = Policy(in_flight=7, destination="tryton")
NAME = "tryton.create-order"


def test_what_is_not_set_stays_as_it_is_declared() -> None:
    assert landscape.policy(Settings(), NAME, DECLARED) == DECLARED
    named = Settings(subscribers={NAME: SubscriberSettings()})
    assert landscape.policy(named, NAME, DECLARED) == DECLARED


def test_what_is_set_for_a_subscriber_goes_before_what_is_set_for_all() -> None:
    limits = SubscriberSettings(
        max_attempts=2, parent_wait=timedelta(minutes=9), dead_letters_in_a_row=3, dead_letter_window=40, dead_letter_share=0.25
    )
    settings = Settings(at_dead_letter=AtDeadLetter.SKIP, subscribers={NAME: limits, "other": SubscriberSettings(in_flight=1)})
    assert landscape.policy(settings, NAME, DECLARED) == Policy(
        in_flight=7,
        destination="tryton",
        max_attempts=2,
        parent_wait=timedelta(minutes=9),
        at_dead_letter=AtDeadLetter.SKIP,
        dead_letters_in_a_row=3,
        dead_letter_window=40,
        dead_letter_share=0.25,
    )
    stops = Settings(at_dead_letter=AtDeadLetter.SKIP, subscribers={NAME: SubscriberSettings(at_dead_letter=AtDeadLetter.STOP)})
    assert landscape.policy(stops, NAME, DECLARED).at_dead_letter is AtDeadLetter.STOP


def test_whatever_may_be_set_is_a_field_of_the_policy() -> None:
    assert set(SubscriberSettings.model_fields) <= {field.name for field in fields(Policy)}
