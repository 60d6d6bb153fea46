import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from agent.conntrack.table import KEEP_ENDED_NS, TranslationTable
from agent.conntrack.translation import Translation
from tests.agent.conntrack.network import as_bytes

SECOND = 1_000_000_000


def translation(
    *,
    number: int = 1,
    source: tuple[str, int] = ("10.0.0.2", 40000),
    destination: tuple[str, int] = ("10.96.0.1", 80),
    new_destination: tuple[str, int] = ("10.0.1.9", 8080),
    new_source: tuple[str, int] | None = None,
    namespace: int = 1,
    of_host: bool = True,
    protocol: int = 6,
    seen_ns: int = 0,
    ended: bool = False,
) -> Translation:
    return Translation(
        namespace=namespace,
        of_host=of_host,
        id=number,
        protocol=protocol,
        source=as_bytes(source),
        destination=as_bytes(destination),
        new_source=as_bytes(new_source or source),
        new_destination=as_bytes(new_destination),
        seen_ns=seen_ns,
        ended=ended,
    )


def ends_of(one: Translation) -> tuple[int, bytes, bytes]:
    return one.protocol, one.source, one.destination


def test_the_same_ends_again_are_another_entry_and_the_same_entry_again_is_not() -> None:
    table = TranslationTable(10)
    first, second = translation(number=1), translation(number=2, new_destination=("10.0.1.8", 1))
    assert [table.add(one) for one in (first, second, first)] == [True, True, False]
    assert [entry.translation for entry in table.find(ends_of(first))] == [first, second]


def test_an_ended_translation_stays_for_a_while() -> None:
    table = TranslationTable(10)
    table.add(translation())
    table.end(translation(seen_ns=SECOND, ended=True))
    table.forget_ended(SECOND + KEEP_ENDED_NS - 1)
    assert [entry.ended_ns for entry in table.find(ends_of(translation()))] == [SECOND]
    table.forget_ended(SECOND + KEEP_ENDED_NS)
    assert table.find(ends_of(translation())) == []
    assert len(table) == table.evicted == 0


def test_ended_translations_make_room_before_others() -> None:
    table = TranslationTable(2)
    one, two, three, four = (translation(number=number, source=("10.0.0.2", number)) for number in range(1, 5))
    table.add(one)
    table.add(two)
    table.end(two)
    table.add(three)
    assert [bool(table.find(ends_of(this))) for this in (one, two, three)] == [True, False, True]
    assert table.evicted == 0
    table.add(four)
    assert [bool(table.find(ends_of(this))) for this in (one, three, four)] == [False, True, True]
    assert table.evicted == 1


_STEP = st.builds(
    translation,
    number=st.integers(1, 3),
    source=st.tuples(st.just("10.0.0.2"), st.integers(1, 3)),
    destination=st.tuples(st.ip_addresses(v=4, network=ipaddress.IPv4Network("10.0.0.0/31")).map(str), st.just(80)),
    namespace=st.integers(1, 2),
    seen_ns=st.integers(0, 2 * KEEP_ENDED_NS),
    ended=st.booleans(),
)


@given(st.lists(_STEP, max_size=60), st.integers(1, 6))
def test_it_holds_what_it_says_and_never_more_than_it_may(steps: list[Translation], capacity: int) -> None:
    table = TranslationTable(capacity)
    added = 0
    for step in steps:
        if step.ended:
            table.end(step)
        else:
            added += table.add(step)
        found = [entry for ends in {ends_of(one) for one in steps} for entry in table.find(ends)]
        assert len(found) == len(table) <= capacity
        assert len(found) + table.evicted <= added
    table.forget_ended(4 * KEEP_ENDED_NS)
    live = [entry for ends in {ends_of(one) for one in steps} for entry in table.find(ends)]
    assert all(not entry.ended_ns for entry in live)
    assert len(live) == len(table)
