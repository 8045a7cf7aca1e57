# mypy: ignore-errors
# Because it runs in django-helpdesk's own virtual environment.
"""django-helpdesk's addresses, and ours below `fabric/`."""

from django.db.transaction import non_atomic_requests
from django.urls import include, path
from helpdesk_site.views import Queues, TicketsById

# Reading needs no transaction, and with SQLite one would wait for whoever writes.
urlpatterns = [
    path("fabric/tickets/", non_atomic_requests(TicketsById.as_view({"get": "list"}))),
    path("fabric/tickets/<int:pk>/", TicketsById.as_view({"patch": "partial_update"}, detail=True)),
    path("fabric/queues/", non_atomic_requests(Queues.as_view({"get": "list"}))),
    path("", include("helpdesk.urls", namespace="helpdesk")),
]
