"""What a question can go wrong with."""

from http import HTTPStatus


class QueryError(Exception):
    """A question that cannot be answered as it was put.

    Attributes:
        error: what is wrong, as a sentence for the person who asked.
        hint: what to do about it.
        status: the HTTP status that says the same.
    """

    def __init__(self, error: str, hint: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(error)
        self.error = error
        self.hint = hint
        self.status = status
