"""tests/waiting.py: what comes is given at once, what never comes is named."""

import pytest

from tests import waiting
from tests.waiting import eventually, until


def test_what_the_condition_gave_is_given_as_soon_as_it_is_true() -> None:
    given = iter([[], [], ["first"], ["second"]])
    assert until(lambda: next(given), pause=0) == ["first"]
    assert next(given) == ["second"]


def test_what_never_comes_is_named_and_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.01)
    said: list[str] = []

    def found() -> str:
        said.append("asked")
        return "it; there are 3"

    with pytest.raises(AssertionError, match=r"^not within 0 s: it; there are 3$"):
        until(lambda: False, found, pause=0)
    assert said == ["asked"]
    with pytest.raises(AssertionError, match=r"^not within 0 s$"):
        until(lambda: False, pause=0)


async def test_beside_other_tasks_it_lets_them_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False, False, True])
    await eventually(lambda: next(looks), pause=0)
    assert next(looks, None) is None
    monkeypatch.setattr(waiting, "PATIENCE", 0.01)
    with pytest.raises(TimeoutError):
        await eventually(lambda: False, pause=0)
