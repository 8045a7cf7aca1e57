"""The landscape's quotes as the Salesforce simulator takes them: what a demo or a test posts to create them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connectors.simulators.landscape import Quote, QuoteLine

_CHARGE_TYPES = {"one_off": "One-Time", "recurring": "Recurring", "usage": "Usage"}
_FREQUENCIES = {"none": None, "month": "Monthly", "quarter": "Quarterly", "year": "Annual"}


def salesforce_quote(quote: Quote) -> dict[str, Any]:
    """The body of `POST sobjects/SBQQ__Quote__c` for a quote."""
    return {
        "Name": quote.quote_id,
        "SBQQ__Account__c": quote.customer_id,
        "Legal_Entity__c": quote.legal_entity,
        "CurrencyIsoCode": quote.currency,
        "Sold_To__c": quote.sold_to,
        "Bill_To__c": quote.bill_to,
        "Ship_To__c": quote.ship_to,
        "Purchase_Order_Number__c": quote.purchase_order_number,
        "SBQQ__PaymentTerms__c": quote.payment_terms,
        "SBQQ__LineItems__r": {"records": [_line(line) for line in quote.lines]},
    }


def _line(line: QuoteLine) -> dict[str, Any]:
    return {
        "Name": line.line_id,
        "SBQQ__RequiredBy__r": {"Name": line.parent_line_id} if line.parent_line_id else None,
        "SBQQ__Bundle__c": line.bundle_id == line.line_id,
        "SBQQ__ProductCode__c": line.sku,
        "SBQQ__Description__c": line.description,
        "SBQQ__Quantity__c": _number(line.quantity),
        "Unit__c": line.unit,
        "SBQQ__NetPrice__c": _number(line.unit_price),
        "SBQQ__ChargeType__c": _CHARGE_TYPES[line.charge_type],
        "SBQQ__BillingFrequency__c": _FREQUENCIES[line.billing_period],
        "SBQQ__StartDate__c": line.starts_on.isoformat(),
        "SBQQ__EndDate__c": line.ends_on.isoformat() if line.ends_on else None,
        "Tax_Code__c": line.tax_code,
        "Price_Book_Version__c": line.price_book_version,
    }


def _number(amount: Decimal) -> float | int:
    """A JSON number, as Salesforce has it; exact, since a float shows up to 15 digits again as they were."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)
