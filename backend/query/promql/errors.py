"""What a question in PromQL can go wrong with, in the words of the HTTP API of Prometheus."""

from enum import Enum
from http import HTTPStatus


class Kind(Enum):
    """Name of a kind of error in answers, and the HTTP status that says the same."""

    BAD_DATA = ("bad_data", HTTPStatus.BAD_REQUEST)
    """The question is not well formed."""
    EXECUTION = ("execution", HTTPStatus.UNPROCESSABLE_ENTITY)
    """The question cannot be answered as it was put."""
    TIMEOUT = ("timeout", HTTPStatus.SERVICE_UNAVAILABLE)
    """The answer would take too long."""
    UNAVAILABLE = ("unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
    """The backend cannot answer now."""
    INTERNAL = ("internal", HTTPStatus.INTERNAL_SERVER_ERROR)
    """A defect of the backend."""
    NOT_FOUND = ("not_found", HTTPStatus.NOT_FOUND)
    """There is no such address."""

    @property
    def label(self) -> str:
        """Its name."""
        return self.value[0]

    @property
    def status(self) -> HTTPStatus:
        """Its HTTP status."""
        return self.value[1]


class PromqlError(Exception):
    """A question that is not answered; the message says what to do.

    Attributes:
        kind: what went wrong.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def wrong(message: str) -> PromqlError:
    """The question is not well formed."""
    return PromqlError(Kind.BAD_DATA, message)


def impossible(message: str) -> PromqlError:
    """The question cannot be answered as it was put."""
    return PromqlError(Kind.EXECUTION, message)
