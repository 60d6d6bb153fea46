import os
import select
import threading

import pytest

from common.grpc.patience import Expired, Interrupted, Interrupter, Patience


def test_time_that_is_over_ends_the_waiting_also_for_what_is_always_ready() -> None:
    ready = os.eventfd(1)
    with Interrupter() as interrupter:
        assert Patience(30, interrupter).wait(ready, select.POLLIN) == select.POLLIN
        patience = Patience(0.05, interrupter)
        patience.doing = "counting"
        with pytest.raises(Expired) as caught:
            _wait_for_ever(patience, ready)
        assert str(caught.value) == "counting"
        assert patience.left == 0
    interrupter.close()
    os.close(ready)


def test_a_part_is_never_longer_than_the_whole() -> None:
    with Interrupter() as interrupter:
        for whole, part, expected in [(None, None, None), (None, 5, 5), (5, None, 5), (5, 500, 5), (500, 5, 5)]:
            left = Patience(whole, interrupter).at_most(part).left
            assert left == expected or (left is not None and expected is not None and 0 < left <= expected)
    interrupter.close()


def test_another_thread_ends_the_waiting() -> None:
    interrupter = Interrupter()
    began = threading.Event()
    outcomes = []

    def wait() -> None:
        with interrupter:
            began.set()
            try:
                _wait_for_ever(Patience(None, interrupter))
            except Interrupted:
                outcomes.append("interrupted")

    thread = threading.Thread(target=wait)
    thread.start()
    assert began.wait(30)
    interrupter.wake()
    interrupter.interrupt()
    thread.join()
    assert outcomes == ["interrupted"]
    interrupter.close()


def test_an_order_that_comes_when_nothing_waits_is_not_kept() -> None:
    interrupter = Interrupter()
    interrupter.interrupt()
    with interrupter, pytest.raises(Expired):
        _wait_for_ever(Patience(0.02, interrupter))
    interrupter.wake()
    with interrupter:
        poll = select.poll()
        poll.register(interrupter.descriptor, select.POLLIN)
        assert poll.poll(0) == []
    interrupter.close()
    interrupter.interrupt()
    interrupter.wake()


def _wait_for_ever(patience: Patience, descriptor: int | None = None) -> None:
    while True:
        patience.wait(descriptor, select.POLLIN)
