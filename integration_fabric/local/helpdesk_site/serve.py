# mypy: ignore-errors
# Because it runs in django-helpdesk's own virtual environment.
"""Serves django-helpdesk with waitress, on the loopback address.

    python -m helpdesk_site.serve <port> <home>

The home, a folder, is HELPDESK_HOME; it comes last, so that one server's command line is told from another's.
"""

import os
import sys

import waitress
from django.core.wsgi import get_wsgi_application

# One of them writes at a time; the others read, or wait for it.
THREADS = 4


def main(port: str, home: str) -> None:
    """Serve until the process is ended."""
    os.environ["HELPDESK_HOME"] = home
    os.environ["DJANGO_SETTINGS_MODULE"] = "helpdesk_site.settings"
    waitress.serve(get_wsgi_application(), host="127.0.0.1", port=int(port), threads=THREADS)


if __name__ == "__main__":
    main(*sys.argv[1:])
