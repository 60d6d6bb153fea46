import numpy as np
import pytest

from backend.storage.told import Register, Told


def test_rows_are_told_by_number_in_any_order_and_as_often_as_asked() -> None:
    register = Register[str]()
    assert [register.add(row) for row in ("a", "b", "a")] == [0, 1, 2]
    told = Told(register, np.array([2, 1, 1]))
    assert (len(told), list(told), told[0], told[-1], told[1:]) == (3, ["a", "b", "b"], "a", "b", ["b", "b"])
    with pytest.raises(IndexError):
        told[3]


def test_what_is_told_stays_while_the_register_grows() -> None:
    register = Register[int]()
    told = Told(register, np.array([register.add(5)]))
    for number in range(100):
        register.add(number)
    assert told == [5]


def test_rows_are_equal_to_the_same_rows_in_any_sequence() -> None:
    register, other = Register[int](), Register[int]()
    for number in range(3):
        register.add(number)
        other.add(2 - number)
    told = Told(register, np.array([0, 2]))
    assert told == [0, 2]
    assert told == (0, 2)
    assert told == Told(other, np.array([2, 0]))
    assert told != Told(other, np.array([0, 2]))
    assert told != [0]
    assert told != 0
    assert repr(told) == "[0, 2]"
