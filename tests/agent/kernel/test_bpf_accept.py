"""bpf/accept.c on the running kernel."""

import errno

import pytest

from agent.events.layout import EventKind, Role
from tests.agent.kernel.watching import Watch, address

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_accept_and_accept4(watch: Watch, host: str) -> None:
    run = watch.run("connections", host=host, count=23)
    assert len(run.of(EventKind.ACCEPT)) == 23
    for pair in run.result["made"]:
        client, server = pair["client"], pair["server"]
        (event,) = run.of_socket(server["inode"], EventKind.ACCEPT)
        plain = host.removeprefix("::ffff:")
        assert (address(event["local_address"]), event["local_port"]) == (plain, server["local"][1])
        assert (address(event["remote_address"]), event["remote_port"]) == (plain, client["local"][1])
        assert (event["descriptor"], event["role"], event["result"]) == (server["descriptor"], Role.SERVER, 0)
        assert event["end_ns"] > event["start_ns"] > 0


def test_a_failed_accept_makes_no_event(watch: Watch) -> None:
    run = watch.run("failed_accept")
    assert run.result["errno"] == errno.EAGAIN
    assert len(run.of(EventKind.ACCEPT)) == 0
