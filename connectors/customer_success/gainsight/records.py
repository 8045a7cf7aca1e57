"""Gainsight's records as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

EXTERNAL_ID = "External_Id__c"
"""The custom field, unique on companies and on CTAs, that carries our canonical id."""


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
    modified_at: AwareDatetime = Field(alias="ModifiedDate")


@dataclass(frozen=True, slots=True)
class NewCta:
    """An onboarding to be begun."""

    external_id: str
    name: str
    company: str
    """External id of the company."""
    playbook: str
    due_on: date
    contract_id: str
    order_id: str
    products: str
    comments: str
