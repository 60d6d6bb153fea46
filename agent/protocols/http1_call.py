"""A request of HTTP/1 whose response is to come, or is under way."""

from msgspec import Struct

from agent.protocols.exchange import Exchange
from agent.protocols.message_body import Body


class Call(Struct, eq=False, gc=False):
    """A request, and what has come of its response."""

    exchange: Exchange
    first_ns: int
    """`Piece.first_ns` of the request's first byte."""
    upgrade: str = ""
    """The protocols that the request offers to go on with, in lower case."""
    may_switch: bool = False
    """Whether what follows the request may be another protocol, depending on the response."""
    expects_continue: bool = False
    """The request's body is only sent when an interim response asks for it."""
    body: Body | None = None
    """The request's."""
    is_ambiguous: bool = False
    """It began while an earlier request seemed to wait for its response."""
    request_ended: bool = False
    response_ended: bool = False
    response_ns: int = 0
    """`Piece.first_ns` of the first byte of the final response."""
    slices: int = 0
    sliced_ns: int = 0

    @property
    def is_estimated(self) -> bool:
        """Whether the end of the request may have passed unseen."""
        return self.body is not None and self.body.is_estimated
