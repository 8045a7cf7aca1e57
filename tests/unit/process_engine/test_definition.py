"""A process that makes no sense fails where it is declared, with its name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from office import approved

from integration_fabric.messages.contracts import ContractActivated
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.quotes import QuoteApproved, QuoteValidated
from integration_fabric.process_engine.definition import Process, Publish, Received, Step, on, parallel
from integration_fabric.processes.quote_to_activation import QUOTE_TO_ACTIVATION, activate_order, cancel_order, create_order, quote_of


def process(*steps: Step) -> Process:
    return Process(name="p", version=1, owner="o", starts=on(QuoteApproved, quote_of), sync_window=timedelta(minutes=1), steps=(*steps,))


def no_command(received: Received) -> QuoteApproved:
    return received[QuoteApproved]


def test_two_steps_of_one_name_are_refused_also_in_branches() -> None:
    with pytest.raises(ValueError, match=r"process p: steps \['book'\] stand there twice"):
        Process(
            name="p",
            version=1,
            owner="o",
            starts=on(QuoteApproved, quote_of),
            sync_window=timedelta(minutes=1),
            steps=(Step("book", create_order), parallel(Step("book", activate_order))),
        )


def test_a_step_must_send_a_command() -> None:
    with pytest.raises(TypeError, match="no_command must return a command"):
        process(Step("odd", no_command))  # type: ignore[arg-type]


def test_what_undoes_must_send_a_command_too() -> None:
    with pytest.raises(TypeError, match="no_command must return a command"):
        process(Step("book", create_order, undone_by=no_command))  # type: ignore[arg-type]


def test_a_process_knows_what_it_sends_and_tells() -> None:
    assert process(Step("book", create_order, undone_by=cancel_order), Step("go", activate_order)).commands() == [
        CreateOrder,
        CancelOrder,
        ActivateOrder,
    ]
    assert QUOTE_TO_ACTIVATION.publishes() == [ContractActivated]


def test_steps_are_found_by_name() -> None:
    assert isinstance(QUOTE_TO_ACTIVATION.step("publish"), Publish)
    with pytest.raises(KeyError):
        QUOTE_TO_ACTIVATION.step("no such step")


def test_what_was_received_is_the_latest_of_each_type() -> None:
    received = Received({}).adding(approved(version=1)).adding(approved(version=2))
    assert received[QuoteApproved].aggregate_version == 2
    assert QuoteApproved in received
    assert received.get(QuoteValidated) is None
    assert len(list(received)) == 1
