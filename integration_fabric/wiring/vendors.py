"""Which connector speaks to which vendor, and how its client is opened. A new connector is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from connectors.billing.stripe.changes import LocalstripeChanges, StripeChanges
from connectors.billing.stripe.client import Stripe, open_stripe
from connectors.billing.stripe.connector import STRIPE
from connectors.billing.stripe.intake import verifier as stripe_verifier
from connectors.billing.stripe.localstripe import LOCALSTRIPE, Localstripe, open_localstripe
from connectors.billing.stripe.reader import StripeReader
from connectors.cpq.salesforce.changes import SalesforceChanges
from connectors.cpq.salesforce.client import Salesforce, open_salesforce
from connectors.cpq.salesforce.connector import SALESFORCE
from connectors.cpq.salesforce.intake import verifier
from connectors.customer_success.gainsight.client import Gainsight, open_gainsight
from connectors.customer_success.gainsight.connector import GAINSIGHT
from connectors.customer_success.gainsight.reader import GainsightReader
from connectors.erp.tryton.changes import TrytonChanges
from connectors.erp.tryton.connector import TRYTON
from connectors.erp.tryton.erp import TrytonErp, open_tryton
from connectors.erp.tryton.reader import TrytonReader
from connectors.support.helpdesk.client import Helpdesk, open_helpdesk
from connectors.support.helpdesk.connector import HELPDESK
from connectors.support.helpdesk.reader import HelpdeskReader
from connectors.support.zendesk.client import Zendesk, open_zendesk
from connectors.support.zendesk.connector import ZENDESK
from connectors.support.zendesk.reader import ZendeskReader
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.connector_kit.polling import Source
from integration_fabric.connector_kit.webhooks import Verifier
from integration_fabric.messages.base import Event
from integration_fabric.messages.ids import System
from integration_fabric.messages.invoices import DisputeOpened, InvoiceIssued
from integration_fabric.messages.master_data import AccountChanged, AccountingPeriodChanged, CustomerChanged, ProductChanged, TaxCodeChanged
from integration_fabric.messages.payments import PaymentFailed, PaymentPosted
from integration_fabric.messages.quotes import QuoteApproved
from integration_fabric.wiring.settings import SystemSettings


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the fabric can do with one vendor. Its client's type is the connector's own; nobody else looks into it."""

    connector: Connector[Any]
    open: Callable[[System, SystemSettings], AbstractAsyncContextManager[Any]]
    """A client of one running system."""
    source: Callable[[Any, SystemSettings], Source] | None = None
    """What a poller looks at, where the vendor does not tell."""
    verifier: Callable[[SystemSettings], Verifier] | None = None
    """How it signs its webhooks."""
    publishes: tuple[type[Event], ...] = ()
    """What comes in from it."""
    reader: Callable[[Any], Any] | None = None
    """What stands in it, for counting and reconciliation, made of its client: the reader of its role."""


def _salesforce(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Salesforce]:
    return open_salesforce(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _stripe(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Stripe]:
    return open_stripe(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _gainsight(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Gainsight]:
    return open_gainsight(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _zendesk(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Zendesk]:
    return open_zendesk(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _helpdesk(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Helpdesk]:
    return open_helpdesk(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _tryton(_: System, settings: SystemSettings) -> AbstractAsyncContextManager[TrytonErp]:
    key = settings.key.get_secret_value()
    return open_tryton(url=settings.url, database=settings.database, key=key, answer_within=settings.answer_within)


def _changes(client: TrytonErp, _: SystemSettings) -> Source:
    return TrytonChanges(client)


def _approvals(client: Salesforce, _: SystemSettings) -> Source:
    return SalesforceChanges(client)


def _salesforce_signature(settings: SystemSettings) -> Verifier:
    return verifier(settings.webhook_secret.get_secret_value())


def _stripe_events(client: Stripe, _: SystemSettings) -> Source:
    return StripeChanges(client.api)


def _localstripe(system: System, settings: SystemSettings) -> AbstractAsyncContextManager[Localstripe]:
    return open_localstripe(system=system, url=settings.url, key=settings.key.get_secret_value(), answer_within=settings.answer_within)


def _localstripe_events(client: Localstripe, _: SystemSettings) -> Source:
    return LocalstripeChanges(client.api)


def _stripe_signature(settings: SystemSettings) -> Verifier:
    return stripe_verifier(settings.webhook_secret.get_secret_value())


_BILLED = (InvoiceIssued, PaymentPosted, PaymentFailed, DisputeOpened)

VENDORS: Mapping[tuple[str, str], Vendor] = {
    ("cpq", "salesforce"): Vendor(SALESFORCE, _salesforce, source=_approvals, verifier=_salesforce_signature, publishes=(QuoteApproved,)),
    ("erp", "tryton"): Vendor(
        TRYTON,
        _tryton,
        source=_changes,
        publishes=(TaxCodeChanged, AccountingPeriodChanged, AccountChanged, ProductChanged, CustomerChanged),
        reader=TrytonReader,
    ),
    ("billing", "stripe"): Vendor(
        STRIPE, _stripe, source=_stripe_events, verifier=_stripe_signature, publishes=_BILLED, reader=StripeReader
    ),
    ("billing", "localstripe"): Vendor(
        LOCALSTRIPE, _localstripe, source=_localstripe_events, verifier=_stripe_signature, publishes=_BILLED, reader=StripeReader
    ),
    ("customer-success", "gainsight"): Vendor(GAINSIGHT, _gainsight, reader=GainsightReader),
    ("support", "zendesk"): Vendor(ZENDESK, _zendesk, reader=ZendeskReader),
    ("support", "helpdesk"): Vendor(HELPDESK, _helpdesk, reader=HelpdeskReader),
}
"""By role and vendor."""
