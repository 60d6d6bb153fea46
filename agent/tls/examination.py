"""Whether all programs and libraries in use are on file systems that answer, for `doctor`. None of them is touched."""

from collections import defaultdict
from dataclasses import dataclass

from agent.tls.file_systems import FileSystems
from agent.tls.mappings import mapped_files, processes


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A file system that may not answer, and has files that are run."""

    name: str
    """Where it is mounted, of which kind, and out of what."""
    processes: int
    """That have such files mapped now."""


def examine_file_systems(root: str = "/proc") -> list[Doubtful]:
    """Those that may not answer, the one that most processes use first; of processes that may be looked at.

    Args:
        root: Where /proc is.
    """
    file_systems = FileSystems(root)
    users: defaultdict[str, set[int]] = defaultdict(set)
    for process in processes(root):
        for device in {mapped.device for mapped in mapped_files(root, process)}:
            if file_systems.may_hang(device, process):
                users[_name(file_systems, device, process)].add(process)
    found = [Doubtful(name, len(by)) for name, by in users.items()]
    return sorted(found, key=lambda one: (-one.processes, one.name))


def _name(file_systems: FileSystems, device: str, process: int) -> str:
    mount = file_systems.mount(device, process)
    if mount is None:
        return f"device {device}, mounted where this process cannot see it"
    return f"{mount.place} ({mount.kind}, {mount.source or 'no source'})"
