import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.ingest.columns import JoinedColumns, PlacedColumns, bytes_of, columns_at

PLACES = {"a": 0, "b": 1, "also a": 0}


def table(logs: int) -> NDArray[np.int64]:
    return np.arange(3 * logs, dtype=np.int64).reshape(3, logs)


def test_a_column_is_what_its_place_has_and_one_array_for_all_its_names() -> None:
    columns = PlacedColumns(table(4), PLACES)
    assert {name: column.tolist() for name, column in columns.items()} == {
        "a": [0, 1, 2, 3],
        "b": [4, 5, 6, 7],
        "also a": [0, 1, 2, 3],
    }
    assert columns["a"] is columns["also a"]
    assert ("a" in columns, "c" in columns, columns.get("c"), len(columns)) == (True, False, None, 3)
    with pytest.raises(KeyError):
        columns["c"]


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5), data=st.data(), is_cut=st.booleans())
def test_joined_columns_are_those_of_the_tables_one_after_the_other(
    *,
    lengths: list[int],
    data: st.DataObject,
    is_cut: bool,
) -> None:
    # A part of a table is not in one piece of memory.
    tables = [table(length + 2)[:, 1:-1] if is_cut else table(length) for length in lengths]
    joined = JoinedColumns([PlacedColumns(each, PLACES) for each in tables])
    whole = {name: np.concatenate([each[place] for each in tables]) for name, place in PLACES.items()}
    assert {name: column.tolist() for name, column in joined.items()} == {
        name: column.tolist() for name, column in whole.items()
    }
    assert joined["a"] is joined["also a"]
    assert ("b" in joined, "c" in joined, len(joined)) == (True, False, 3)
    logs = np.array(sorted(data.draw(st.sets(st.integers(0, max(sum(lengths) - 1, 0))))), np.intp)
    logs = logs[logs < sum(lengths)]
    names = data.draw(st.lists(st.sampled_from(["a", "b", "also a", "c"]), unique=True))
    for columns in (joined, whole):
        taken = columns_at(columns, names, logs)
        assert {name: column.tolist() for name, column in taken.items()} == {
            name: whole[name][logs].tolist() for name in names if name != "c"
        }


def test_a_column_takes_its_bytes_once() -> None:
    assert bytes_of(PlacedColumns(table(4), PLACES)) == 3 * 4 * 8
    column = np.zeros(4, np.int64)
    assert bytes_of({"a": column, "b": column, "c": column.copy()}) == 2 * 4 * 8
    assert bytes_of({}) == 0
