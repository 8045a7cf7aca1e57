# mypy: ignore-errors
# Because it runs in django-helpdesk's own virtual environment.
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, D106 -- Django's types are not in ours, and its views are configured by class attributes
"""What we add to django-helpdesk: tickets found by their external id or their contract, by an index.

The interface that comes with it ignores filters on custom fields, and reads every ticket, field by field, for each GET and PATCH of one:
three seconds with 500 tickets of nine fields. So a program cannot ask whether a ticket is there before it makes one. What is here is the
stock view with a narrower query; it makes nothing. Tickets are made by the stock interface, and `failures` makes it say 409 where the
database refuses a second ticket of one external id (`seed.keep_external_ids_unique`); a plain django-helpdesk would take it.

    GET   /fabric/tickets/?external_id=E-1&external_id=E-2     tickets that have one of these values; likewise `contract`; 100 a page
    PATCH /fabric/tickets/7/                                   as the stock interface, and a custom field may be emptied by null
    GET   /fabric/queues/?slug=entitlements                    queues: the stock interface wants their numbers and does not tell them
"""

from helpdesk.models import CustomField, Queue, TicketCustomFieldValue
from helpdesk.serializers import TicketSerializer
from helpdesk.user import HelpdeskUser
from helpdesk.views.api import TicketViewSet
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAdminUser
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

# The custom fields that tickets are found by.
FOUND_BY = ("external_id", "contract")


class RecordSerializer(TicketSerializer):
    """A ticket without its follow-ups, with its time."""

    class Meta(TicketSerializer.Meta):
        # The stock view narrows `queue` and `merged_to`, so both must be here.
        fields = ("id", "queue", "title", "status", "merged_to", "modified")
        read_only_fields = ("modified",)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.allow_null = field.allow_null or name.startswith("custom_")

    def to_representation(self, ticket):
        """With all values of its custom fields at once; the stock way is a query for each."""
        for value in ticket.ticketcustomfieldvalue_set.all():
            setattr(ticket, f"custom_{value.field.name}", value.value)
        return super().to_representation(ticket)


class Pages(PageNumberPagination):
    """A hundred a page."""

    page_size = 100


class TicketsById(TicketViewSet):
    """Tickets by external id or contract."""

    serializer_class = RecordSerializer
    pagination_class = Pages

    def get_queryset(self):
        """What the user may see; of a list, what was asked for."""
        tickets = HelpdeskUser(self.request.user).accessible_tickets().prefetch_related("ticketcustomfieldvalue_set__field")
        return tickets.order_by("id") if self.detail else self._asked_for(tickets).order_by("id")

    def get_object(self):
        """Without the stock view's reading of every field."""
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])

    def _asked_for(self, tickets):
        # An empty value would find everything that people wrote.
        asked = {name: [value for value in self.request.query_params.getlist(name) if value] for name in FOUND_BY}
        if not any(asked.values()):
            raise ValidationError({"detail": f"say at least one value of {' or '.join(FOUND_BY)}"})
        for name, values in asked.items():
            if values:
                field = get_object_or_404(CustomField, name=name)
                tickets = tickets.filter(pk__in=TicketCustomFieldValue.objects.filter(field=field, value__in=values).values("ticket_id"))
        return tickets


class QueueSerializer(ModelSerializer):
    """A queue's number and names."""

    class Meta:
        model = Queue
        fields = ("id", "slug", "title")


class Queues(ReadOnlyModelViewSet):
    """Queues by their slug."""

    serializer_class = QueueSerializer
    pagination_class = Pages
    permission_classes = (IsAdminUser,)

    def get_queryset(self):
        """Those that the user may see."""
        return HelpdeskUser(self.request.user).get_queues().filter(slug__in=self.request.query_params.getlist("slug")).order_by("id")
