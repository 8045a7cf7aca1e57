"""django-helpdesk as support: entitlements as tickets of a queue of their own."""
