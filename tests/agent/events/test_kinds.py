"""agent/events/kinds.py: a table says of each value what numpy.isin says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.events.kinds import kind_table
from agent.events.layout import EventKind


@given(st.sets(st.sampled_from(EventKind)), st.binary(max_size=50))
def test_as_numpy_says(kinds: set[EventKind], column: bytes) -> None:
    values = np.frombuffer(column, dtype=np.uint8)
    assert (kind_table(kinds)[values] == np.isin(values, list(kinds))).all()
