"""Sockets bound, an application served on them, and a clean end."""

import asyncio
import errno
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h2corn
from h2corn import _lib

from backend.server.asgi import Application
from backend.server.crowding import Crowding
from backend.server.settings import Tls
from backend.server.tls import options

STREAMS_PER_CONNECTION = 1_024
STREAM_WINDOW = 1024 * 1024
CONNECTION_WINDOW = 4 * 1024 * 1024
"""Bytes a client may have under way, per stream and per connection, before the application reads them."""
CONNECTIONS = 4_096
"""Most connections to the ports that are served together; fewer where a process may have few open files."""
SERVED = 3
"""Most applications that are served at a time, each on ports of its own."""
FILES = 256
"""Open files that are left for everything but connections."""
HEAD = 65_536
"""Most bytes of the headers of a request."""

# The server would announce itself with options of its own command line, which our users do not have. It has no setting
# for that, and `pyrover-backend serve` says where it listens.
setattr(_lib, "emit_banner", lambda *_: None)  # noqa: B010 - mypy knows a function there


class PortError(Exception):
    """A port cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket."""

    socket: socket.socket
    host: str
    port: int

    @property
    def authority(self) -> str:
        """HOST:PORT, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """Refuse new connections from now on, also where another descriptor of the socket is open."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def listen(host: str, port: int, option: str, *, shared: bool = False) -> Listener:
    """Bind a TCP port; port 0 lets the system choose one.

    Args:
        host: An address of this machine, or "" or "0.0.0.0" or "::" for all of them.
        port: The port.
        option: The command-line option that would choose another, for the error.
        shared: Whether other processes of the same user may listen on it too; the kernel spreads connections over them
            (SO_REUSEPORT, socket(7)).

    Raises:
        PortError: The port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=1_024, reuse_port=shared)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[
            0
        ]  # socket.create_server repeats itself
        raise PortError(f"cannot listen on {host}:{port}: {reason}. {_advice(error, option)}") from error
    return Listener(bound, host, bound.getsockname()[1])


def _advice(error: OSError, option: str) -> str:
    """What to do when a port cannot be had."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"Choose another port with {option}, or stop what is using this one ('ss -ltnp' shows it)"
        case errno.EACCES:
            return f"Choose a port from 1024 on with {option}, or allow this program lower ones (CAP_NET_BIND_SERVICE)"
        case _:
            return "Name an address of this machine ('ip address' shows them), or 0.0.0.0 or :: for all of them"


def allow_descriptors() -> None:
    """Let this process open as many files as it may, as each connection is one: the usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_connections() -> int:
    """How many connections there may be to the ports that are served together.

    Where all open files were connections, none would be left to make room with, nor for the store.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS
    return min(CONNECTIONS, max(1, (files - FILES) // SERVED))


class Serving:
    """An application that is served on sockets.

    Args:
        application: What answers.
        listeners: The sockets.
        grace: Seconds that open requests get to finish.
        tls: How they are encrypted.
    """

    def __init__(self, application: Application, listeners: Sequence[Listener], grace: float, tls: Tls) -> None:
        self._application = application
        self._config = h2corn.Config(
            bind=tuple(f"fd://{listener.socket.fileno()}" for listener in listeners),
            grpc=True,
            access_log=False,
            lifespan="off",
            max_concurrent_streams=STREAMS_PER_CONNECTION,
            limit_connections=most_connections(),
            limit_request_head_size=HEAD,
            h2_max_header_list_size=HEAD,
            h2_max_header_block_size=HEAD,
            h2_initial_stream_window_size=STREAM_WINDOW,
            h2_initial_connection_window_size=CONNECTION_WINDOW,
            timeout_graceful_shutdown=grace,
            **options(tls),
        )
        self._server: h2corn.Server | None = None
        self._running: asyncio.Future[None] | None = None
        self._before: asyncio.Future[None] | None = None
        """The server before this one, which ends."""

    async def start(self) -> None:
        """Serve. Raises what the server raises that cannot start."""
        server = h2corn.Server(self._application, self._config)
        running = asyncio.ensure_future(server.serve())
        started = asyncio.ensure_future(server.wait_started())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            started.cancel()
            await running
        self._server, self._running = server, running

    async def renew(self) -> None:
        """Serve new connections with the certificates that are there now.

        Those that there are end once their open requests have, within the grace, and their clients come back by new
        ones. No connection is refused meanwhile: both servers accept for a moment. Raises what `start` raises, and then
        everything stays.
        """
        await self._settle()  # so that there are two at most, and their bounds are kept
        server, running = self._server, self._running
        await self.start()
        self._before = running
        if server is not None:
            server.shutdown()

    def stop(self) -> None:
        """Give open requests their time, and cancel the rest. The sockets are closed by who has opened them."""
        if self._server is not None:
            self._server.shutdown()

    async def ended(self) -> None:
        """Wait for the end."""
        await self._settle()
        if self._running is not None:
            await self._running

    async def _settle(self) -> None:
        if self._before is not None:
            await self._before
            self._before = None


@asynccontextmanager
async def serving(
    application: Application,
    listeners: Sequence[Listener],
    grace: float,
    tls: Tls | None = None,
    ended: Counter[str] | None = None,
) -> AsyncIterator[Serving]:
    """Serve an application on sockets while the block runs.

    Leaving it stops accepting at once, gives open requests `grace` seconds to finish, and cancels the rest.

    Args:
        application: What answers.
        listeners: The sockets. Bounds, such as how many connections there may be, are of all of them together.
        grace: Seconds.
        tls: How they are encrypted; not at all by default.
        ended: Where connections that this ends are counted, by cause.
    """
    served = Serving(application, listeners, grace, tls or Tls())
    await served.start()
    ports = [listener.port for listener in listeners]
    crowding = Crowding(ports, most_connections(), Counter() if ended is None else ended)
    watching = asyncio.create_task(crowding.watch(), name="crowding")
    try:
        yield served
    finally:
        watching.cancel()
        served.stop()
        for listener in listeners:
            listener.close()
        await served.ended()
