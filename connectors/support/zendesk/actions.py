"""Support commands → Zendesk calls."""

from __future__ import annotations

from connectors.support.zendesk.client import Zendesk
from connectors.support.zendesk.records import Entitlement, Organization
from connectors.support.zendesk.refusals import ZendeskRefused
from connectors.support.zendesk.translate import granted, new_entitlement, problem_of
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected, GrantEntitlements
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context


@action(Strategy.UPSERT)
async def grant_entitlements(command: GrantEntitlements, call: Context[Zendesk]) -> EntitlementsGranted | EntitlementsRejected:
    """Organization, then every line by its external id. What is refused is named line by line; the other lines stand."""
    try:
        organization = await _ensure_organization(command, call.needs)
    except ZendeskRefused as refused:
        return _rejected(command, call, (problem_of(refused, command, None),))
    ended = await side_by_side(lambda number: _upsert(command, number, organization, call.needs), range(len(command.lines)))
    if problems := tuple(each for each in ended if isinstance(each, Problem)):
        return _rejected(command, call, problems)
    return granted(command, [each for each in ended if isinstance(each, Entitlement)], otherwise=version_at(call.now))


async def _ensure_organization(command: GrantEntitlements, zendesk: Zendesk) -> Organization:
    # Looked up first: an upsert would put the id in the place of a name that people gave.
    found = await zendesk.find_organization(command.customer_id)
    return found or await zendesk.upsert_organization(command.customer_id, name=command.customer_id)


async def _upsert(command: GrantEntitlements, number: int, organization: Organization, zendesk: Zendesk) -> Entitlement | Problem:
    try:
        return await zendesk.upsert_entitlement(new_entitlement(command, command.lines[number], organization))
    except ZendeskRefused as refused:
        return problem_of(refused, command, number)


def _rejected(command: GrantEntitlements, call: Context[Zendesk], problems: tuple[Problem, ...]) -> EntitlementsRejected:
    return EntitlementsRejected(contract_id=command.contract_id, problems=problems, aggregate_version=version_at(call.now))
