"""The error that ends a call with a status of gRPC."""

from common.grpc.status import Status

__all__ = ["CallError", "Status"]


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
