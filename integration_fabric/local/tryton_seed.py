# mypy: ignore-errors
# Because it runs in Tryton's own virtual environment: trytond and proteus, which it imports, are not in ours, and are untyped.
# ruff: noqa: ANN001, ANN201 -- proteus makes its record classes at run time; there is no type to name
"""Fills a fresh Tryton database with what every test starts from, and prints the facts of it as JSON on standard output.

`integration_fabric.local.tryton` runs it once per version of itself, with the Python of Tryton's virtual environment; nothing imports it.
What is here is the bare base: two legal entities with their books. Products, customers and tax codes come later, over the API.
"""

import datetime as dt
import json
import secrets
import sys
from decimal import Decimal

from proteus import Model, config as proteus_config
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.transaction import Transaction

# Code of the legal entity (it becomes the code of the company's party), name, currency of its books.
LEGAL_ENTITIES = (("NO", "Nordic Cloud AS", "NOK"), ("US", "Nordic Cloud Inc", "USD"))
# Code, name, symbol, units for one US dollar: one rate for all time, so that the sums of a test never move.
CURRENCIES = (("NOK", "Norwegian Krone", "kr", "10.00"), ("USD", "U.S. Dollar", "$", "1.00"))
FISCAL_YEARS = range(2025, 2031)
PAYMENT_TERM_DAYS = {"NET14": 14, "NET30": 30, "NET60": 60}
# A tax of the rate zero in every company. Taxes that are added later take their accounts from it.
EXEMPT = "EXEMPT"
PRODUCT_CATEGORY = "Cloud services"
# The procedure, with one level, under which people find what billing could not collect.
DUNNING_PROCEDURE = "Payment failed"
# The account and the statement journals, one for each currency, through which billing's payments are booked.
COLLECTIONS = "Billing collections"
COLLECTIONS_CODE = "1.1.9"
USER = "integration-fabric"
# What an integration user needs and no more: it keeps master data, sells and posts; it does not administer the server.
GROUPS = (
    "Accounting",
    "Accounting Administration",
    "Account Product Administration",
    "Dunning",
    "Party Administration",
    "Payment",
    "Payment Approval",
    "Product Administration",
    "Sales",
    "Sales Administrator",
)


def main(config_file: str, database: str) -> None:
    """Seed `database`, which has been initialised with its modules, and print the facts.

    Args:
        config_file: trytond's configuration.
        database: its name.
    """
    proteus = proteus_config.set_trytond(database, user="admin", config_file=config_file)
    currencies = {code: add_currency(code, name, symbol, rate) for code, name, symbol, rate in CURRENCIES}
    companies = {code: add_company(code, name, currencies[currency]) for code, name, currency in LEGAL_ENTITIES}
    join_companies(proteus, companies.values())
    for company in companies.values():
        with proteus.set_context(company=company.id):
            open_books(company)
            open_collections(company, currencies)
    add_dunning_procedure()
    category = add_product_category(proteus, companies.values())
    for name, days in PAYMENT_TERM_DAYS.items():
        add_payment_term(name, days)
    user, key = add_integration_user(companies.values())
    forbid_doubled_references(database)
    facts = {
        "companies": {code: company.id for code, company in companies.items()},
        "category": category.id,
        "user": user.id,
        "key": key,
    }
    print(json.dumps(facts))  # noqa: T201  -- standard output is how the facts leave this process


def add_currency(code: str, name: str, symbol: str, rate: str):
    """A currency with one rate for all time."""
    currency = Model.get("currency.currency")(name=name, symbol=symbol, code=code, rounding=Decimal("0.01"))
    currency.save()
    Model.get("currency.currency.rate")(date=dt.date.min, rate=Decimal(rate), currency=currency).save()
    return currency


def add_company(code: str, name: str, currency):
    """A company; its party's code is the code of the legal entity."""
    party = Model.get("party.party")(name=name, code=code)
    party.save()
    company = Model.get("company.company")(party=party, currency=currency)
    company.save()
    return company


def join_companies(proteus, companies) -> None:
    """Let the user who seeds see every company: what a form offers depends on it."""
    user_model = Model.get("res.user")
    user = user_model(proteus.user)
    for company in companies:
        user.companies.append(type(company)(company.id))
    user.company_filter = "all"
    user.save()
    proteus._context = user_model.get_preferences(True, {})  # noqa: SLF001  -- as Tryton's own test tools do it


def open_books(company) -> None:
    """Chart of accounts, fiscal years with open periods, sequences, and the zero-rate tax of one company."""
    create_chart(company)
    for year in FISCAL_YEARS:
        fiscal_year = create_fiscalyear(company, (dt.date(year, 1, 1), dt.date(year, 12, 31)))
        fiscal_year = set_fiscalyear_invoice_sequences(fiscal_year)
        fiscal_year.click("create_period")
    accounts = get_accounts(company)
    Model.get("account.tax")(
        name=EXEMPT,
        description="Exempt from tax",
        type="percentage",
        rate=Decimal(0),
        company=company,
        invoice_account=accounts["tax"],
        credit_note_account=accounts["tax"],
    ).save()
    number_sales(company)


def number_sales(company) -> None:
    """A sequence of its own for the company's sales, so that a number says whose it is."""
    sequence_type = Model.get("ir.sequence.type").find([("name", "=", "Sale")], limit=1)[0]
    sequence = Model.get("ir.sequence")(
        name=f"Sale {company.party.code}", sequence_type=sequence_type, company=company, prefix=f"{company.party.code}-", padding=6
    )
    sequence.save()
    configuration = Model.get("sale.configuration")(1)
    configuration.sale_sequence = sequence
    configuration.sale_invoice_method = "manual"
    configuration.save()


def open_collections(company, currencies) -> None:
    """Where billing's payments are booked: an account, and a statement journal of that name and currency for every currency."""
    account_model = Model.get("account.account")
    cash = get_accounts(company)["cash"]
    account = account_model(name=COLLECTIONS, code=COLLECTIONS_CODE, company=company, type=cash.type, parent=cash.parent)
    account.save()
    journal_model = Model.get("account.journal")
    journals = journal_model.find([("type", "=", "statement")], limit=1)
    journal = journals[0] if journals else journal_model(name="Statement", code="STATEMENT", type="statement")
    journal.save()
    for currency in currencies.values():
        Model.get("account.statement.journal")(
            name=f"{COLLECTIONS} {currency.code}", journal=journal, company=company, currency=currency, account=account, validation="amount"
        ).save()


def add_dunning_procedure() -> None:
    """One procedure for both companies; a level that applies at once."""
    procedure = Model.get("account.dunning.procedure")(name=DUNNING_PROCEDURE)
    procedure.levels.new(overdue=dt.timedelta(0))
    procedure.save()


def add_product_category(proteus, companies):
    """The category that products book through, with its accounts in every company."""
    category = Model.get("product.category")(name=PRODUCT_CATEGORY, accounting=True)
    category.save()
    for company in companies:
        with proteus.set_context(company=company.id):
            accounts = get_accounts(company)
            category = Model.get("product.category")(category.id)
            category.account_revenue = accounts["revenue"]
            category.account_expense = accounts["expense"]
            category.save()
    return category


def add_payment_term(name: str, days: int) -> None:
    """Everything due some days after the invoice."""
    term = Model.get("account.invoice.payment_term")(name=name)
    line = term.lines.new(type="remainder")
    line.relativedeltas.new(days=days)
    term.save()


def add_integration_user(companies):
    """A user that sees every company, and its key for the REST interface."""
    user = Model.get("res.user")(name="Integration fabric", login=USER, password=secrets.token_urlsafe(24))
    group_model = Model.get("res.group")
    for group in group_model.find([("name", "in", GROUPS)]):
        user.groups.append(group_model(group.id))
    for company in companies:
        user.companies.append(type(company)(company.id))
    user.company_filter = "all"
    user.save()
    application = Model.get("res.user.application")(user=user, application="rest")
    application.save()
    return user, application.key


def forbid_doubled_references(database: str) -> None:
    """One sale, customer invoice and payment per reference and company: two creations in flight at once cannot both succeed."""
    with Transaction().start(database, 0) as transaction:
        cursor = transaction.connection.cursor()
        cursor.execute("CREATE UNIQUE INDEX sale_sale_reference_once ON sale_sale (company, reference) WHERE reference IS NOT NULL")
        cursor.execute(
            "CREATE UNIQUE INDEX account_invoice_reference_once ON account_invoice (company, reference, type)"
            " WHERE type = 'out' AND reference IS NOT NULL"
        )
        cursor.execute("CREATE UNIQUE INDEX account_statement_name_once ON account_statement (company, journal, name)")


if __name__ == "__main__":
    main(*sys.argv[1:])
