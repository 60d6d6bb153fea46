"""A server made of h2 for tests, that keeps what it is sent and answers or misbehaves as a test says."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings

from tests.waiting import PATIENCE


@dataclass
class Request:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Peer:
    """One connection from the server's side; a script reads and writes it in a thread of its own."""

    def __init__(self, connected: socket.socket, settings: Mapping[SettingCodes, int] | None = None) -> None:
        self.socket = connected
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests: dict[int, Request] = {}
        self.events: list[Event] = []
        self.grant = True
        """Whether room is given for what was received."""
        self._settings = settings or {}

    def greet(self) -> None:
        """Send the settings, which count from the beginning."""
        self.h2.local_settings = Settings(client=False, initial_values={**self._settings})
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.decoder.max_allowed_table_size = self.h2.local_settings.header_table_size
        self.h2.initiate_connection()
        self.write()

    def write(self, raw: bytes = b"") -> None:
        """Send what h2 has to say, then bytes as they are."""
        self.socket.sendall(self.h2.data_to_send() + raw)

    def read(self) -> list[Event]:
        """What the client did next. Raises EOFError at the end of the connection."""
        received = self.socket.recv(65_536)
        if not received:
            raise EOFError
        events = self.h2.receive_data(received)
        for event in events:
            self._take(event)
        self.events += events
        self.write()
        return events

    def until(self, condition: Callable[["Peer"], object]) -> None:
        """Read until something holds."""
        while not condition(self):
            self.read()

    def request(self, *, whole: bool = True) -> int:
        """Read until there is a request that was not given yet; its stream."""
        number = 1 + 2 * getattr(self, "_given", 0)
        self._given = (number + 1) // 2
        self.until(lambda peer: number in peer.requests and (peer.requests[number].ended or not whole))
        return number

    def answer(self, stream: int, status: int = 0, **trailers: str) -> None:
        """Answer as gRPC servers do."""
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self.h2.send_data(stream, b"\0\0\0\0\0")
        fields = {"grpc-status": str(status), **{name.replace("_", "-"): value for name, value in trailers.items()}}
        self.h2.send_headers(stream, list(fields.items()), end_stream=True)
        self.write()

    def serve(self) -> None:
        """Answer every request with OK until the client leaves."""
        while True:
            self.answer(self.request())

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                assert event.headers is not None
                headers = {str(name): str(value) for name, value in event.headers}
                self.requests[event.stream_id] = Request(headers)
            case DataReceived():
                self.requests[event.stream_id].body += event.data
                if self.grant and event.flow_controlled_length:
                    with suppress(StreamClosedError):  # reset since
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.requests[event.stream_id].ended = True


Script = Callable[[Peer], object]


class Peers:
    """A listening socket; each connection is played by the next script, the last one again and again."""

    def __init__(
        self,
        *scripts: Script,
        settings: Mapping[SettingCodes, int] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.connections: list[Peer] = []
        self.failures: list[BaseException] = []
        self._scripts = scripts
        self._settings = settings
        self._context = context
        self._threads: list[threading.Thread] = []
        self._ending = False

    @contextmanager
    def listen(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
        """Serve on a port of a loopback address; 0 lets the system choose.

        At the end every connection is over, and no script has failed.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as server:
            acceptor = threading.Thread(target=self._accept, args=(server,))
            acceptor.start()
            try:
                yield server.getsockname()[1]
            finally:
                self._ending = True
                server.shutdown(socket.SHUT_RDWR)
                acceptor.join()
                for thread in self._threads:
                    thread.join()
        if self.failures:
            raise self.failures[0]

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connected, _ = server.accept()
            except OSError:
                assert self._ending
                return
            connected.settimeout(PATIENCE)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what was written has left
            script = self._scripts[min(len(self._threads), len(self._scripts) - 1)]
            thread = threading.Thread(target=self._play, args=(connected, script))
            self._threads.append(thread)
            thread.start()

    def _play(self, connected: socket.socket, script: Script) -> None:
        with connected:
            try:
                if self._context is not None:
                    connected = self._context.wrap_socket(connected, server_side=True)
                peer = Peer(connected, self._settings)
                self.connections.append(peer)
                script(peer)
            except (EOFError, OSError):
                pass  # the client has left
            except BaseException as error:  # noqa: BLE001 - told to the test
                self.failures.append(error)
            finally:
                connected.close()


def greeted(script: Script) -> Script:
    """A script for a connection that begins as it should."""

    def play(peer: Peer) -> None:
        peer.greet()
        script(peer)

    return play
