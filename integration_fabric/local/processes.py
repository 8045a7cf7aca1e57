"""Programs that outlive the command that starts them: start, wait until they serve, know them again, stop.

For Kafka, Tryton, simulators, workers; on Linux and macOS. Nothing here keeps
a list: whoever starts a program notes it with `state.record`.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TypedDict, assert_never

from integration_fabric.local.errors import DiedEarly, NotReady

PAUSE_S = 0.05

# It takes microseconds; on an overloaded machine the new program may not get to run for a while.
BIRTH_S = 5.0

LAST_LINES = 5
LAST_BYTES = 16_384
PROC = Path("/proc")

# The one locale that macOS always has and in which `ps` escapes no letter; fixed, so that a start time is always written the same way.
PS_LOCALE = {"LC_ALL": "en_US.UTF-8", "PATH": "/bin:/usr/bin"}


@dataclass(frozen=True, slots=True)
class Process:
    """One run of a program.

    Attributes:
        pid: Its process id, which the system gives to another program some time after its end.
        birthmark: What that other program will not have; see `birthmark`.
    """

    pid: int
    birthmark: str


def log_path(state_dir: Path, name: str) -> Path:
    """Where the output of the program `name` goes."""
    return state_dir / "logs" / f"{name}.log"


def start(
    name: str,
    command: Sequence[str],
    *,
    state_dir: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Process:
    """Start a program in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it.

    Its output goes to `log_path(state_dir, name)`; that of the run before is kept beside it as `<name>.previous.log`.

    Args:
        name: The service's name.
        command: The program and its arguments. The last one should tell it from its like, e.g. the path of a configuration file.
        state_dir: The checkout's state folder.
        cwd: Where it runs; by default here.
        environment: Its whole environment (`settings.environment` adds to ours); by default ours.
        user: Whose process it becomes, with that user's own groups; by default ours. Only root may name another.

    Raises:
        DiedEarly: It cannot be run.
    """
    log = log_path(state_dir, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        log.replace(log.with_name(f"{name}.previous.log"))
    with log.open("ab") as output:
        try:
            child = _Detached(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
                env=environment,
                **identity(user),
            )
        except OSError as error:
            raise DiedEarly(f"{name} cannot be run: {command[0]}: {error.strerror}", remedy="Install it, or correct its path.") from None
    return Process(child.pid, _birthmark_of_new(child.pid))


class Identity(TypedDict, total=False):
    """What `subprocess` is told to run a program as another user."""

    user: int
    group: int
    extra_groups: Sequence[int]


def identity(user: str | None) -> Identity:
    """Of a user by name, or nothing for None: the program stays ours."""
    if user is None:
        return Identity()
    entry = pwd.getpwnam(user)
    return Identity(user=entry.pw_uid, group=entry.pw_gid, extra_groups=os.getgrouplist(user, entry.pw_gid))


class _Detached(subprocess.Popen[bytes]):
    """A child that may outlive us: not warned of when this object goes, and reaped by `_reap` if it ends before us."""

    def __del__(self) -> None:
        """Nothing; the inherited one warns that the child still runs."""


class Wait(Enum):
    """How a wait for a program to serve ends."""

    READY = "it serves"
    ENDED = "it has ended"
    LATE = "it runs and does not serve"


def wait(ready: Callable[[], bool], *, alive: Callable[[], bool], within: timedelta) -> Wait:
    """Wait until a program serves, notices its early death, and gives up after `within`.

    Args:
        ready: Asked about twenty times a second; it answers within a second or so and does not raise.
        alive: Whether the program runs.
        within: How long to wait.
    """
    deadline = time.monotonic() + within.total_seconds()
    while True:
        answered = ready()
        # In this order: another program may answer in the place of ours, which died because of it.
        if not alive():
            return Wait.ENDED
        if answered:
            return Wait.READY
        if time.monotonic() > deadline:
            return Wait.LATE
        time.sleep(PAUSE_S)


def await_ready(process: Process, ready: Callable[[], bool], *, within: timedelta, log: Path) -> None:
    """Return once a process serves.

    Args:
        process: The process.
        ready: Whether it serves, as `wait` takes it.
        within: How long to wait.
        log: The program's log; its last lines stand in the error, and its name is the program's.

    Raises:
        DiedEarly: The process has ended.
        NotReady: It is alive and not ready after `within`. It still runs: the caller stops it or waits longer.
    """
    demand_ready(wait(ready, alive=lambda: is_alive(process), within=within), name=log.stem, words=lambda: last_words(log), log=str(log))


def demand_ready(ending: Wait, *, name: str, words: Callable[[], str], log: str) -> None:
    """Raise what a wait that did not end well means.

    Args:
        ending: How it ended.
        name: The program's name.
        words: Asked for its last words.
        log: Where people find more of them.
    """
    match ending:
        case Wait.READY:
            return
        case Wait.ENDED:
            raise DiedEarly(f"{name} ended before it served; its last words: {words()}", remedy=f"See {log}.")
        case Wait.LATE:
            raise NotReady(
                f"{name} runs and does not serve yet; its last words: {words()}",
                remedy=f"See {log}; is the machine too busy, or short of memory?",
            )
        case _:
            assert_never(ending)


def stop(process: Process, *, within: timedelta, by: signal.Signals = signal.SIGTERM) -> bool:
    """End a process: politely, and after `within` by force, with its whole group.

    Args:
        process: The process.
        within: How long it may take.
        by: The polite signal.

    Returns:
        Whether it was alive.
    """
    if not is_alive(process):
        return False
    with suppress(ProcessLookupError):
        os.kill(process.pid, by)
    if not _gone(process, within):
        _kill(process)
        _gone(process, within)
    return True


def is_alive(process: Process) -> bool:
    """Whether this very run of the program goes on: not ended, and its pid not another program's by now."""
    _reap(process.pid)
    # One that is just ending has lost its command line, and still holds its ports and locks for some milliseconds.
    ending = f"{process.birthmark.rpartition(' ')[0]} "
    return birthmark(process.pid) in {process.birthmark, ending}


def birthmark(pid: int) -> str | None:
    """What tells a process from a later one of the same pid: its start time, and the last word of its command line.

    The last word, as launchers that put themselves before a program (a virtual environment's Python on macOS) keep the tail. A program
    that rewrites its own command line after its start is not known again.

    Returns:
        None if there is no such process, or it has ended and only waits for its parent to take notice.
    """
    return _from_proc(pid) if PROC.joinpath("self", "stat").exists() else _from_ps(pid)


def last_words(log: Path) -> str:
    """The last lines of a log, condensed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return condensed(file.read())
    except FileNotFoundError:
        return condensed(b"")


def condensed(output: bytes) -> str:
    """The last lines of a program's output in one line, without the indented ones (the frames of a stack trace)."""
    lines = output.decode(errors="replace").splitlines()
    said = [line.rstrip() for line in lines if line.strip() and not line[0].isspace()]
    return " | ".join(said[-LAST_LINES:]) or "none"


def _birthmark_of_new(pid: int) -> str:
    """Of a program that was started just now: the system shows its command line a moment after it has begun."""
    deadline = time.monotonic() + BIRTH_S
    while (mark := birthmark(pid) or "").endswith(" ") and time.monotonic() < deadline:
        time.sleep(0.001)
    return mark


def _from_proc(pid: int) -> str | None:
    """Linux: fields 3, 20 and 22 of /proc/<pid>/stat; the start is in ticks of 10 ms since the machine's own; proc_pid_stat(5)."""
    try:
        # The second field, the program's name in brackets, may itself hold spaces and brackets.
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, threads, started = fields[0], int(fields[17]), fields[19]
    # Of a program with threads the first is soon a zombie, and the last one to end closes its ports.
    return None if state in "ZX" and threads <= 1 else f"{started} {_last(words)}"


def _from_ps(pid: int) -> str | None:
    """Elsewhere: `ps`, to the second. In place of a lost command line it writes the program's name in brackets."""
    answer = subprocess.run(
        ["ps", "-ww", "-o", "stat=,lstart=,command=", "-p", str(pid)], capture_output=True, check=False, env=PS_LOCALE
    ).stdout.decode(errors="replace")
    state, *words = answer.split() or ["Z"]
    started, command = " ".join(words[:5]), words[5:]
    lost = len(command) == 1 and command[0][0] in "(["
    return None if state.startswith("Z") else f"{started} {'' if lost else _last(command)}"


def _last(words: Sequence[str]) -> str:
    return next((word for word in reversed(words) if word), "")


def _reap(pid: int) -> None:
    """Take notice of a child's end; without that its pid stays, as a zombie's, for as long as we live."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _gone(process: Process, within: timedelta) -> bool:
    deadline = time.monotonic() + within.total_seconds()
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
