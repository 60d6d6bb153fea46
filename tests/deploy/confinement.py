"""Runs a program as the agent's container does: as root with a few capabilities, on a read-only root file system.

    ... -m tests.deploy.confinement PID

prints, as JSON, what a process with these capabilities reaches of another one.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from agent.conntrack.ctnetlink import CtnetlinkError
from agent.conntrack.namespaces import open_in_namespace
from agent.conntrack.watcher import dump, open_sockets
from agent.discovery.procfs import ProcHost
from agent.kernel.privileges import CAPABILITIES

# Everything that is mounted goes read-only, and then there are the volumes of the container: $1 is what may be written.
_MOUNTS = """
set -e
[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
mount --bind / / && mount -o remount,bind,ro /
mount -t tmpfs tmpfs /tmp
mkdir -p "$1" && mount --bind "$2" "$1" && mount -o remount,bind,rw "$1"
shift 2
exec "$@"
"""


def confined(command: list[str], names: Iterable[str], objects: Path) -> list[str]:
    """The command with these capabilities and no others; `objects` is where compiled programs are kept."""
    bounds = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])
    limits = [
        "setpriv",
        f"--bounding-set={bounds}",
        "--inh-caps=-all",
        "--no-new-privs",
        "env",
        f"PYROVER_OBJECTS={objects}",
    ]
    unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c", _MOUNTS, "sh"]
    return [*unshare, str(objects), str(objects), *limits, *command]


def names_without(*missing: str) -> list[str]:
    """Of all that the agent uses, but for some."""
    return [capability.name for capability in CAPABILITIES if capability.name not in missing]


def reached(pid: int) -> dict[str, bool]:
    """What is reached of a process of another user in another network namespace."""
    host = ProcHost()
    facts = host.process(pid)
    namespace = f"/proc/{pid}/ns/net"
    found = {
        "executable": bool(facts and facts.executable),
        "descriptors": bool(host.socket_descriptors(pid)),
    }
    try:
        events, requests = open_sockets()
        with events, requests:
            list(dump(requests))
        found["conntrack"] = True
    except (OSError, CtnetlinkError):
        found["conntrack"] = False
    try:
        os.close(open_in_namespace(namespace, Path(namespace).stat().st_ino, lambda: os.open("/", os.O_RDONLY)))
        found["namespace"] = True
    except OSError:
        found["namespace"] = False
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(reached(int(sys.argv[1]))))
