"""Several books, one after the other."""

from backend.entities.addresses.chain import AddressBookChain
from backend.entities.resolution import EXCLUDED, End
from backend.ingest.batch import Node
from tests.backend.entities.addresses.world import asking


class Fixed:
    def __init__(self, **known: End) -> None:
        self.version = 0
        self.asked: list[tuple[str, int, Node, int]] = []
        self._known = known

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        self.asked.append((host, port, node, minute))
        return self._known.get(host)


def test_the_first_book_that_knows_answers() -> None:
    one, two = Fixed(a=End("one", ""), x=EXCLUDED), Fixed(a=End("two", ""), b=End("two", "i"), x=End("two", ""))
    chain = AddressBookChain([one, two])
    node = asking("c")
    assert [chain.find(host, 80, node, 7) for host in "abxz"] == [End("one", ""), End("two", "i"), EXCLUDED, None]
    assert [host for host, *_ in two.asked] == ["b", "z"]
    assert one.asked == [(host, 80, node, 7) for host in "abxz"]
    assert chain.misses == 1


def test_the_version_grows_with_that_of_any_book() -> None:
    one, two = Fixed(), Fixed()
    chain = AddressBookChain([one, two])
    versions = [chain.version]
    for book in (one, two, one):
        book.version += 1
        versions.append(chain.version)
    assert versions == [0, 1, 2, 3]
    assert AddressBookChain([]).find("a", 0, asking(), 0) is None
