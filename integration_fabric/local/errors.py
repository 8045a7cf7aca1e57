"""What can foreseeably go wrong with local services, as one tree; the command line prints the one line and no traceback.

LocalError (a UsageProblem, exit code 2)
├── PortTaken          a port that a setting fixes is in use
├── JarDiffers         a jar is missing, or is not the pinned one
├── StateUnreadable    `.fabric/local.json` is no state of ours
└── NotStarted         (exit code 3)
    ├── NoKafka        neither jars nor Maven nor Docker
    ├── NoPostgres     it is not installed, or there is nobody to run it as
    ├── DownloadFailed Maven is there and could not fetch the jars
    ├── DiedEarly      the program ended, or never ran
    ├── NotReady       it runs and does not serve within its time
    └── Busy           somebody else has been at the same thing for too long
"""

from __future__ import annotations

from collections.abc import Sequence

from integration_fabric.messages.errors import UsageProblem


class LocalError(UsageProblem):
    """A local service cannot do what it was asked for.

    Args:
        what: What went wrong, without a full stop at its end.
        remedy: What to do about it, as a whole sentence.
        setting: The environment variable that it is about, if there is one.
        tried: What was tried, in order, each with why it did not serve.
    """

    code = "local"

    def __init__(self, what: str, *, remedy: str, setting: str | None = None, tried: Sequence[str] = ()) -> None:
        about = f" (setting {setting})" if setting else ""
        attempts = f"; tried: {'; '.join(tried)}" if tried else ""
        super().__init__(" ".join(f"{what}{about}{attempts}. {remedy}".split()))
        self.setting = setting
        self.tried = tuple(tried)
        self.remedy = remedy


class PortTaken(LocalError):
    """A port that a setting fixes is in use by somebody else."""

    code = "port-taken"


class JarDiffers(LocalError):
    """A jar is missing or has another SHA-256 than the pinned one: nothing of its folder is used."""

    code = "jar-differs"


class StateUnreadable(LocalError):
    """The state file is not what this program writes."""

    code = "local-state-unreadable"


class NotStarted(LocalError):
    """A local service does not run."""

    code = "local-not-started"
    exit_code = 3


class NoKafka(NotStarted):
    """There is no way to a Kafka on this machine."""

    code = "no-kafka"


class NoPostgres(NotStarted):
    """PostgreSQL cannot be started on this machine."""

    code = "no-postgres"


class DownloadFailed(NotStarted):
    """Maven could not bring the jars."""

    code = "download-failed"


class DiedEarly(NotStarted):
    """The program ended before it served, or could not be run at all."""

    code = "local-died-early"


class NotReady(NotStarted):
    """The program runs and does not serve within its time."""

    code = "local-not-ready"


class Busy(NotStarted):
    """Another process holds what only one may hold."""

    code = "local-busy"
