"""Salesforce's quotes ↔ canonical quotes. Pure; intake and client call it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from connectors.cpq.salesforce.records import ApprovedQuote, Line, NewQuote
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, QuoteId
from integration_fabric.messages.quotes import BillingPeriod, ChargeType, QuoteApproved, QuoteKind, QuoteLine

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | bool | Decimal | None

_KINDS = {"Quote": QuoteKind.NEW, "Renewal": QuoteKind.RENEWAL}
_CHARGE_TYPES = {"One-Time": ChargeType.ONE_OFF, "Recurring": ChargeType.RECURRING, "Usage": ChargeType.USAGE}
_PERIODS = {None: BillingPeriod.NONE, "Monthly": BillingPeriod.MONTH, "Quarterly": BillingPeriod.QUARTER, "Annual": BillingPeriod.YEAR}
_TYPES = {ours: theirs for theirs, ours in _KINDS.items()}
_CHARGE_NAMES = {ours: theirs for theirs, ours in _CHARGE_TYPES.items()}
_FREQUENCIES = {ours: theirs for theirs, ours in _PERIODS.items()}
_LINES = "sobject.SBQQ__LineItems__r.records"


def approved(quote: ApprovedQuote) -> QuoteApproved:
    """The event that an approved quote is.

    Raises:
        VendorDrift: A renewal names no contract, two lines have one name, or an option stands before its bundle.
    """
    if quote.type == "Renewal" and quote.master_contract is None:
        raise VendorDrift("a renewal names the contract that it renews", path="sobject.SBQQ__MasterContract__c")
    return QuoteApproved(
        quote_id=QuoteId(quote.name),
        customer_id=CustomerId(quote.account),
        legal_entity=LegalEntity(quote.legal_entity),
        currency=quote.currency,
        kind=_KINDS[quote.type],
        contract_id=ContractId(quote.master_contract) if quote.type == "Renewal" and quote.master_contract else None,
        sold_to=quote.sold_to,
        bill_to=quote.bill_to,
        ship_to=quote.ship_to,
        purchase_order_number=quote.purchase_order_number or None,
        payment_terms=quote.payment_terms,
        approved_at=quote.approved_at,
        lines=tuple(_lines(quote.lines.records)),
        aggregate_version=quote.version,
    )


def _lines(records: Sequence[Line]) -> Iterator[QuoteLine]:
    bundles: dict[str, str | None] = {}
    for number, line in enumerate(records):
        if line.name in bundles:
            raise VendorDrift(f"two lines are called {line.name}", path=f"{_LINES}[{number}].Name")
        parent = line.required_by.name if line.required_by else None
        if parent is not None and parent not in bundles:
            raise VendorDrift(f"no line before it is called {parent}", path=f"{_LINES}[{number}].SBQQ__RequiredBy__r.Name")
        own = line.name if line.is_bundle else None
        bundles[line.name] = (bundles[parent] or parent) if parent else own
        yield _line(line, parent=parent, bundle=bundles[line.name])


def _line(line: Line, *, parent: str | None, bundle: str | None) -> QuoteLine:
    return QuoteLine(
        line_id=line.name,
        parent_line_id=parent,
        bundle_id=bundle,
        product_id=line.product,
        description=line.description or line.product,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.net_price,
        charge_type=_CHARGE_TYPES[line.charge_type],
        billing_period=_PERIODS[line.billing_frequency],
        starts_on=line.starts_on,
        ends_on=line.ends_on,
        tax_code=line.tax_code,
        price_book_version=line.price_book_version,
    )


def quote_fields(new: NewQuote) -> Json:
    """A quote to be made, as Salesforce's fields."""
    return {
        "Name": new.quote_id,
        "SBQQ__Type__c": _TYPES[new.kind],
        "SBQQ__MasterContract__c": new.contract_id,
        "SBQQ__Account__c": new.customer_id,
        "Legal_Entity__c": new.legal_entity,
        "CurrencyIsoCode": new.currency,
        "Sold_To__c": new.customer_id,
        "Bill_To__c": new.bill_to or new.customer_id,
        "Ship_To__c": new.ship_to or new.customer_id,
        "Purchase_Order_Number__c": new.purchase_order_number,
        "SBQQ__PaymentTerms__c": new.payment_terms,
        "SBQQ__LineItems__r": {"records": [_line_fields(line) for line in new.lines]},
    }


def _line_fields(line: QuoteLine) -> Json:
    return {
        "Name": line.line_id,
        "SBQQ__RequiredBy__r": {"Name": line.parent_line_id} if line.parent_line_id else None,
        "SBQQ__Bundle__c": line.bundle_id == line.line_id,
        "SBQQ__ProductCode__c": line.product_id,
        "SBQQ__Description__c": line.description,
        "SBQQ__Quantity__c": line.quantity,
        "Unit__c": line.unit,
        "SBQQ__NetPrice__c": line.unit_price,
        "SBQQ__ChargeType__c": _CHARGE_NAMES[line.charge_type],
        "SBQQ__BillingFrequency__c": _FREQUENCIES[line.billing_period],
        "SBQQ__StartDate__c": line.starts_on.isoformat(),
        "SBQQ__EndDate__c": line.ends_on.isoformat() if line.ends_on else None,
        "Tax_Code__c": line.tax_code,
        "Price_Book_Version__c": line.price_book_version,
    }


def exact_json(value: Json) -> str:
    """JSON with decimals as exact numbers, which Python's own encoder does not write."""
    match value:
        case Decimal():
            return format(value, "f")
        case Mapping():
            return "{" + ",".join(f"{json.dumps(name)}:{exact_json(each)}" for name, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(exact_json(each) for each in value) + "]"
        case _:
            return json.dumps(value)
