"""The processes of a worker, as Linux shows them: its guardian, its pool."""

from __future__ import annotations

from pathlib import Path

from support.clean import wait_until


def field(pid: int, place: int) -> str:
    """Return a field of a process's line in /proc, counted after its name; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[place]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs, or at least has not ended."""
    return field(pid, 0) not in ("", "Z", "X")


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted(child for child in found if field(child, 1) == str(pid))


def command_of(pid: int) -> str:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def guardians(pid: int) -> list[int]:
    """Return the living guardians that a process has started."""
    return [child for child in children(pid) if "engine.guardian" in command_of(child) and alive(child)]


def guardian_of(pid: int, but: int = 0) -> int:
    """Wait until a process has one guardian, another than a given one, and return it."""
    wait_until(lambda: [one for one in guardians(pid) if one != but], f"{pid} has a guardian")
    (found,) = guardians(pid)
    return found


def open_files(pid: int) -> list[str]:
    """Return what a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue  # closed just now
    return sorted(found)


def folders(pid: int, place: str) -> list[str]:
    """Return the folders of flight files that a worker has made."""
    return [found.name for found in Path(place).glob(f"backyard-{pid}-*")]
