"""Every message type, by topic and by schema. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from integration_fabric.messages.base import Message
from integration_fabric.messages.contracts import ContractActivated
from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected, GrantEntitlements
from integration_fabric.messages.fabric import Activity, ProcessAction, ProcessChanged, SubscriberAnnounced
from integration_fabric.messages.interventions import (
    CloseIntervention,
    InterventionClosed,
    InterventionOpened,
    InterventionRejected,
    OpenIntervention,
)
from integration_fabric.messages.invoices import (
    DisputeOpened,
    InvoiceIssued,
    InvoicePosted,
    InvoiceReversed,
    PostingRejected,
    PostInvoice,
    ReceivableUpdated,
    ReceivableUpdateRejected,
    UpdateReceivable,
)
from integration_fabric.messages.master_data import (
    AccountChanged,
    AccountingPeriodChanged,
    CustomerChanged,
    LegalEntityChanged,
    ProductChanged,
    TaxCodeChanged,
)
from integration_fabric.messages.onboardings import OnboardingRejected, OnboardingStarted, StartOnboarding
from integration_fabric.messages.orders import (
    ActivateOrder,
    CancelOrder,
    CreateOrder,
    OrderActivated,
    OrderActivationRejected,
    OrderBooked,
    OrderCancellationRejected,
    OrderCancelled,
    OrderRejected,
)
from integration_fabric.messages.payments import ApplyPayment, PaymentApplied, PaymentFailed, PaymentPosted
from integration_fabric.messages.quotes import QuoteApproved, QuoteRejected, QuoteValidated, ValidateQuote
from integration_fabric.messages.subscriptions import (
    CancelSubscription,
    StartSubscription,
    SubscriptionActivated,
    SubscriptionCancellationRejected,
    SubscriptionCancelled,
    SubscriptionRejected,
)

MESSAGES: tuple[type[Message], ...] = (
    CancelSubscription,
    DisputeOpened,
    InvoiceIssued,
    InvoiceReversed,
    PaymentFailed,
    PaymentPosted,
    StartSubscription,
    SubscriptionActivated,
    SubscriptionCancellationRejected,
    SubscriptionCancelled,
    SubscriptionRejected,
    ContractActivated,
    QuoteApproved,
    CloseIntervention,
    InterventionClosed,
    InterventionOpened,
    InterventionRejected,
    OnboardingRejected,
    OnboardingStarted,
    OpenIntervention,
    StartOnboarding,
    AccountChanged,
    AccountingPeriodChanged,
    ActivateOrder,
    ApplyPayment,
    CancelOrder,
    CreateOrder,
    CustomerChanged,
    InvoicePosted,
    LegalEntityChanged,
    OrderActivated,
    OrderActivationRejected,
    OrderBooked,
    OrderCancellationRejected,
    OrderCancelled,
    OrderRejected,
    PaymentApplied,
    PostInvoice,
    PostingRejected,
    ProductChanged,
    QuoteRejected,
    QuoteValidated,
    ReceivableUpdateRejected,
    ReceivableUpdated,
    TaxCodeChanged,
    UpdateReceivable,
    ValidateQuote,
    Activity,
    ProcessAction,
    ProcessChanged,
    SubscriberAnnounced,
    EntitlementsGranted,
    EntitlementsRejected,
    GrantEntitlements,
)
BY_TOPIC: Mapping[str, type[Message]] = MappingProxyType({kind.topic: kind for kind in MESSAGES})
BY_SCHEMA_NAME: Mapping[str, type[Message]] = MappingProxyType({kind.schema_name: kind for kind in MESSAGES})
