import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from backend.storage.entity_ids import EntityIds


@given(parts=st.lists(st.lists(st.text(max_size=2))))
def test_an_id_keeps_its_number_and_a_new_one_has_the_next(parts: list[list[str]]) -> None:
    ids = EntityIds()
    came: dict[str, int] = {}
    for part in parts:
        for identity in part:
            assert ids.number(identity) == came.setdefault(identity, len(came))
        numbers = [came[identity] for identity in part]
        assert ids.texts(numbers) == part
        assert ids.gather(np.array(numbers, np.int32)).to_list() == part
        assert ids.gather(pl.Series(numbers, dtype=pl.Int32)).to_list() == part
        assert len(ids) == len(came)
    assert EntityIds(came).texts(came.values()) == [*came]
