"""Several backends as programs, one of which is killed in the middle: nothing that was answered for is missing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.export.accounting import Ledger, Loss
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.export.transport import GrpcTransport
from tests.delivery.streams import batch_of
from tests.e2e.programs import Backend, agent, backend, finish, program, read_line
from tests.e2e.test_cluster import CALLER, SERVER
from tests.waiting import PATIENCE

BATCHES = 24
LOGS = 50


def services(store: Backend) -> set[str]:
    """The services that a backend has stored something of, as callers of what they called."""
    answer = store.get("/api/services", start="-1h", end="now")
    return {each["name"] for each in answer["services"] if each["name"].startswith("service-")}


def test_a_backend_is_killed_and_the_other_one_takes_what_it_did_not_answer_for(tmp_path: Path) -> None:
    names = [f"service-{number}" for number in range(BATCHES)]
    ledger = Ledger()
    with ExitStack() as stack:
        first = stack.enter_context(backend(tmp_path / "first", tmp_path / "first.log"))
        second = stack.enter_context(backend(tmp_path / "second", tmp_path / "second.log"))
        transport = GrpcTransport(f"{first.grpc},{second.grpc}")
        stack.callback(transport.close)
        sender = Sender(transport, ledger, SenderLimits(first_pause=0.01))
        stack.callback(sender.stop, 0.0)
        sender.start()
        for at, name in enumerate(names):
            if at == BATCHES // 2:
                # Some were answered for, and others are on their way while it ends.
                assert sender.wait_for_room(Batch([], SenderLimits().logs - 6 * LOGS), PATIENCE)
                first.process.kill()
            batch = batch_of(name, LOGS)
            ledger.capture(batch.logs)
            sender.submit(batch)
        sender.stop(3 * PATIENCE)
        balance = ledger.balance()
        assert (balance.captured, balance.delivered, balance.lost) == (BATCHES * LOGS, BATCHES * LOGS, {})
        assert transport.backends.address == second.grpc
        assert transport.backends.moves >= 1
        first.process.wait(PATIENCE)
        again = stack.enter_context(backend(tmp_path / "first", tmp_path / "first.log"))
        by_first, by_second = services(again), services(second)
    assert by_first | by_second == set(names)
    assert by_first
    assert by_second
    # What was stored and not answered for is in both: the batches that were under way.
    assert len(by_first & by_second) <= SenderLimits().under_way


@contextmanager
def calling(folder: Path, service: str) -> Iterator[None]:
    """A client and a server of that name have called each other once, and are there meanwhile, to be looked at."""
    caller, server = folder / f"service-{service}-caller.py", folder / f"service-{service}-server.py"
    caller.write_text(CALLER)
    server.write_text(SERVER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with program([sys.executable, server], **pipes) as serving:
        _go(serving)
        with program([sys.executable, caller, _line(serving)], **pipes) as client:
            _line(client)
            _go(client)
            assert _line(client) == "done"
            yield


def until_stored(store: Backend, names: set[str]) -> None:
    """Wait until a backend has services of these names."""
    store.until(f"services named {names}", lambda: names <= services(store))


@pytest.mark.kernel
def test_the_agent_goes_on_with_the_other_backend(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(backend(tmp_path / "first", tmp_path / "first.log"))
        second = stack.enter_context(backend(tmp_path / "second", tmp_path / "second.log"))
        figures = tmp_path / "figures.json"
        addresses = f"{first.grpc},{second.grpc}"
        arguments: list[str | Path] = ["--backend", addresses, "--flush-period", "200ms", "--figures", figures]
        watching = stack.enter_context(agent(*arguments))
        with calling(tmp_path, "before"):
            until_stored(first, {"service-before-caller", "service-before-server"})
        first.process.kill()
        first.process.wait(PATIENCE)
        with calling(tmp_path, "after"):
            until_stored(second, {"service-after-caller", "service-after-server"})
        finish(watching)
        said = watching.stderr.read().decode() if watching.stderr is not None else ""
    final = json.loads(figures.read_bytes())
    assert final["waiting"] == 0
    assert final["captured"] == final["delivered"] + sum(final["losses"].get(cause.value, 0) for cause in Loss)
    assert f"calls of {first.grpc} fail, trying {second.grpc}" in said
    assert f"{second.grpc} answers; calls go there from now on, and not to {first.grpc}" in said


def _go(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def _line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    return read_line(process.stdout.fileno(), "a process of the test").strip()
