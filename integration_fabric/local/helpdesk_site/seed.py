# mypy: ignore-errors
# Because it runs in django-helpdesk's own virtual environment.
# ruff: noqa: PLC0415, T201 -- models can be imported once Django is set up; standard output is how the facts leave this process
"""Makes the database in HELPDESK_HOME with what every test starts from, and prints the facts of it as JSON on standard output.

python -m helpdesk_site.seed
"""

import json
import os

import django
from django.core.management import call_command
from django.db import connection

QUEUE = {"title": "Entitlements", "slug": "entitlements"}
# Name, label, data type, characters or digits.
FIELDS = (
    ("external_id", "External id", "varchar", 255),
    ("contract", "Contract", "varchar", 255),
    ("order", "Order", "varchar", 255),
    ("customer", "Customer", "varchar", 255),
    ("product", "Product", "varchar", 255),
    ("level", "Support level", "varchar", 100),
    ("quantity", "Quantity", "decimal", 28),
    ("starts_on", "First day", "date", None),
    ("ends_on", "Last day", "date", None),
)
DECIMAL_PLACES = 6
USER = "integration-fabric"


def main() -> None:
    """Tables, queue, custom fields, and a user with its token."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "helpdesk_site.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    from helpdesk.models import CustomField, Queue

    Queue.objects.create(**QUEUE)
    for number, (name, label, data_type, length) in enumerate(FIELDS):
        # None is required: other queues have tickets too.
        CustomField.objects.create(
            name=name,
            label=label,
            data_type=data_type,
            max_length=length,
            decimal_places=DECIMAL_PLACES if data_type == "decimal" else None,
            ordering=number,
            required=False,
            staff_only=True,
        )
    keep_external_ids_unique(CustomField.objects.get(name="external_id").pk)
    print(json.dumps({"key": add_integration_user()}))


def keep_external_ids_unique(field: int) -> None:
    """One ticket for each external id, kept by the database: two creations in flight at once cannot both succeed. People leave it empty."""
    table = "helpdesk_ticketcustomfieldvalue"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE UNIQUE INDEX external_id_once ON {table} (value) WHERE field_id = {int(field)} AND value <> ''")
        cursor.execute(f"CREATE INDEX found_by_value ON {table} (field_id, value)")


def add_integration_user() -> str:
    """Staff, so that the interface lets it in; it cannot sign in with a password, and does not administer the server."""
    from django.contrib.auth import get_user_model
    from rest_framework.authtoken.models import Token

    user = get_user_model().objects.create_user(USER, is_staff=True)
    return Token.objects.create(user=user).key


if __name__ == "__main__":
    main()
