"""tinyproxy in a folder of its own, and what its log says it was asked for."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.http.account import Expected
from tests.e2e.http.server import Server, wait_until
from tests.e2e.http.tools import tool
from tests.e2e.programs import finish, program
from tests.ports import free_ports

CONFIGURATION = """
User root
Listen 127.0.0.1
Port {port}
Allow 127.0.0.1
Timeout 600
MaxClients 100
LogFile "{log}"
LogLevel Connect
"""
ASKED = re.compile(r"Request \(file descriptor \d+\): (\S+) (\S+) HTTP/1\.1\n")
READY = "Initializing tinyproxy"


@contextmanager
def tinyproxy(folder: Path, tunnels_to: Sequence[int]) -> Iterator[Server]:
    """A proxy that makes tunnels to these ports alone."""
    binary = tool("tinyproxy")
    folder.mkdir()
    log, configuration = folder / "log", folder / "configuration"
    (port,) = free_ports(1)  # it takes no socket, and does not tell a port that it chose
    allowed = "".join(f"ConnectPort {number}\n" for number in tunnels_to)
    configuration.write_text(CONFIGURATION.format(port=port, log=log) + allowed)
    with program([binary, "-d", "-c", configuration]) as process:
        wait_until(lambda: log.exists() and READY in log.read_text(), log)
        wait_until(lambda: is_listening(port), log)
        yield Server(port, log, process, read=read_log)
        finish(process)


def is_listening(port: int) -> bool:
    """Whether somebody does, looked up without a connection, which would be one of those that are watched."""
    entry = f"0100007F:{port:04X} 00000000:0000 0A"
    return entry in Path("/proc/net/tcp").read_text()


def read_log(text: str) -> list[Expected]:
    """What it was asked for, by tunnels: the authority of each, or by whole targets."""
    return [
        Expected(method=method, path=re.sub(r"^http://[^/]+", "", target).partition("?")[0], version=1)
        for method, target in ASKED.findall(text)
    ]
