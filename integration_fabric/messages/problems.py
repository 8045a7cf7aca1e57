"""What travels about problems. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from integration_fabric.messages.base import Part


class Problem(Part):
    """One reason for a refusal: what is missing or wrong, and where."""

    entity: str
    """The kind of thing that is missing or wrong, as a canonical entity: tax-code, product, customer ..."""
    id: str
    """The identifier of that thing."""
    field: str
    """The field path in the command that names it."""
    code: str
    """A stable code, e.g. unknown-tax-code."""
    hint: str = ""
    """What to do about it, for people."""
