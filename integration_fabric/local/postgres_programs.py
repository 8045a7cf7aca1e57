"""PostgreSQL's programs on this machine, as whom they run, and where their data may be. Called by `postgres` alone.

`initdb` and the server refuse to run as root. As root they are run as the user `postgres`, which the package makes, on a folder that this
user can get to: what lies below `/root` or in somebody's private folder under `/tmp` is closed to it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from integration_fabric.local.errors import NoPostgres
from integration_fabric.local.processes import identity

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian and its like keep each major version, none of it on the PATH."""
OTHERS = ("/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")
USER = "postgres"
SHARED = "integration-fabric"
"""In the home of `USER`: the data of every checkout that has none in its own folder."""
OLDEST = 13
"""Before it nothing keeps two servers off one data folder once the lock file is gone."""
ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class Programs:
    """One installed major version."""

    major: int
    folder: Path

    def path(self, name: str) -> str:
        """Of one program."""
        return str(self.folder / name)


def find(major: int | None = None) -> Programs:
    """The newest version, or the one that a data folder needs.

    Raises:
        NoPostgres: It is not installed.
    """
    found = {programs.major: programs for folder in _folders() if (programs := _programs(folder)) and programs.major >= OLDEST}
    if found and major is None:
        return found[max(found)]
    if major in found:
        return found[major]
    there = ", ".join(str(known) for known in sorted(found)) or "none"
    raise NoPostgres(
        f"PostgreSQL {major} is not installed, and the local data was made by it" if major else "PostgreSQL is not installed",
        tried=[f"{DEBIAN}/*/bin", *OTHERS, f"`postgres` on the PATH (versions found: {there})"],
        remedy=f"Install it, e.g. `apt-get install postgresql{f'-{major}' if major else ''}`"
        + ("; or begin anew with `fabric up --fresh`." if major else "; or use the store on SQLite."),
    )


def run_as() -> str | None:
    """As whom the programs run: ourselves (None), but never root.

    Raises:
        NoPostgres: We are root, and there is no user to become.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise NoPostgres(
            f"PostgreSQL does not run as root, and there is no user `{USER}` to run it as",
            remedy=f"`useradd --system {USER}`, install Debian's package, which makes it, or run this as another user.",
        ) from None
    return USER


def home(state_dir: Path, user: str | None) -> Path:
    """The folder for the data: in the checkout's state folder, or, where `user` cannot get there, in that user's own home.

    Raises:
        NoPostgres: The user can get to neither.
    """
    ours = state_dir / "postgres"
    state_dir.mkdir(parents=True, exist_ok=True)
    if user is None or _may_enter(state_dir, user):
        return ours
    its = Path(pwd.getpwnam(user).pw_dir)
    if its.is_absolute() and its != Path("/") and its.is_dir() and _may_enter(its, user):
        key = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:12]
        return its / SHARED / key
    raise NoPostgres(
        f"the user `{user}`, as whom PostgreSQL must run, may not enter {state_dir}, nor its own home {its}",
        setting="FABRIC_LOCAL_STATE_DIR",
        remedy="Name a folder that every user may pass through, e.g. one below /var/lib.",
    )


def make(folder: Path, user: str | None) -> None:
    """Make a folder that belongs to whom the programs run as, and is closed to everybody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        if folder.parent.name == SHARED:
            folder.parent.chmod(0o711)  # whatever our umask is, its owner must get through
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _may_enter(folder: Path, user: str) -> bool:
    """Asked of the system, which alone knows every rule about it."""
    command = ["/bin/sh", "-c", 'test -x "$0"', str(folder)]
    return subprocess.run(command, cwd="/", check=False, timeout=ASK_S, **identity(user)).returncode == 0


def _folders() -> Iterator[Path]:
    yield from DEBIAN.glob("*/bin")
    for pattern in OTHERS:
        yield from Path("/").glob(pattern.removeprefix("/"))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _programs(folder: Path) -> Programs | None:
    """What a folder holds; None where a program is missing or does not run."""
    if not all((folder / name).exists() for name in ("postgres", "initdb")):
        return None
    try:
        done = subprocess.run([str(folder / "postgres"), "--version"], cwd="/", capture_output=True, check=False, timeout=ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = re.search(rb"\(PostgreSQL\) (\d+)", done.stdout)
    return Programs(int(said[1]), folder) if said else None
