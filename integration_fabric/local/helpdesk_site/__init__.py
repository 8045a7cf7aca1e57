"""A django-helpdesk of this machine: settings, addresses, seed, and the one thing that we add to it, `views`.

Run by the Python of a virtual environment of its own, from a copy (`integration_fabric.local.helpdesk`); it imports nothing of the fabric,
and the fabric imports nothing from here. It is told one thing, by its environment: HELPDESK_HOME, the folder of its data.
"""
