from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from connectors.simulators.clock import now
from connectors.simulators.tryton import sales
from connectors.simulators.tryton.domains import DomainError, condition, order_by


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def decimal(value: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": value}


class Erp:
    """Calls by model, as a client of Tryton makes them."""

    def __init__(self, http) -> None:
        self.http = http
        http.headers["X-Tryton-Context"] = coded({"company": 1})

    async def find(self, model, domain=(), *fields, **params):
        answer = await self.http.get(f"/{model}", params={"d": coded(list(domain)), "f": list(fields), **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def id_of(self, model, domain):
        return (await self.find(model, domain))[0]["id"]

    async def create(self, model, *fields, **values):
        return await self.http.post(f"/{model}", params={"f": list(fields)}, json=values)

    async def press(self, sale, button, *fields):
        return await self.http.post(f"/sale.sale/{sale}/{button}", params={"f": list(fields)})

    async def line(self, **values):
        product = await self.id_of("product.product", [["code", "=", "ANL-STR"]])
        unit = await self.id_of("product.uom", [["name", "=", "Unit"]])
        tax = await self.id_of("account.tax", [["name", "=", "NO-VAT-25"]])
        fixed = {"type": "line", "product": product, "unit": unit, "quantity": 3, "unit_price": decimal("0.335"), "taxes": [["add", [tax]]]}
        return {**fixed, **values}

    async def sale(self, *fields, reference="O-1", lines=None, **values):
        party = (await self.find("party.party", [["code", "=", "C-1001"]], "addresses"))[0]
        lines = [await self.line()] if lines is None else lines
        address = party["addresses"][0]
        fixed = {
            "party": party["id"],
            "invoice_address": address,
            "shipment_address": address,
            "reference": reference,
            "invoice_method": "manual",
        }
        return await self.create("sale.sale", *fields, **{**fixed, "lines": [["create", lines]], **values})


@pytest.fixture
async def erp(simulators):
    return Erp(simulators.tryton)


# Records


async def test_a_record_shows_the_fields_that_are_asked_for(erp):
    made = await erp.create("party.party", "code", "addresses.city", name="P", code="C-9", addresses=[["create", [{"city": "Oslo"}]]])

    party = made.json()
    assert party.pop("addresses")[0]["city"] == "Oslo"
    assert party == {"id": party["id"], "__name__": "party.party", "code": "C-9"}
    plain = (await erp.http.get(f"/party.party/{party['id']}")).json()
    assert plain == {"id": party["id"], "__name__": "party.party", "rec_name": "P"}


async def test_a_sale_has_its_sums_as_decimals(erp):
    made = (
        await erp.sale("untaxed_amount", "tax_amount", "total_amount", "lines.unit_price", "currency.code", "company.party.code")
    ).json()

    assert made["untaxed_amount"] == decimal("1.00")  # 3 x 0.335 is 1.005, and half goes to even
    assert made["tax_amount"] == decimal("0.25")
    assert made["total_amount"] == decimal("1.25")
    assert made["lines"][0]["unit_price"] == decimal("0.335")
    assert (made["currency"]["code"], made["company"]["party"]["code"]) == ("NOK", "NO")


async def test_a_reference_may_double_and_a_party_code_may_not(erp, simulators):
    for _ in range(2):
        assert (await erp.sale(reference="O-7")).status_code == 200
    assert len(await simulators.control.records("tryton", "sale.sale", external_id="O-7")) == 2
    assert len(await simulators.control.calls("tryton", "O-7")) == 2

    refused = await erp.create("party.party", name="P", code="C-1001")
    assert refused.json() == {"status": 400, "message": "The code on party must be unique.", "description": ""}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unit_price": None}, 'required for field "Unit Price"'),
        ({"quantity": None}, 'required for field "Quantity"'),
        ({"unit": None}, 'required for field "Unit"'),
        ({"quantity": 2.5}, 'exceeds the limit of "(None, 0)"'),
        ({"unit_price": decimal("0.01256")}, 'exceeds the limit of "(None, 4)"'),
        ({"product": 999999}, 'The value "999999" for field "Product"'),
        ({"taxes": [["add", [999999]]]}, 'The value "999999" for field "Taxes"'),
    ],
)
async def test_a_wrong_line_leaves_no_sale_behind(erp, simulators, change, words):
    refused = await erp.sale(lines=[await erp.line(), await erp.line(**change)])

    assert refused.status_code == 400
    assert words in refused.json()["message"]
    assert "sale.sale" not in await simulators.control.counts("tryton")
    assert "sale.line" not in await simulators.control.counts("tryton")


async def test_a_line_fits_its_company_and_what_is_sold(erp):
    foreign = await erp.id_of("account.tax", [["name", "=", "US-EXEMPT"]])
    refused = await erp.sale(lines=[await erp.line(taxes=[["add", [foreign]]])])
    assert '"Taxes"' in refused.json()["message"]

    template = await erp.id_of("product.template", [["code", "=", "ANL-STR"]])
    await erp.http.put(f"/product.template/{template}", json={"salable": False})
    refused = await erp.sale()
    assert '"Product"' in refused.json()["message"]


async def test_an_address_of_somebody_else_is_refused(erp):
    other = await erp.id_of("party.address", [["party.code", "=", "C-1002"]])

    refused = await erp.sale(invoice_address=other)

    assert '"Invoice Address"' in refused.json()["message"]


async def test_the_missing_tax_code_can_be_added(erp):
    assert await erp.find("account.tax", [["name", "=", "NO-VAT-15"]]) == []
    example = (await erp.find("account.tax", [["name", "=", "NO-VAT-25"]], "invoice_account", "credit_note_account", "company"))[0]
    accounts = {name: example[name] for name in ("invoice_account", "credit_note_account")}

    made = await erp.create("account.tax", "rate", "company", name="NO-VAT-15", description="15 %", rate=decimal("0.15"), **accounts)

    assert (made.json()["rate"], made.json()["company"]) == (decimal("0.15"), example["company"])
    bare = await erp.create("account.tax", name="X", description="X", rate=decimal("0.1"))
    assert bare.json()["message"] == 'A value is required for field "Credit Note Account" in record "X" of "Account Tax".'


async def test_a_template_carries_its_code_to_its_products(erp):
    unit = await erp.id_of("product.uom", [["name", "=", "Unit"]])
    products = [["create", [{}, {"suffix_code": "-B"}]]]
    made = await erp.create("product.template", "products.code", "products.name", name="T", code="T", default_uom=unit, products=products)
    assert [(each["code"], each["name"]) for each in made.json()["products"]] == [("T", "T"), ("T-B", "T")]

    await erp.http.put(f"/product.template/{made.json()['id']}", json={"code": "U"})
    assert len(await erp.find("product.product", [["code", "like", "U%"], ["template.code", "=", "U"]])) == 2

    hidden = await erp.http.put(f"/product.template/{made.json()['id']}", json={"active": False})
    assert hidden.status_code == 200
    assert await erp.find("product.product", [["code", "like", "U%"]]) == []
    assert len(await erp.find("product.product", [["code", "like", "U%"], ["active", "in", [True, False]]])) == 2
    assert (await erp.http.put(f"/product.template/{made.json()['id']}", json={"active": True})).status_code == 404  # as Tryton has it


async def test_sub_records_follow_commands(erp):
    made = (await erp.sale("lines", lines=[await erp.line(description="a"), await erp.line(description="b")])).json()
    first, second = made["lines"]

    commands = [["write", [first], {"quantity": 5}], ["delete", [second]], ["create", [await erp.line(description="c")]]]
    changed = await erp.http.put(
        f"/sale.sale/{made['id']}", params={"f": ["lines.description", "lines.quantity"]}, json={"lines": commands}
    )

    assert [(line["description"], line["quantity"]) for line in changed.json()["lines"]] == [("a", 5.0), ("c", 3.0)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/no.model", 500),
        ("/party.party?f=colour", 500),
        (f"/party.party?d={coded([['colour', '=', 1]])}", 500),
        (f"/party.party?d={coded([['name', '~~', 1]])}", 500),
        ("/party.party?d=W1sibm", 500),
        ("/party.party/999999", 404),
    ],
)
async def test_what_tryton_does_not_know_ends_as_there(erp, path, status):
    answer = await erp.http.get(path)

    assert answer.status_code == status
    assert answer.text.startswith("<!doctype html>")


async def test_a_state_is_changed_by_buttons_alone(erp):
    sale = (await erp.sale()).json()["id"]

    refused = await erp.http.put(f"/sale.sale/{sale}", json={"state": "done"})

    assert refused.json()["message"] == 'You are not allowed to modify the field "State" of "Sale".'


# Domains


async def found(erp, domain, **params):
    return [party["code"] for party in await erp.find("party.party", domain, "code", o=coded([["code", "ASC"]]), **params)]


@pytest.mark.parametrize(
    ("domain", "codes"),
    [
        ([["code", "=", "C-1002"]], ["C-1002"]),
        ([["code", "in", ["C-1003", "C-1002", "none"]]], ["C-1002", "C-1003"]),
        ([["code", ">", "C-1048"], ["code", "like", "C-%"]], ["C-1049", "C-1050"]),
        ([["code", ">=", "C-1049"], ["code", "!=", "C-1050"], ["code", "<", "D"]], ["C-1049"]),
        ([["code", "like", "c-1002"]], []),
        ([["code", "ilike", "c-1002"]], ["C-1002"]),
        (["OR", ["code", "=", "C-1002"], [["code", "=", "C-1003"], ["name", "=", "none"]]], ["C-1002"]),
        ([["code", "like", "C-104%"], ["code", "not in", [f"C-104{digit}" for digit in range(2, 10)]]], ["C-1040", "C-1041"]),
        ([["code", "=", "C-1002"], ["addresses.country.code", "=", "NO"]], ["C-1002"]),
        ([["code", "=", "C-1002"], ["addresses.country.code", "=", "US"]], []),
        ([["code", "=", "C-1002"], ["name", "=", None]], []),
        ([["code", "=", "C-1002"], ["name", "!=", None]], ["C-1002"]),
        ([["code", "in", ["C-1002", None]]], ["C-1002"]),
    ],
)
async def test_a_domain_finds(erp, domain, codes):
    assert await found(erp, domain) == codes


async def test_a_search_pages_in_its_order(erp):
    assert await found(erp, [["code", "like", "C-10%"]], s=2, p=3) == ["C-1004", "C-1005"]
    newest = await erp.find("party.party", [["code", "like", "C-%"]], "code", o=coded([["code", "DESC"]]), s=1)
    assert newest[0]["code"] == "C-1050"


async def test_references_and_numbers_are_compared_as_such(erp):
    sale = (await erp.sale(lines=[await erp.line(), await erp.line(unit_price=decimal("10"))])).json()["id"]
    tax = await erp.id_of("account.tax", [["name", "=", "NO-VAT-25"]])

    assert len(await erp.find("sale.line", [["sale", "=", sale], ["unit_price", ">", decimal("9")]])) == 1
    assert len(await erp.find("sale.line", [["sale", "=", sale], ["taxes", "=", tax]])) == 2
    assert len(await erp.find("sale.line", [["sale", "=", sale], ["taxes.rate", ">", decimal("0.3")]])) == 0
    assert [each["id"] for each in await erp.find("sale.sale", [["lines.product.code", "=", "ANL-STR"]])] == [sale]


async def test_a_poller_sees_what_was_made_and_what_was_changed(erp):
    def moment(at: datetime) -> dict[str, object]:
        parts = {name: getattr(at, name) for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")}
        return {"__class__": "datetime", **parts}

    since = now()
    made = (await erp.sale("write_date", "create_date")).json()
    assert made["write_date"] is None  # a record that nobody changed has none
    assert made["create_date"]["year"] == since.year
    changed = ["OR", ["write_date", ">=", moment(since)], ["create_date", ">=", moment(since)]]

    assert [each["id"] for each in await erp.find("sale.sale", [changed])] == [made["id"]]
    assert await erp.find("sale.sale", [["write_date", ">=", moment(since)]]) == []
    await erp.press(made["id"], "quote")
    assert [each["id"] for each in await erp.find("sale.sale", [["write_date", ">=", moment(since)]])] == [made["id"]]
    assert await erp.find("sale.sale", [["write_date", ">", moment(now() + timedelta(seconds=1))]]) == []


async def test_inactive_records_are_found_where_the_context_says_so(erp):
    tax = await erp.id_of("account.tax", [["name", "=", "NO-ZERO"]])
    await erp.http.put(f"/account.tax/{tax}", json={"active": False})

    assert await erp.find("account.tax", [["name", "=", "NO-ZERO"]]) == []
    erp.http.headers["X-Tryton-Context"] = coded({"active_test": False})
    assert len(await erp.find("account.tax", [["name", "=", "NO-ZERO"]])) == 1


@pytest.mark.parametrize("domain", ["x", [["untaxed_amount", "=", 1]], [["party", "=", "Globex"]], [["party", "in", 1]]])
def test_a_domain_that_is_not_understood_is_refused(domain):
    with pytest.raises(DomainError):
        condition("sale.sale", domain)


def test_an_order_takes_a_direction_and_nothing_else():
    with pytest.raises(DomainError, match="direction"):
        order_by("sale.sale", [["id", "ASC; DROP TABLE records"]])


# The life of a sale


async def test_a_sale_is_quoted_confirmed_and_goes_on_by_itself(erp, eventually):
    sale = (await erp.sale()).json()["id"]
    quoted = (await erp.press(sale, "quote", "state", "number", "quotation_date")).json()
    assert (quoted["state"], quoted["number"]) == ("quotation", "NO-000001")
    assert quoted["quotation_date"]["__class__"] == "date"

    assert (await erp.press(sale, "confirm", "state")).json()["state"] == "confirmed"

    async def processing():
        return bool(await erp.find("sale.sale", [["id", "=", sale], ["state", "=", "processing"]]))

    await eventually(processing)
    for button in ("cancel", "confirm", "quote", "draft"):
        refused = await erp.press(sale, button)
        assert refused.json()["message"] == f'You can not call "{button}" on "NO-000001 [O-1]" of "Sale".'
    assert (await erp.press(sale, "process", "state")).json()["state"] == "processing"


async def test_processing_is_not_forgotten_over_a_restart(start, monkeypatch):
    async with start() as simulators:
        erp = Erp(simulators.tryton)
        sale = (await erp.sale()).json()["id"]
        await erp.press(sale, "quote")
        monkeypatch.setattr(sales, "PROCESSING_AFTER", timedelta(hours=1))
        assert (await erp.press(sale, "confirm", "state")).json()["state"] == "confirmed"
        assert (await erp.find("sale.sale", [["id", "=", sale]], "state"))[0]["state"] == "confirmed"
    monkeypatch.setattr(sales, "PROCESSING_AFTER", timedelta(0))
    async with start() as simulators:
        record = (await simulators.control.records("tryton", "sale.sale"))[0]
        assert record.body["state"] == "processing"


async def test_a_quoted_sale_can_be_cancelled_and_drafted_again(erp):
    sale = (await erp.sale()).json()["id"]
    await erp.press(sale, "quote")
    assert (await erp.http.delete(f"/sale.sale/{sale}")).json()["message"] == 'To delete sale "NO-000001 [O-1]" you must cancel it.'

    assert (await erp.press(sale, "cancel", "state")).json()["state"] == "cancelled"
    assert (await erp.press(sale, "cancel")).status_code == 400
    assert (await erp.press(sale, "draft", "state")).json()["state"] == "draft"
    assert (await erp.http.delete(f"/sale.sale/{sale}")).status_code == 204
    assert (await erp.http.get(f"/sale.sale/{sale}")).status_code == 404
    assert await erp.find("sale.line") == []


async def test_a_quote_needs_lines_and_an_address(erp):
    without_lines = (await erp.sale(lines=[])).json()["id"]
    assert 'can not call "quote"' in (await erp.press(without_lines, "quote")).json()["message"]

    without_address = (await erp.sale(invoice_address=None)).json()["id"]
    assert "you must enter an invoice address" in (await erp.press(without_address, "quote")).json()["message"]


async def test_a_sale_is_done_when_it_is_paid(erp, monkeypatch):
    monkeypatch.setattr(sales, "PROCESSING_AFTER", timedelta(0))
    sale = (await erp.sale()).json()["id"]
    await erp.press(sale, "quote")
    await erp.press(sale, "confirm")
    await erp.http.put(f"/sale.sale/{sale}", json={"invoice_state": "paid"})

    assert (await erp.press(sale, "process", "state")).json()["state"] == "done"


async def test_a_button_that_is_not_there_is_forbidden(erp):
    sale = (await erp.sale()).json()["id"]

    assert (await erp.press(sale, "explode")).status_code == 403
    assert (await erp.press(999999, "quote")).status_code == 404


async def test_the_landscape_is_there(erp, simulators):
    counts = await simulators.control.counts("tryton")

    assert (counts["product.product"], counts["party.party"], counts["account.tax"], counts["company.company"]) == (100, 52, 5, 2)
    product = (await erp.find("product.product", [["code", "=", "BND-01"]], "name", "list_price", "salable"))[0]
    assert product["salable"]
    assert Decimal(product["list_price"]["decimal"]) == 240


async def test_without_a_landscape_it_is_empty(start):
    async with start(landscape=False) as simulators:
        assert await simulators.control.counts("tryton") == {}
