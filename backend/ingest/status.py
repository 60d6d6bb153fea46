"""gRPC status codes, and the error that ends a call with one."""

from enum import IntEnum


class Status(IntEnum):
    """The status codes this server answers with; numbers as in the gRPC specification."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """Ends one call with a status; other calls are not concerned.

    Attributes:
        status: What the client is told.
        message: Why, in words for whoever reads the client's log.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(f"{status.name}: {message}")
        self.status = status
        self.message = message
