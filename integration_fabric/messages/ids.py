"""Canonical identifiers: nominal types here, strings on the wire."""

from __future__ import annotations

from typing import NewType
from uuid import NAMESPACE_URL, uuid5

QuoteId = NewType("QuoteId", str)
OrderId = NewType("OrderId", str)
ContractId = NewType("ContractId", str)
SubscriptionId = NewType("SubscriptionId", str)
InvoiceId = NewType("InvoiceId", str)
PaymentId = NewType("PaymentId", str)
InterventionId = NewType("InterventionId", str)
CustomerId = NewType("CustomerId", str)
MessageId = NewType("MessageId", str)
LegalEntity = NewType("LegalEntity", str)
System = NewType("System", str)


def deterministic_id(*parts: str) -> MessageId:
    """Make an id that is the same on every machine and after every crash.

    Args:
        *parts: What the id stands for, e.g. cause id, producer and ordinal. A separator in a part is
            escaped, so that ("a/b", "c") and ("a", "b/c") differ.

    Returns:
        A version 5 UUID in its textual form (RFC 9562).
    """
    return MessageId(str(uuid5(NAMESPACE_URL, "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts))))
