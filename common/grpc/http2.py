"""One HTTP/2 connection (RFC 9113) that carries one request at a time: h2 knows the protocol, a channel moves bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes, Settings
from hpack import HeaderTuple

from common.grpc.channel import Channel
from common.grpc.frames import FrameSplitter, NotHttp2
from common.grpc.patience import Patience

BURST = 262_144
"""Bytes that wait to be written before more frames are made; twice as much, and nothing is read until they are."""
LARGEST_FRAME = 65_536
"""Bytes of a DATA frame at most, where the server takes larger ones."""
HEADERS_SIZE = 32_768
"""Bytes of a server's headers at most."""
CLOSED_STREAMS = 1_024
"""Requests that are over and whose late frames are still known."""


class ConnectionLost(Exception):  # noqa: N818 - what the connection is
    """The connection is of no use any more; the message says why."""


@dataclass(slots=True)
class Response:
    """What came for a request."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    """Whether the server said that this is all."""
    reset: int | None = None
    """Error code with which the server ended it (RFC 9113, section 7), when it did not end well."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None


class _OpenAfterGoaway(H2ConnectionStateMachine):
    """GOAWAY ends no request that the server has taken on (RFC 9113, section 6.8), where h2 would end them all."""

    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        """As its base; GOAWAY changes nothing."""
        return [] if input_ is ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


class _Protocol(H2Connection):
    """The client's side of the protocol."""

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    def __init__(self) -> None:
        super().__init__(H2Configuration(client_side=True, header_encoding=False))
        self.state_machine = _OpenAfterGoaway()
        settings = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_SIZE}
        self.local_settings = Settings(client=True, initial_values=settings)
        self.decoder.max_header_list_size = HEADERS_SIZE

    def clear_outbound_data_buffer(self) -> None:
        """Keep what is to be sent when GOAWAY comes: it may acknowledge what came before."""


class _Pieces:
    """A body, of which any number of bytes can be taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")

    def current(self) -> memoryview | None:
        """What comes next, at least one byte; None at the end."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._piece = memoryview(piece)
        return self._piece

    def take(self, count: int) -> bool:
        """Go on behind `count` bytes. True when these were the last ones of the current piece."""
        self._piece = self._piece[count:]
        return not self._piece


class Http2Connection:
    """A connection that was just made.

    Args:
        channel: Its bytes.
        name: What it leads to, for messages.
    """

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self._name = name
        self._h2 = _Protocol()
        self._out = bytearray()
        self._frames = FrameSplitter()
        self._greeted = False
        self._lost = ""
        self._unwritable = ""
        self._farewell: ConnectionTerminated | None = None
        self._stream: int | None = None
        self._reset = False
        self._response = Response()

    def start(self, patience: Patience) -> None:
        """Exchange settings.

        Raises:
            ConnectionLost: what answers does not speak HTTP/2.
            Expired, Interrupted: as Patience.wait.
        """
        patience.doing = f"waiting for {self._name} to begin with HTTP/2"
        self._h2.initiate_connection()
        while not self._greeted:
            self._step(patience)

    def is_usable(self) -> bool:
        """Whether another request can be made. Reads what came while none was under way, without waiting."""
        try:
            while not self._lost and len(self._out) < BURST and self._receive():
                pass
            self._flush()
            self._h2.get_next_available_stream_id()
        except (ConnectionLost, NoAvailableStreamIDError):
            return False
        return not (self._lost or self._unwritable or self._farewell)

    def request(self, headers: Sequence[HeaderTuple], body: Iterable[bytes], patience: Patience) -> Response:
        """Send a request and take its response; one that comes early ends the sending.

        Each piece of the body is written as far as that goes before the next one is asked for.

        Raises:
            ConnectionLost: before there was a whole response.
            Expired, Interrupted: as Patience.wait; the server is told that nothing is wanted any more.
        """
        patience.doing = f"waiting for {self._name} to take one more request"
        response = self._response = Response()
        while self._h2.open_outbound_streams >= self._h2.remote_settings.max_concurrent_streams:
            self._step(patience)
        self._stream = stream = self._h2.get_next_available_stream_id()
        self._reset = False
        self._h2.send_headers(stream, headers)
        pieces, complete = _Pieces(body), False
        try:
            while not response.over:
                complete = complete or self._fill(stream, pieces)
                patience.doing = f"waiting for {self._name} to " + ("answer" if complete else "take the whole request")
                self._step_towards(response, patience)
        finally:
            self._stream = None
            if not (response.ended and complete) and not self._reset and not self._lost:
                self._h2.reset_stream(stream, ErrorCodes.CANCEL)
                self._flush()
        return response

    def close(self) -> None:
        """Say goodbye, as far as that goes without waiting."""
        if not self._lost:
            self._h2.close_connection()
            self._flush()
        self._channel.close()

    def _fill(self, stream: int, pieces: _Pieces) -> bool:
        """Make frames of the body, as far as windows and BURST allow. True when the body is complete."""
        while len(self._out) < BURST and not self._unwritable:
            piece = pieces.current()
            if piece is None:
                self._h2.end_stream(stream)
                return True
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, LARGEST_FRAME)
            if room <= 0:
                return False
            self._h2.send_data(stream, piece[:room])
            self._collect()
            if pieces.take(room):
                self._flush()
        return False

    def _step(self, patience: Patience) -> None:
        """Wait until something can be written or read, and do so."""
        self._collect()
        reading = self._channel.read_on if len(self._out) < 2 * BURST else 0
        writing = self._channel.write_on if self._out else 0
        ready = patience.wait(self._channel.fileno(), reading | writing)
        # Errors and hangups show when reading, behind what the server said before them.
        if ready & (reading | ~writing):
            self._receive()
            self._heed_farewell()
        if ready & writing:
            self._flush()

    def _step_towards(self, response: Response, patience: Patience) -> None:
        """As _step; what goes wrong behind the end of a response is the next request's trouble."""
        try:
            self._step(patience)
        except ConnectionLost:
            if not response.over:
                raise

    def _collect(self) -> None:
        """Take over what the protocol has to say."""
        made = self._h2.data_to_send()
        if not self._unwritable:
            self._out += made

    def _flush(self) -> None:
        """Write what waits, as far as that goes. A failure is told when reading: the server may have said why."""
        self._collect()
        while self._out:
            try:
                with memoryview(self._out) as waiting:
                    taken = self._channel.send(waiting)
            except OSError as error:
                self._unwritable = f"it closed the connection while it was written to: {error.strerror or error}"
                self._out.clear()
                return
            if not taken:
                return
            del self._out[:taken]

    def _receive(self) -> bool:
        """Read once and heed it; False when nothing has come."""
        try:
            received = self._channel.receive()
        except OSError as error:
            self._lose(self._unwritable or f"the connection failed: {error.strerror or error}", error)
        if received is None:
            return False
        if not received:
            self._lose(self._unwritable or "it closed the connection")
        try:
            for frame in self._frames.split(received):
                for event in self._h2.receive_data(frame):
                    self._heed(event)
        except NotHttp2 as error:
            self._lose(str(error), error)
        except H2Error as error:
            self._flush()
            self._lose(f"it breaks the rules of HTTP/2: {error}", error)
        self._collect()
        return True

    def _heed(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._greeted = True
            case ConnectionTerminated():
                self._farewell = event
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case ResponseReceived(stream_id=self._stream):
                self._response.headers = dict(event.headers)
            case TrailersReceived(stream_id=self._stream):
                self._response.trailers = dict(event.headers)
            case StreamEnded(stream_id=self._stream):
                self._response.ended = True
            case StreamReset(stream_id=self._stream):
                self._reset = True
                if not self._response.ended:
                    self._response.reset = int(event.error_code)

    def _heed_farewell(self) -> None:
        """GOAWAY says up to which request the server will answer."""
        if self._farewell is None or self._response.over:
            return
        if self._stream is None or self._stream > (self._farewell.last_stream_id or 0):
            self._lose("it takes no more requests on this connection")

    def _lose(self, why: str, cause: Exception | None = None) -> NoReturn:
        if self._farewell is not None:
            code, said = self._farewell.error_code, self._farewell.additional_data or b""
            why += f" (GOAWAY {getattr(code, 'name', code)}{f': {said[:200]!r}' if said else ''})"
        self._lost = f"{self._name}: {why}"
        raise ConnectionLost(self._lost) from cause
