"""How logs are divided, against a loop over all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.export.arrangement import Arranged, arrange
from agent.export.claims import UNCLAIMED


def divided(views: list[int], claims: list[int], owners: list[int], quality: dict[int, bytes]) -> list[Arranged]:
    of_views, of_claims, of_owners = (np.array(column, dtype=np.int64) for column in (views, claims, owners))
    return arrange(of_views, of_claims, of_owners, quality)


def test_nothing_of_nothing() -> None:
    assert divided([], [], [], {}) == []


def test_a_connection_has_its_plain_logs_and_its_exchanges_as_they_were_told() -> None:
    one, two = divided([4, 4, 4, 4, 9], [UNCLAIMED, UNCLAIMED, 0, 2, UNCLAIMED], [4, 9, 4], {})
    assert one == Arranged(4, (0, 2), b"", [(0, (2, 3)), (2, (3, 4))])
    assert two == Arranged(9, (4, 5), b"", [(1, (0, 0))])
    assert one.has_plain
    assert two.has_plain


def test_a_connection_with_nothing_but_an_exchange_or_a_quality() -> None:
    one, two = divided([], [], [7], {3: b"quality"})
    assert one == Arranged(3, (0, 0), b"quality", [])
    assert two == Arranged(7, (0, 0), b"", [(0, (0, 0))])
    assert one.has_plain
    assert not two.has_plain


@given(
    owners=st.lists(st.integers(0, 3), max_size=6),
    plain=st.lists(st.integers(0, 3), max_size=6),
    claimed=st.lists(st.integers(0, 5), max_size=9),
    described=st.sets(st.integers(0, 4)),
)
def test_parts_are_those_of_a_loop(
    owners: list[int], plain: list[int], claimed: list[int], described: set[int]
) -> None:
    logs = sorted(
        [(view, UNCLAIMED) for view in plain] + [(owners[index], index) for index in claimed if index < len(owners)]
    )
    quality = {view: b"%d" % view for view in described}
    found = divided([view for view, _ in logs], [claim for _, claim in logs], owners, quality)
    assert [one.view for one in found] == sorted({*owners, *plain, *described})
    for one in found:
        assert logs[slice(*one.plain)] == [log for log in logs if log == (one.view, UNCLAIMED)]
        assert one.quality == quality.get(one.view, b"")
        assert [index for index, _ in one.exchanges] == [index for index, view in enumerate(owners) if view == one.view]
        for index, rows in one.exchanges:
            assert logs[slice(*rows)] == [log for log in logs if log == (one.view, index)]
