"""Master data and quotes of an invented software company, for every system that plays in a demo or a test, in no vendor's language.

Deterministic by seed. It imports nothing but the standard library, so that seeds of real systems can use it as well as the simulators.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

ChargeType = Literal["one_off", "recurring", "usage"]
BillingPeriod = Literal["none", "month", "quarter", "year"]

PRICE_BOOK_VERSION = "2026-1"
FIRST_QUOTE = 1001
_PRODUCTS = 100
_BUNDLES = 10
_CUSTOMERS = 50
_NOK_PER_USD = Decimal("10.40")
_DAYS_A_YEAR = 365
_BILLED_TO_ANOTHER = 0.12  # share of quotes that a customer's group pays
_EVERY_OTHER = 0.5
_FAMILIES = (
    ("ANL", "Analytics", 42),
    ("AUT", "Automation", 36),
    ("BIL", "Invoicing", 30),
    ("CAP", "Capacity Planning", 48),
    ("COL", "Collaboration", 18),
    ("CMP", "Compliance", 54),
    ("CON", "Connect", 24),
    ("DAT", "Data Hub", 60),
    ("FRM", "Forms", 12),
    ("IDN", "Identity", 27),
    ("INS", "Insights", 45),
    ("INV", "Inventory", 33),
    ("MON", "Monitoring", 39),
    ("ORD", "Orders", 29),
    ("SRV", "Service Desk", 34),
)
_TIERS = (("STR", "Starter", 1), ("TEA", "Team", 2), ("BUS", "Business", 4), ("ENT", "Enterprise", 8))
_METERS = (
    ("API", "API calls, per thousand", "0.4000"),
    ("GB", "storage, per gigabyte", "0.1250"),
    ("MSG", "messages, per thousand", "0.0125"),
)
_SERVICES = (("ONB", "onboarding", 1800), ("MIG", "data migration", 3200), ("TRN", "training day", 950))
_CITIES = {"NO": ("Oslo", "Bergen", "Trondheim", "Stavanger", "Drammen"), "US": ("Sacramento", "Albany", "Buffalo", "Fresno", "San Jose")}
_FIRST_WORDS = ("Birch", "Harbor", "Granite", "Meadow", "North Bay", "Copper", "Lakeside", "Summit", "Willow", "Clearwater")
_SECOND_WORDS = ("Logistics", "Foods", "Energy", "Textiles", "Marine")


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """Whose books something belongs to; `code` is how the other records name it."""

    code: str
    name: str
    currency: str
    country: str


@dataclass(frozen=True, slots=True)
class TaxCode:
    """A sales tax; `rate` is a fraction. One that is `missing_at_start` is in no system until somebody adds it."""

    code: str
    name: str
    rate: Decimal
    legal_entity: str
    missing_at_start: bool = False


@dataclass(frozen=True, slots=True)
class PaymentTerm:
    """When an invoice is due."""

    code: str
    name: str
    days: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted; `digits` after the point are allowed in a quantity."""

    code: str
    symbol: str
    digits: int


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold. `prices` are by currency, per unit and billing period; `options` are the SKUs inside a bundle, empty for any other."""

    sku: str
    name: str
    charge_type: ChargeType
    billing_period: BillingPeriod
    unit: str
    prices: dict[str, Decimal]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Customer:
    """A company that buys from one legal entity."""

    id: str
    name: str
    legal_entity: str
    city: str
    country: str


@dataclass(frozen=True, slots=True)
class Landscape:
    """All master data."""

    legal_entities: tuple[LegalEntity, ...]
    tax_codes: tuple[TaxCode, ...]
    payment_terms: tuple[PaymentTerm, ...]
    units: tuple[Unit, ...]
    products: tuple[Product, ...]
    customers: tuple[Customer, ...]


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One line; an option names its bundle's line in `parent_line_id` and `bundle_id`, a bundle itself only in `bundle_id`."""

    line_id: str
    parent_line_id: str | None
    bundle_id: str | None
    sku: str
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    charge_type: ChargeType
    billing_period: BillingPeriod
    starts_on: date
    ends_on: date | None
    tax_code: str
    price_book_version: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote that is ready to be approved; bundles stand before their options."""

    quote_id: str
    customer_id: str
    legal_entity: str
    currency: str
    sold_to: str
    bill_to: str
    ship_to: str
    purchase_order_number: str | None
    payment_terms: str
    lines: tuple[QuoteLine, ...]


LEGAL_ENTITIES = (
    LegalEntity("NO", "Nordic Cloud AS", "NOK", "NO"),
    LegalEntity("US", "Nordic Cloud Inc", "USD", "US"),
)
TAX_CODES = (
    TaxCode("NO-VAT-25", "Norway VAT 25 %", Decimal("0.25"), "NO"),
    TaxCode("NO-VAT-15", "Norway VAT 15 %", Decimal("0.15"), "NO", missing_at_start=True),
    TaxCode("NO-ZERO", "Norway zero rate", Decimal(0), "NO"),
    TaxCode("US-CA-SALES", "California sales tax", Decimal("0.0725"), "US"),
    TaxCode("US-NY-SALES", "New York sales tax", Decimal("0.04"), "US"),
    TaxCode("US-EXEMPT", "United States, exempt", Decimal(0), "US"),
)
PAYMENT_TERMS = (PaymentTerm("NET14", "Net 14 days", 14), PaymentTerm("NET30", "Net 30 days", 30), PaymentTerm("NET60", "Net 60 days", 60))
UNITS = (Unit("Unit", "u", 0),)
MISSING_TAX_CODE = next(tax.code for tax in TAX_CODES if tax.missing_at_start)
_MISSING_ENTITY = next(tax.legal_entity for tax in TAX_CODES if tax.missing_at_start)
_USUAL_TAX_CODES = {"NO": ("NO-VAT-25", "NO-VAT-25", "NO-VAT-25", "NO-ZERO"), "US": ("US-CA-SALES", "US-NY-SALES", "US-EXEMPT")}


def landscape(seed: int = 7) -> Landscape:
    """The master data: 100 products (10 of them bundles), 50 customers, two legal entities, six tax codes.

    Args:
        seed: another one gives other bundles and customers' cities; codes and prices stay.
    """
    dice = random.Random(f"landscape:{seed}")
    return Landscape(LEGAL_ENTITIES, TAX_CODES, PAYMENT_TERMS, UNITS, _products(dice), _customers(dice))


def quotes(count: int, seed: int = 7, *, first_day: date = date(2026, 1, 1)) -> tuple[Quote, ...]:
    """Quotes `Q-1001`, `Q-1002` ...: one-off, recurring, usage and bundle lines; exactly one uses the tax code that is missing.

    Args:
        count: how many, at least one.
        seed: of this and of the landscape that they belong to.
        first_day: their service starts on it or within the next 90 days.
    """
    if count < 1:
        raise ValueError(f"count is {count}; there must be at least one quote")
    world = landscape(seed)
    with_missing = min(2, count - 1)
    dice = [random.Random(f"quote:{seed}:{number}") for number in range(count)]
    return tuple(_quote(world, number, dice[number], first_day=first_day, missing=number == with_missing) for number in range(count))


def _products(dice: random.Random) -> tuple[Product, ...]:
    single = [*_seats(), *_meters(), *_services()][: _PRODUCTS - _BUNDLES]
    seats = [product for product in single if product.charge_type == "recurring"]
    others = [product for product in single if product.charge_type != "recurring"]
    bundles = [_bundle(dice, number, seats, others) for number in range(1, _BUNDLES + 1)]
    return (*single, *bundles)


def _seats() -> list[Product]:
    periods: tuple[BillingPeriod, ...] = ("month", "month", "quarter", "year")
    months = {"month": 1, "quarter": 3, "year": 12}
    return [
        Product(f"{family}-{tier}", f"{name} {title}", "recurring", period, "Unit", _prices(Decimal(base * factor * months[period])))
        for family, name, base in _FAMILIES
        for (tier, title, factor), period in zip(_TIERS, periods, strict=True)
    ]


def _meters() -> list[Product]:
    return [
        Product(f"{family}-{meter}", f"{name} {what}", "usage", "month", "Unit", _prices(Decimal(price)))
        for (family, name, _), (meter, what, price) in zip(_FAMILIES, _METERS * 5, strict=True)
    ]


def _services() -> list[Product]:
    return [
        Product(f"{family}-{service}", f"{name} {what}", "one_off", "none", "Unit", _prices(Decimal(price)))
        for (family, name, _), (service, what, price) in zip(_FAMILIES, _SERVICES * 5, strict=True)
    ]


def _bundle(dice: random.Random, number: int, seats: list[Product], others: list[Product]) -> Product:
    family, name, _ = _FAMILIES[number - 1]
    own = next(seat for seat in seats if seat.sku == f"{family}-TEA")
    more = dice.sample([seat for seat in seats if not seat.sku.startswith(family)], dice.randint(0, 2))
    skus = tuple(option.sku for option in (own, *more, dice.choice(others)))
    return Product(f"BND-{number:02d}", f"{name} Suite", "recurring", "year", "Unit", _prices(Decimal(240 * number)), skus)


def _prices(usd: Decimal) -> dict[str, Decimal]:
    places = Decimal("0.0001") if usd < 1 else Decimal(1)
    return {"USD": usd, "NOK": (usd * _NOK_PER_USD).quantize(places)}


def _customers(dice: random.Random) -> tuple[Customer, ...]:
    names = [f"{first} {second}" for second in _SECOND_WORDS for first in _FIRST_WORDS]
    customers = []
    for number, name in enumerate(names[:_CUSTOMERS]):
        entity = LEGAL_ENTITIES[(0, 0, 0, 1, 1)[number % 5]]
        form = "AS" if entity.code == "NO" else "Inc"
        customers.append(
            Customer(f"C-{FIRST_QUOTE + number}", f"{name} {form}", entity.code, dice.choice(_CITIES[entity.country]), entity.country)
        )
    return tuple(customers)


def _quote(world: Landscape, number: int, dice: random.Random, *, first_day: date, missing: bool) -> Quote:
    buyers = [customer for customer in world.customers if not missing or customer.legal_entity == _MISSING_ENTITY]
    customer = dice.choice(buyers)
    entity = next(each for each in world.legal_entities if each.code == customer.legal_entity)
    payers = [each for each in world.customers if each.legal_entity == entity.code]
    quote_id = f"Q-{FIRST_QUOTE + number}"
    lines = _Lines(
        products={product.sku: product for product in world.products},
        quote_id=quote_id,
        currency=entity.currency,
        tax_code=MISSING_TAX_CODE if missing else dice.choice(_USUAL_TAX_CODES[entity.code]),
        starts_on=first_day + timedelta(days=dice.randint(0, 89)),
        dice=dice,
    )
    return Quote(
        quote_id=quote_id,
        customer_id=customer.id,
        legal_entity=entity.code,
        currency=entity.currency,
        sold_to=customer.id,
        bill_to=dice.choice(payers).id if dice.random() < _BILLED_TO_ANOTHER else customer.id,
        ship_to=customer.id,
        purchase_order_number=f"PO-{dice.randint(10_000, 99_999)}" if dice.random() < _EVERY_OTHER else None,
        payment_terms=dice.choice(world.payment_terms).code,
        lines=lines.make(with_bundle=number % 3 == 0),
    )


class _Lines:
    """Makes the lines of one quote, numbered in order."""

    def __init__(
        self, *, products: dict[str, Product], quote_id: str, currency: str, tax_code: str, starts_on: date, dice: random.Random
    ) -> None:
        self._products = products
        self._quote_id = quote_id
        self._currency = currency
        self._tax_code = tax_code
        self._starts_on = starts_on
        self._dice = dice
        self._made: list[QuoteLine] = []

    def make(self, *, with_bundle: bool) -> tuple[QuoteLine, ...]:
        self._add(self._pick("recurring"), self._dice.randint(5, 250))
        self._add(self._pick("one_off"), 1)
        if self._dice.random() < _EVERY_OTHER:
            self._add(self._pick("usage"), 1)
        if with_bundle:
            bundle = self._dice.choice([product for product in self._products.values() if product.options])
            head = self._add(bundle, 1)
            for sku in bundle.options:
                self._add(self._products[sku], self._dice.randint(1, 25), parent=head)
        return tuple(self._made)

    def _pick(self, charge_type: ChargeType) -> Product:
        return self._dice.choice(
            [product for product in self._products.values() if product.charge_type == charge_type and not product.options]
        )

    def _add(self, product: Product, quantity: int, *, parent: QuoteLine | None = None) -> QuoteLine:
        line_id = f"{self._quote_id}-{len(self._made) + 1}"
        bundle_id = parent.line_id if parent else line_id if product.options else None
        line = QuoteLine(
            line_id=line_id,
            parent_line_id=parent.line_id if parent else None,
            bundle_id=bundle_id,
            sku=product.sku,
            description=product.name,
            quantity=Decimal(quantity),
            unit=product.unit,
            unit_price=product.prices[self._currency],
            charge_type=product.charge_type,
            billing_period=product.billing_period,
            starts_on=self._starts_on,
            ends_on=None if product.charge_type == "one_off" else self._starts_on + timedelta(days=_DAYS_A_YEAR - 1),
            tax_code=self._tax_code,
            price_book_version=PRICE_BOOK_VERSION,
        )
        self._made.append(line)
        return line
