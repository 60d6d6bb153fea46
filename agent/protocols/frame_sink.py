"""What the frames of an HTTP/2 connection are told to."""

from typing import Protocol

from agent.protocols.exchange import Flow, Piece


class FrameSink(Protocol):
    """What takes the frames of both flows of a connection."""

    def headers(  # noqa: PLR0917 - names of arguments cost time, and this is called for each block
        self, flow: Flow, number: int, flags: int, block: bytes | None, began: Piece, piece: Piece
    ) -> None:
        """A header block of HEADERS has ended with a piece.

        Args:
            flow: Whose it is.
            number: Its stream.
            flags: END_STREAM where it ends the flow's half of the stream; other flags say nothing.
            block: The block; None when not all of it could be collected.
            began: The piece with its first byte.
            piece: That with its last one.
        """
        ...

    def promise(self, flow: Flow, number: int, block: bytes | None, began: Piece, piece: Piece) -> None:
        """The same of PUSH_PROMISE; `number` is the promised stream, 0 when that is not known."""
        ...

    def data(self, flow: Flow, number: int, flags: int, size: int, piece: Piece) -> None:
        """`size` bytes of a body were in a piece; 0 when only something of their frame was.

        `flags` are as those of `headers`.
        """
        ...

    def control(self, flow: Flow, kind: int, stream: int, payload: bytes | None) -> None:
        """RST_STREAM, SETTINGS or GOAWAY; the payload is None when not all of it was captured."""
        ...

    def hidden(self, flow: Flow) -> None:
        """Frames may have passed unseen."""
        ...
