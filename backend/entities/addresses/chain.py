"""Several address books, asked one after the other."""

from collections.abc import Sequence

from backend.entities.resolution import AddressBook, End
from backend.ingest.batch import Node


class AddressBookChain:
    """The answer is that of the first book that has one; "excluded" is an answer too.

    Books that know more precisely what is behind an address go first: clusters, then hosts with an agent, then the
    names that people gave.

    Attributes:
        misses: how often no book had an answer, so that the end is unknown.
    """

    def __init__(self, books: Sequence[AddressBook]) -> None:
        self.misses = 0
        self._books = tuple(books)

    @property
    def version(self) -> int:
        """As AddressBook.version: the sum of all versions, which grows when any does."""
        return sum(book.version for book in self._books)

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        """As AddressBook.find."""
        for book in self._books:
            found = book.find(host, port, node, minute)
            if found is not None:
                return found
        self.misses += 1
        return None
