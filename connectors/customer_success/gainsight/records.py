"""Gainsight's records as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

EXTERNAL_ID = "External_Id__c"
"""The custom field, unique on companies and on CTAs, that carries our canonical id."""

ONBOARDING, RISK = "Onboarding", "Risk"
"""The types of CTA that the fabric makes: risks are its interventions."""
CLOSED = "Closed Success"
"""The status of a CTA that ended well."""


class Shape(BaseModel):
    """What Gainsight sends. Further fields are Gainsight's to add, and are ignored."""

    model_config = ConfigDict(frozen=True)


class Company(Shape):
    """A customer."""

    gsid: str = Field(alias="Gsid")


class Cta(Shape):
    """A call to action: work for a customer success manager."""

    gsid: str = Field(alias="Gsid")
    external_id: str | None = Field(default=None, alias=EXTERNAL_ID)
    """None where a person made it."""
    type: str = Field(alias="TypeName")
    status: str = Field(alias="StatusName")
    is_closed: bool = Field(alias="IsClosed")
    comments: str | None = Field(default=None, alias="Comments")
    modified_at: AwareDatetime = Field(alias="ModifiedDate")


@dataclass(frozen=True, slots=True)
class NewCta:
    """A CTA to be made. What is None is left to Gainsight."""

    external_id: str
    type: str
    name: str
    company: str
    """External id of the company."""
    comments: str
    playbook: str | None = None
    due_on: date | None = None
    contract_id: str | None = None
    order_id: str | None = None
    products: str | None = None
    reason: str | None = None
    priority: str | None = None
    invoice_id: str | None = None
