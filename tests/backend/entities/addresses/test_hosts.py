"""Hosts that say which addresses they have."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.entities.addresses.hosts import HostBook, HostMiss
from backend.entities.resolution import End
from tests.backend.entities.addresses.world import asking


class Hosts:
    """A book at a time that stands still until it is moved."""

    def __init__(self, **bounds: Any) -> None:  # noqa: ANN401 # those of HostBook
        self.now = 1000
        self.book = HostBook(minute=lambda: self.now, **bounds)

    def hear(self, name: str, *addresses: str | bytes, cluster: str = "") -> None:
        self.book.hear(asking(cluster, name), addresses)

    def find(self, host: str, asked_by: str = "somebody", minute: int | None = None) -> End | None:
        return self.book.find(host, 80, asking("", asked_by), self.now if minute is None else minute)


def test_a_host_is_a_service_of_its_own() -> None:
    hosts = Hosts()
    hosts.hear("db-1", "192.0.2.1", "2001:db8::1", bytes([192, 0, 2, 9]))
    assert {hosts.find(host) for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:DB8:0::1", "192.0.2.9")} == {
        End("db-1", "db-1")
    }
    hosts.hear("worker", "192.0.2.2", cluster="east")
    assert hosts.find("192.0.2.2") == End("east::worker", "worker")
    assert hosts.find("192.0.2.3") is None
    assert hosts.find("db-1") is None
    assert hosts.book.misses == {HostMiss.NEVER: 1, HostMiss.NO_ADDRESS: 1}


def test_addresses_that_no_other_host_can_reach_are_left_out() -> None:
    hosts = Hosts()
    hosts.hear("a", "127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "nonsense", "192.0.2.1")
    assert [key for key, _ in hosts.book.timeline.current()] == [bytes([192, 0, 2, 1])]


def test_an_address_of_several_hosts_stands_for_the_one_that_asks() -> None:
    hosts = Hosts()
    hosts.hear("a", "172.17.0.1", "192.0.2.1")
    hosts.hear("b", "172.17.0.1")
    assert hosts.find("172.17.0.1", "a") == End("a", "a")
    assert hosts.find("172.17.0.1", "b") == End("b", "b")
    assert hosts.find("172.17.0.1", "c") is None
    assert hosts.book.misses == {HostMiss.SEVERAL_HOSTS: 1}
    hosts.now += 1
    hosts.hear("a", "192.0.2.1")
    assert hosts.find("172.17.0.1", "c") == End("b", "b")
    assert hosts.find("172.17.0.1", "c", minute=hosts.now - 1) is None


def test_an_address_passes_from_one_host_to_another_by_the_minute() -> None:
    hosts = Hosts()
    hosts.hear("a", "192.0.2.1")
    hosts.now += 10
    hosts.hear("a")
    hosts.hear("b", "192.0.2.1")
    assert [hosts.find("192.0.2.1", minute=minute) for minute in (998, 1000, 1009, 1010)] == [
        None,
        End("a", "a"),
        End("a", "a"),
        End("b", "b"),
    ]


def test_a_silent_host_gives_up_its_addresses() -> None:
    hosts = Hosts(silence=60)
    hosts.hear("a", "192.0.2.1")
    hosts.hear("b", "192.0.2.2")
    hosts.now += 60
    hosts.hear("b", "192.0.2.2")
    assert len(hosts.book) == 2
    version = hosts.book.version
    hosts.now += 1
    hosts.hear("b", "192.0.2.2")
    assert len(hosts.book) == 1
    assert hosts.book.version > version
    hosts.now += 10
    assert [hosts.find("192.0.2.1"), hosts.find("192.0.2.2")] == [None, End("b", "b")]


def test_saying_the_same_again_changes_nothing() -> None:
    hosts = Hosts()
    hosts.hear("a", "192.0.2.1")
    version = hosts.book.version
    hosts.hear("a", "192.0.2.1", "192.0.2.1", "127.0.0.1")
    assert hosts.book.version == version


def test_hosts_and_addresses_beyond_the_bounds_are_counted() -> None:
    hosts = Hosts(maximum_hosts=2, maximum_addresses=2)
    for number in range(3):
        hosts.hear(f"h{number}", *(f"192.0.{number}.{address}" for address in range(5)))
    assert (len(hosts.book), hosts.book.hosts_forgotten, hosts.book.addresses_without_room) == (2, 1, 9)
    hosts.now += 10
    assert [hosts.find(f"192.0.{number}.1") for number in range(3)] == [None, End("h1", "h1"), End("h2", "h2")]
    assert hosts.find("192.0.2.2") is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.frozensets(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]))),
        max_size=20,
    )
)
def test_any_reports_leave_what_was_said_last(reports: list[tuple[str, frozenset[str]]]) -> None:
    hosts = Hosts()
    said: dict[str, frozenset[str]] = {}
    for name, addresses in reports:
        hosts.hear(name, *addresses)
        said[name] = addresses
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
            holders = [each for each, has in said.items() if address in has]
            found = {name: hosts.find(address, name) for name in "abc"} if holders else {}
            for asked_by, end in found.items():
                expected = holders[0] if len(holders) == 1 else asked_by if asked_by in holders else None
                assert end == (None if expected is None else End(expected, expected))
    assert len(hosts.book._holders) == len(set().union(*said.values()))
