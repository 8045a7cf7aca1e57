"""CPU time of running processes, with all their threads and children, from Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def snapshot(roots: Mapping[str, int]) -> Mapping[str, float]:
    """Seconds that each named process, with its descendants that have no name of their own, has used so far; empty without /proc.

    Args:
        roots: Pids by name. A child that has ended counts where its parent has waited for it.
    """
    if not (PROC / "self" / "stat").exists():
        return {}
    used: dict[int, float] = {}
    parent: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _fields(folder)):
            parent[int(folder.name)] = int(fields[1])
            used[int(folder.name)] = sum(int(fields[at]) for at in (11, 12, 13, 14)) / TICKS_PER_S
    names = {pid: name for name, pid in roots.items()}
    found = dict.fromkeys(roots, 0.0)
    for pid, spent in used.items():
        name = _named(pid, names, parent)
        if name is not None:
            found[name] += spent
    return found


def cores(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """How many cores each kept busy between two snapshots, the busiest first."""
    spent = {name: (after[name] - before[name]) / seconds for name in before if name in after}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _fields(folder: Path) -> list[str] | None:
    """From the third field of proc_pid_stat(5) on: the name before may hold spaces and brackets."""
    try:
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _named(pid: int, names: Mapping[int, str], parent: Mapping[int, int]) -> str | None:
    while pid and pid not in names:
        pid = parent.get(pid, 0)
    return names.get(pid)
