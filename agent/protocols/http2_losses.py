"""Why exchanges of HTTP/2, or exact sizes of them, could not be told."""

from enum import StrEnum


class Loss(StrEnum):
    """A cause; what is counted is said with each."""

    FRAMES_HIDDEN = "frames_hidden"
    """Times that a flow was lost sight of: bytes were not captured where frames may have begun."""
    FRAMING_LOST = "framing_lost"
    """Times that a flow was lost sight of: there was something else where a frame was due."""
    BLOCK_TOO_LONG = "header_block_too_long"
    """Header blocks over the limit."""
    BLOCK_HIDDEN = "header_block_hidden"
    """Header blocks of which a part was not captured, was a frame over the limit, or was padded beyond its end."""
    BLOCK_MALFORMED = "header_block_malformed"
    """Header blocks that are no HPACK."""
    TABLE_UNKNOWN = "header_table_unknown"
    """Exchanges whose method, path or status is known only to those who saw earlier header blocks."""
    NOT_SEEN_WHOLE = "stream_not_seen_whole"
    """Exchanges of which some frames were hidden or may have been."""
    PADDING_ESTIMATED = "padding_estimated"
    """Frames of data whose padding was not captured and is counted as body."""
    REQUEST_MALFORMED = "http2_request_malformed"
    """Exchanges whose request has no method or path, or whose response a status that is none."""
    RESPONSE_WITHOUT_REQUEST = "response_without_request"
    """Responses to requests that were not seen."""
    TOO_MANY_STREAMS = "too_many_streams"
    """Exchanges that there was no room for beside those under way."""
    GIVEN_UP = "http2_given_up"
    """Exchanges under way when the connection turned out not to be understood."""
