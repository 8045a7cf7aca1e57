"""The ERP simulator's books say no where a real Tryton 8.2 did, in the words that it used."""

from __future__ import annotations

import base64
import json

import pytest


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def decimal(value: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": value}


def day(text: str) -> dict[str, object]:
    year, month, number = map(int, text.split("-"))
    return {"__class__": "date", "year": year, "month": month, "day": number}


class Books:
    """Calls about the books of the company NO, as a client of Tryton makes them."""

    def __init__(self, http) -> None:
        self.http = http

    async def call(self, method, path, body=None, *, fields=("id",), skip=False):
        context = {"company": self.company, **({"_skip_warnings": True} if skip else {})}
        headers = {"X-Tryton-Context": coded(context)}
        return await self.http.request(method, f"/{path}", params={"f": list(fields)}, headers=headers, json=body)

    async def one(self, model, domain, *fields):
        answer = await self.http.get(f"/{model}", params={"d": coded(domain), "f": list(fields) or ["id"]})
        return answer.json()[0]

    async def open(self):
        self.company = (await self.one("company.company", [["party.code", "=", "NO"]]))["id"]
        mine = ["company", "=", self.company]
        self.party = await self.one("party.party", [["code", "=", "C-1001"]], "addresses")
        self.receivable = (await self.one("account.account", [mine, ["code", "=", "1.2.1"]]))["id"]
        self.revenue = (await self.one("account.account", [mine, ["code", "=", "4.1.1"]]))["id"]
        self.currency = (await self.one("currency.currency", [["code", "=", "NOK"]]))["id"]
        self.journal = (await self.one("account.journal", [["type", "=", "revenue"]]))["id"]
        self.collections = (await self.one("account.statement.journal", [mine, ["name", "=", "Billing collections NOK"]]))["id"]
        return self

    async def invoice(self, reference, *, issued="2026-05-10", due="2030-01-01", **changes):
        line = {"type": "line", "company": self.company, "currency": self.currency, "quantity": 1, "unit_price": decimal("100")}
        values = {
            "type": "out",
            "reference": reference,
            "company": self.company,
            "currency": self.currency,
            "party": self.party["id"],
            "invoice_address": self.party["addresses"][0],
            "account": self.receivable,
            "journal": self.journal,
            "invoice_date": day(issued),
            "accounting_date": day(issued),
            "payment_term_date": day(due),
            "lines": [["create", [{**line, "account": self.revenue}]]],
        }
        return await self.call("POST", "account.invoice", {**values, **changes})

    async def posted(self, reference, **changes):
        made = (await self.invoice(reference, **changes)).json()["id"]
        assert (await self.call("POST", f"account.invoice/{made}/post", skip=True)).status_code == 200
        return made

    async def statement(self, name, invoice, amount="100"):
        line = {"date": day("2026-05-11"), "amount": decimal(amount), "party": self.party["id"], "account": self.receivable}
        lines = [["create", [{**line, "related_to": f"account.invoice,{invoice}"}]]]
        values = {"name": name, "company": self.company, "journal": self.collections, "date": day("2026-05-11")}
        return await self.call("POST", "account.statement", {**values, "total_amount": decimal(amount), "lines": lines})


@pytest.fixture
async def books(simulators):
    return await Books(simulators.tryton).open()


def said(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["message"]


async def test_a_reference_comes_once_as_the_database_says(books):
    await books.invoice("I-1")

    answer = await books.invoice("I-1")

    assert answer.status_code == 500
    assert "UNIQUE constraint failed: account_invoice.company, account_invoice.reference, account_invoice.type" in answer.text


async def test_numbers_rise_with_dates(books):
    await books.posted("I-1", issued="2026-05-20")
    made = (await books.invoice("I-2", issued="2026-05-10")).json()["id"]

    assert said(await books.call("POST", f"account.invoice/{made}/post", skip=True)) == (
        'To number the invoice "[I-2]", you must set an invoice date after "05/10/2026" because the sequence "2026" has already been used'
        ' for invoice "1 [I-1]".'
    )


async def test_a_due_date_that_has_passed_is_asked_about(books):
    made = (await books.invoice("I-1", due="2026-01-15")).json()["id"]

    assert "generates a payment date" in said(await books.call("POST", f"account.invoice/{made}/post"))


async def test_a_closed_period_must_be_reopened(books):
    period = (await books.one("account.period", [["company", "=", books.company], ["name", "=", "2026-05"]]))["id"]
    await books.call("POST", f"account.period/{period}/close")
    made = (await books.invoice("I-1")).json()["id"]

    words = said(await books.call("POST", f"account.invoice/{made}/post", skip=True))

    assert words.startswith('To continue, you must reopen the period "2026-05" of company ')
    assert 'for the date "05/10/2026"' in words
    assert said(await books.call("POST", f"account.period/{period}/close")) == 'You can not call "close" on "2026-05" of "Account Period".'


async def test_what_is_guarded_and_what_is_posted_cannot_be_changed(books):
    answer = await books.invoice("I-1", number="X")
    assert said(answer) == 'You are not allowed to modify the field "Number" of "Account Invoice".'
    made = await books.posted("I-2")

    assert "because it is posted, paid or cancelled" in said(await books.call("DELETE", f"account.invoice/{made}"))
    assert "because it is posted, paid or cancelled" in said(await books.call("PUT", f"account.invoice/{made}", {"account": 1}))
    assert said(await books.call("POST", f"account.invoice/{made}/post")) == 'You can not call "post" on "1 [I-2]" of "Account Invoice".'


async def test_payments_pay_posted_invoices_and_no_more_than_them(books):
    draft, invoice = (await books.invoice("I-1")).json()["id"], await books.posted("I-2")

    assert 'for field "Related To"' in said(await books.statement("PAY-1", draft))
    made = (await books.statement("PAY-2", invoice, "200")).json()["id"]
    assert said(await books.call("POST", f"account.statement/{made}/validate_statement", skip=True)) == (
        'Payment lines amount on invoice "1 [I-2]" can not be greater than the invoice amount.'
    )


async def test_an_invoice_that_is_paid_is_taken_from_other_drafts(books):
    invoice = await books.posted("I-1")
    first, second = [(await books.statement(name, invoice)).json()["id"] for name in ("PAY-1", "PAY-2")]

    question = await books.call("POST", f"account.statement/{first}/validate_statement")
    await books.call("POST", f"account.statement/{first}/validate_statement", skip=True)

    assert said(question) == "Validating the statements will remove paid invoices from other draft statements."
    left = (await books.call("GET", f"account.statement/{second}", fields=["lines.related_to"])).json()
    assert left["lines"][0]["related_to"] is None
    state = (await books.call("GET", f"account.invoice/{invoice}", fields=["state"])).json()
    assert state["state"] == "paid"


async def test_a_cancelled_statement_leaves_the_invoice_open(books):
    invoice = await books.posted("I-1")
    made = (await books.statement("PAY-1", invoice)).json()["id"]
    await books.call("POST", f"account.statement/{made}/validate_statement")

    await books.call("POST", f"account.statement/{made}/cancel")

    shown = (await books.call("GET", f"account.invoice/{invoice}", fields=["state", "amount_to_pay", "reconciled"])).json()
    assert (shown["state"], shown["reconciled"], float(shown["amount_to_pay"]["decimal"])) == ("posted", None, 100)
