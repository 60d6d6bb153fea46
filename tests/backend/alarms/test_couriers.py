"""How notices come to hooks, and what becomes of those that do not."""

import asyncio
from collections.abc import Sequence

import pytest

from backend.alarms.couriers import Couriers, NoticeLoss, SendingSettings
from backend.alarms.hooks import Post, Request
from backend.alarms.records import Notice
from backend.alarms.sending import SendingError
from backend.alarms.webhook import Webhook
from tests.backend.alarms.receivers import answer, receiving
from tests.backend.alarms.test_hooks import ALARM, BEGUN
from tests.waiting import eventually

FAST = SendingSettings(retry_delay=0.001)


def notices(number: int, *hooks: str) -> list[Notice]:
    return [Notice(f"id-{one}", ALARM, hooks) for one in range(number)]


class Sender:
    """Takes requests as it is told: by address, what each attempt gives."""

    def __init__(self, **outcomes: Sequence[SendingError | None]) -> None:
        self.outcomes = {name: list(outcome) for name, outcome in outcomes.items()}
        self.attempts: list[str] = []
        self.taken: list[int] = []

    async def __call__(self, request: Request, _seconds: float) -> None:
        assert isinstance(request, Post)
        self.attempts.append(request.url)
        outcomes = self.outcomes.get(request.url, [])
        if outcomes and (error := outcomes.pop(0)) is not None:
            raise error
        self.taken.append(request.notices)


AGAIN, REFUSED = SendingError("busy", again=True), SendingError("no", again=False)


async def test_it_is_sent_again_until_it_is_taken() -> None:
    sender = Sender(a=[AGAIN, AGAIN, None])
    couriers = Couriers({"webhook.a": Webhook(["a"])}, FAST, sender)
    couriers.tell(notices(3, "webhook.a"))
    await eventually(lambda: couriers.delivered["webhook.a"] == 3)
    await couriers.stop(0)
    assert (sender.attempts, sender.taken, couriers.lost.total()) == (["a"] * 3, [3], 0)


async def test_each_address_is_tried_by_itself_and_not_forever() -> None:
    sender = Sender(a=[AGAIN] * 4, b=[REFUSED])
    couriers = Couriers({"webhook.a": Webhook(["a", "b", "c"])}, FAST, sender)
    couriers.tell(notices(2, "webhook.a"))
    await eventually(lambda: couriers.delivered["webhook.a"] == 2)
    assert sender.attempts == ["a"] * 4 + ["b", "c"]
    assert couriers.lost == {("webhook.a", NoticeLoss.FAILED): 2, ("webhook.a", NoticeLoss.REFUSED): 2}
    await couriers.stop(0)


async def test_a_hook_is_given_some_at_a_time() -> None:
    sender = Sender()
    couriers = Couriers({"webhook.a": Webhook(["a"])}, SendingSettings(together=4), sender)
    couriers.tell(notices(10, "webhook.a"))
    await eventually(lambda: couriers.delivered["webhook.a"] == 10)
    assert sender.taken == [4, 4, 2]
    await couriers.stop(0)


class Held:
    """Sends nothing until it may."""

    def __init__(self, held: str) -> None:
        self.held = held
        self.begun = asyncio.Event()
        self.may = asyncio.Event()

    async def __call__(self, request: Request, _seconds: float) -> None:
        assert isinstance(request, Post)
        if request.url == self.held:
            self.begun.set()
            await self.may.wait()


async def test_a_slow_hook_holds_up_no_other_and_what_waits_is_bounded() -> None:
    sender = Held("a")
    hooks = {"webhook.a": Webhook(["a"]), "webhook.b": Webhook(["b"])}
    couriers = Couriers(hooks, SendingSettings(waiting=5, together=2), sender)
    couriers.tell(notices(2, "webhook.a"))
    await sender.begun.wait()
    couriers.tell(notices(7, "webhook.a"))
    couriers.tell(notices(3, "webhook.b"))
    await eventually(lambda: couriers.delivered["webhook.b"] == 3)
    assert couriers.waiting() == {"webhook.a": 5, "webhook.b": 0}
    assert couriers.lost == {("webhook.a", NoticeLoss.FULL): 2}
    sender.may.set()
    await couriers.stop(60)
    assert couriers.delivered == {"webhook.a": 7, "webhook.b": 3}


async def test_what_is_not_sent_in_time_at_the_end_is_counted() -> None:
    sender = Held("b")
    couriers = Couriers({"webhook.a": Webhook(["a", "b", "c"])}, SendingSettings(together=2), sender)
    couriers.tell(notices(5, "webhook.a"))
    await sender.begun.wait()
    await couriers.stop(0.001)
    # Two were taken by the first address and not by two others; three were never begun.
    assert couriers.delivered == {"webhook.a": 2}
    assert couriers.lost == {("webhook.a", NoticeLoss.STOPPING): 2 * 2 + 3}


async def test_a_hook_that_is_gone_loses_what_waits_and_a_new_one_is_told() -> None:
    sender = Sender()
    couriers = Couriers({"webhook.a": Webhook(["a"])}, FAST, sender)
    couriers.tell(notices(2, "webhook.a"))
    couriers.use({"webhook.b": Webhook(["b"])})
    couriers.tell(notices(1, "webhook.b"))
    await eventually(lambda: couriers.delivered["webhook.b"] == 1)
    await eventually(lambda: couriers.lost["webhook.a", NoticeLoss.NO_HOOK] == 2)
    assert sender.attempts == ["b"]
    await couriers.stop(0)


async def test_notices_without_hooks_are_told_to_nobody() -> None:
    couriers = Couriers({"webhook.a": Webhook(["a"])}, FAST, Sender())
    couriers.tell([BEGUN])
    assert couriers.waiting() == {}
    await couriers.stop(0)


async def test_a_real_server_that_fails_at_first() -> None:
    async with receiving(answer(503), answer(429), answer(200)) as receiver:
        couriers = Couriers({"webhook.a": Webhook([receiver.url])}, FAST)
        couriers.tell(notices(2, "webhook.a"))
        await eventually(lambda: couriers.delivered["webhook.a"] == 2)
        await couriers.stop(0)
    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1


async def test_no_log_names_an_address(caplog: pytest.LogCaptureFixture) -> None:
    async with receiving(answer(400)) as receiver:
        couriers = Couriers({"webhook.a": Webhook([receiver.url])}, FAST)
        couriers.tell(notices(1, "webhook.a"))
        await eventually(lambda: couriers.lost["webhook.a", NoticeLoss.REFUSED] == 1)
        await couriers.stop(0)
    text = caplog.text
    assert "1 alarms could not be told to webhook.a: it answered 400" in text
    assert "s3cret" not in text
