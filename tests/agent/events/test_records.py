import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.events.layout import EVENT
from agent.events.records import EventRecord, EventRecords


def test_the_fields_are_those_of_the_layout_in_its_order() -> None:
    assert EVENT.names == tuple("bytes" if name == "size" else name for name in EventRecord._fields)


@given(st.binary(min_size=3 * EVENT.itemsize, max_size=3 * EVENT.itemsize))
def test_any_record_reads_as_numpy_reads_it(data: bytes) -> None:
    events = np.frombuffer(data, dtype=EVENT)
    records = EventRecords(events)
    for row in range(3):
        for name, value in zip(EVENT.names or (), records[row], strict=True):
            expected = events[name][row]
            assert value == (expected.tobytes() if EVENT[name].subdtype or EVENT[name].fields else expected)


def test_every_second_event_of_an_array_is_read_as_such() -> None:
    events = np.zeros(6, dtype=EVENT)
    events["inode"] = range(6)
    assert [EventRecords(events[::2])[row].inode for row in range(3)] == [0, 2, 4]
