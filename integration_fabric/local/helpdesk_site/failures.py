# mypy: ignore-errors
# Because it runs in django-helpdesk's own virtual environment.
# ruff: noqa: ANN001, ANN201 -- Django's types are not in ours
"""Two answers that are 500 otherwise: an external id that another ticket has is 409, and a database that stays locked is 503."""

import threading

from django.db import IntegrityError, OperationalError
from django.http import JsonResponse
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

# As SQLite says which index refused a row; `seed.keep_external_ids_unique` makes it, and no other unique index is on this column alone.
_TAKEN = "UNIQUE constraint failed: helpdesk_ticketcustomfieldvalue.value"
_LOCKED = "database is locked"


def handle(error, context):
    """REST framework's handler, and 409 for a value of the external id that is taken; the ticket is not made then, nor changed."""
    if isinstance(error, IntegrityError) and str(error) == _TAKEN:
        set_rollback()
        return Response({"custom_external_id": ["A ticket with this external id exists."]}, status=status.HTTP_409_CONFLICT)
    return exception_handler(error, context)


class OneWriter:
    """Middleware: requests that write wait for each other here, in turn. SQLite's own waiting is by chance, and some wait for ever.

    One that did not get the lock of the database, which another process holds, did nothing, and may come again.
    """

    def __init__(self, get_response) -> None:
        self._get_response, self._turn = get_response, threading.Lock()

    def __call__(self, request):  # noqa: ANN204
        """Answer one request."""
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return self._get_response(request)
        with self._turn:
            return self._get_response(request)

    def process_exception(self, _request, error):
        """Django calls this with what a view raised, its transaction already rolled back."""
        if isinstance(error, OperationalError) and str(error) == _LOCKED:
            return JsonResponse({"detail": _LOCKED}, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": "1"})
        return None
