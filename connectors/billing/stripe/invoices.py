"""What an invoice of Stripe's says in the fabric's words; exact, or drift. Pure; intake and the reader call it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from connectors.billing.stripe.money import major_units, minor_units
from connectors.billing.stripe.payloads import Invoice, InvoiceOfCharge, Line
from connectors.billing.stripe.records import CORRELATION, TAX_CODE
from integration_fabric.messages.errors import DataProblem, VendorDrift
from integration_fabric.messages.ids import LegalEntity, OrderId
from integration_fabric.messages.invoices import InvoiceLine

OBJECT = "data.object"
_PLACES = Decimal("0.0001")
"""What the messages keep of a price."""


def charged_lines(invoice: Invoice) -> Sequence[Line]:
    """The lines of an issued invoice that charges something; none of a draft, or where every line is free, as in a trial."""
    if invoice.status == "draft" or all(line.amount == 0 for line in invoice.lines.data):
        return ()
    return invoice.lines.data


def invoice_lines(invoice: Invoice) -> tuple[InvoiceLine, ...]:
    """What is charged. Raises VendorDrift where lines are left out, or lines and taxes do not add up to the total; DataProblem."""
    if invoice.lines.has_more:
        raise VendorDrift(f"the event shows {len(invoice.lines.data)} of the invoice's lines only", path=f"{OBJECT}.lines.has_more")
    added = sum(line.net + line.tax for line in invoice.lines.data)
    if added != invoice.total:
        raise VendorDrift(f"lines and taxes are {added} in all, and the invoice {invoice.total}", path=f"{OBJECT}.total")
    return tuple(_line(line, number, invoice.currency) for number, line in enumerate(invoice.lines.data) if not line.is_unused)


def legal_entity_of(invoice: Invoice | InvoiceOfCharge) -> LegalEntity:
    """Whose books it belongs to, by the first of its lines that says so. Raises DataProblem."""
    found = _told(invoice, "legal_entity")
    if found is None:
        hint = "the price of the line was not made by the fabric, and says nothing of whose books it belongs to; add the metadata"
        field = "lines[0].price.metadata.legal_entity"
        raise DataProblem(entity="legal-entity", field=field, value="", hint=f"invoice {invoice.id}: {hint}", code="unknown-legal-entity")
    return LegalEntity(found)


def order_of(invoice: Invoice | InvoiceOfCharge) -> OrderId | None:
    """The order that it charges, by the first of its lines that names one."""
    found = _told(invoice, "order_id")
    return OrderId(found) if found else None


def correlation_of(invoice: Invoice | InvoiceOfCharge) -> str:
    """The transaction that its subscription was sold in; its own, where it was not sold through the fabric."""
    return _told(invoice, CORRELATION) or invoice.id


def _told(invoice: Invoice | InvoiceOfCharge, name: str) -> str | None:
    lines = invoice.lines.data if invoice.lines else ()
    return next((found for line in lines if (found := line.told.get(name))), None)


def _line(line: Line, number: int, currency: str) -> InvoiceLine:
    told = line.told
    if not told.get(TAX_CODE):
        hint = "the price of the line was not made by the fabric; add the metadata"
        field = f"lines[{number}].price.metadata.{TAX_CODE}"
        raise DataProblem(entity="tax-code", field=field, value="", hint=hint, code="unknown-tax-code")
    product = told.get("product_id") or line.terms.product
    if not product:
        raise VendorDrift("no product", path=f"{OBJECT}.lines.data[{number}].price.product")
    quantity, unit_price = _sold(line, number, currency)
    return InvoiceLine(
        invoice_line_id=line.id,
        order_line_id=told.get("order_line_id"),
        product_id=product,
        description=line.description or product,
        quantity=quantity,
        unit_price=unit_price,
        amount=major_units(line.net, currency),
        tax_code=told[TAX_CODE],
        tax_amount=major_units(line.tax, currency),
        period_starts_on=line.period.start.date(),
        # the end is the moment at which the next period begins
        period_ends_on=max(line.period.start, line.period.end - timedelta(microseconds=1)).date(),
        price_book_version=told.get("price_book_version", ""),
    )


def _sold(line: Line, number: int, currency: str) -> tuple[Decimal, Decimal]:
    """Quantity and unit price as they were sold where they make the amount; else, as for a part of a period, one unit at that amount."""
    net = major_units(line.net, currency)
    if "quantity" in line.told:
        quantity, unit_price = (_number(line.told.get(name, ""), number, name) for name in ("quantity", "unit_price"))
    else:
        quantity = Decimal(1 if line.quantity is None else line.quantity)
        unit_price = net if line.terms.unit_amount is None else major_units(line.terms.unit_amount, currency)
    in_minor_units = minor_units(quantity * unit_price, currency).quantize(Decimal(1), ROUND_HALF_UP)
    fits = in_minor_units == line.net and unit_price == unit_price.quantize(_PLACES)
    return (quantity, unit_price) if fits else (Decimal(1), net)


def _number(text: str, line: int, name: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise VendorDrift(f"{text!r} is no number", path=f"{OBJECT}.lines.data[{line}].price.metadata.{name}") from error
