"""Salesforce CPQ's quotes as they come in by webhook and go out through the client: the vendor's words and fields, checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, QuoteId
from integration_fabric.messages.quotes import QuoteKind, QuoteLine

Text = Annotated[str, Field(min_length=1)]
Amount = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]


class Shape(BaseModel):
    """What Salesforce sends. Further fields are Salesforce's to add, and are ignored."""

    model_config = ConfigDict(frozen=True)


class Bundle(Shape):
    """The line that an option belongs to."""

    name: Text = Field(alias="Name")


class Line(Shape):
    """One line of a quote."""

    name: Text = Field(alias="Name")
    required_by: Bundle | None = Field(default=None, alias="SBQQ__RequiredBy__r")
    is_bundle: bool = Field(default=False, alias="SBQQ__Bundle__c")
    product: Text = Field(alias="SBQQ__ProductCode__c")
    description: str | None = Field(default=None, alias="SBQQ__Description__c")
    quantity: Amount = Field(alias="SBQQ__Quantity__c")
    unit: Text = Field(alias="Unit__c")
    net_price: Amount = Field(alias="SBQQ__NetPrice__c")
    charge_type: Literal["One-Time", "Recurring", "Usage"] = Field(alias="SBQQ__ChargeType__c")
    billing_frequency: Literal["Monthly", "Quarterly", "Annual"] | None = Field(default=None, alias="SBQQ__BillingFrequency__c")
    starts_on: date = Field(alias="SBQQ__StartDate__c")
    ends_on: date | None = Field(default=None, alias="SBQQ__EndDate__c")
    tax_code: Text = Field(alias="Tax_Code__c")
    price_book_version: Text = Field(alias="Price_Book_Version__c")


class Lines(Shape):
    """The lines of a quote; bundles before their options."""

    records: Annotated[tuple[Line, ...], Field(min_length=1)]


class ApprovedQuote(Shape):
    """A quote in the state that its webhook tells of. Amendments are not taken yet."""

    name: Text = Field(alias="Name")
    account: Text = Field(alias="SBQQ__Account__c")
    legal_entity: Text = Field(alias="Legal_Entity__c")
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = Field(alias="CurrencyIsoCode")
    status: Literal["Approved"] = Field(alias="SBQQ__Status__c")
    type: Literal["Quote", "Renewal"] = Field(alias="SBQQ__Type__c")
    master_contract: Text | None = Field(default=None, alias="SBQQ__MasterContract__c")
    sold_to: Text = Field(alias="Sold_To__c")
    bill_to: Text = Field(alias="Bill_To__c")
    ship_to: Text = Field(alias="Ship_To__c")
    purchase_order_number: str | None = Field(default=None, alias="Purchase_Order_Number__c")
    payment_terms: Text = Field(alias="SBQQ__PaymentTerms__c")
    approved_at: AwareDatetime = Field(alias="Approved_At__c")
    version: Annotated[int, Field(ge=1)] = Field(alias="Version__c")
    lines: Lines = Field(alias="SBQQ__LineItems__r")


class QuoteEvent(Shape):
    """A webhook. Only approvals are subscribed to."""

    type: Literal["quote.approved"] = Field(alias="eventType")
    quote: ApprovedQuote = Field(alias="sobject")


class Rows(Shape):
    """What a query finds, or the part of it that fits into one answer."""

    records: tuple[dict[str, Any], ...]
    next: str | None = Field(default=None, alias="nextRecordsUrl")
    """Where the next part is."""


class Changed(Shape):
    """When a record last changed, whichever."""

    id: Text = Field(alias="Id")
    at: AwareDatetime = Field(alias="SystemModstamp")


class Quote(Shape):
    """A quote as it stands."""

    id: str = Field(alias="Id")
    name: str = Field(alias="Name")
    status: str = Field(alias="SBQQ__Status__c")
    version: int = Field(alias="Version__c")


@dataclass(frozen=True, slots=True)
class NewQuote:
    """A quote to be made. It is what `QuoteApproved` will tell of it."""

    quote_id: QuoteId
    customer_id: CustomerId
    legal_entity: LegalEntity
    currency: str
    payment_terms: str
    lines: tuple[QuoteLine, ...]
    """Bundles before their options."""
    bill_to: str | None = None
    """Who pays; else the customer."""
    ship_to: str | None = None
    """Who is served; else the customer."""
    purchase_order_number: str | None = None
    kind: QuoteKind = QuoteKind.NEW
    contract_id: ContractId | None = None
    """The contract that a renewal is of."""
