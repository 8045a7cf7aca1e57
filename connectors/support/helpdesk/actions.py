"""Support commands → django-helpdesk calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from connectors.support.helpdesk.client import Helpdesk
from connectors.support.helpdesk.records import QUEUE, Queue, Ticket
from connectors.support.helpdesk.refusals import AlreadyThere, HelpdeskRefused
from connectors.support.helpdesk.translate import Due, due, granted, problem_of
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected, GrantEntitlements
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context


# A server of one process makes some twenty tickets a second, whoever asks: few commands at once, and time for a contract of 200 lines;
# not more, since it is what an unknown outcome is waited for before it is looked up.
@action(Strategy.LOOKUP_FIRST, in_flight=4, timeout=timedelta(seconds=20))
async def grant_entitlements(command: GrantEntitlements, call: Context[Helpdesk]) -> EntitlementsGranted | EntitlementsRejected:
    """Make the lines that are not there, change those that say something else, and look again.

    What an earlier attempt has made is gone on from. What is refused is named line by line; the other lines stand.
    """
    standing = await _standing(command, call.needs)
    if left := due(command, standing):
        if problems := await _write(left, command, call.needs):
            return EntitlementsRejected(contract_id=command.contract_id, problems=problems, aggregate_version=version_at(call.now))
        standing = await _standing(command, call.needs)
        if due(command, standing):
            raise VendorDrift("the tickets were written, but a look-up does not find them as they were written")
    return granted(command, standing, otherwise=version_at(call.now))


@grant_entitlements.read_back
async def find_entitlements(command: GrantEntitlements, call: Context[Helpdesk]) -> EntitlementsGranted | None:
    """Only when every line is there as the command says it."""
    standing = await _standing(command, call.needs)
    return None if due(command, standing) else granted(command, standing, otherwise=version_at(call.now))


async def _standing(command: GrantEntitlements, helpdesk: Helpdesk) -> Sequence[Ticket]:
    return await helpdesk.find_by_external_id([line.entitlement_id for line in command.lines])


async def _write(left: Sequence[Due], command: GrantEntitlements, helpdesk: Helpdesk) -> tuple[Problem, ...]:
    queue = await helpdesk.find_queue(QUEUE)
    ended = await side_by_side(lambda each: _write_one(each, command, queue, helpdesk), left)
    return tuple(dict.fromkeys(problem for problem in ended if problem is not None))


async def _write_one(each: Due, command: GrantEntitlements, queue: Queue, helpdesk: Helpdesk) -> Problem | None:
    try:
        if each.ticket is None:
            await helpdesk.create_ticket(each.new, queue)
        else:
            await helpdesk.change_ticket(each.ticket, each.new.fields)
    except AlreadyThere:
        # Somebody else made it since the look-up; the next one finds it.
        return None
    except HelpdeskRefused as refused:
        return problem_of(refused, command, each.number)
    return None
