import re

from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.naming import Naming, ServiceRule
from agent.discovery.processes import ProcessTable
from tests.agent.synthetic import FakeHost, facts


def _name(text: str) -> bytes:
    return text.encode().ljust(16, b"\0")


def test_a_process_is_read_once_at_first_sight() -> None:
    host = FakeHost()
    host.processes[5] = facts(5)
    table = ProcessTable(host, Naming("node-1"), 10)
    for _ in range(3):
        assert table.seen(5, _name("curl")).identity.service == "curl"
    assert host.asked == ["process 5"]


def test_a_process_that_is_gone_has_the_name_of_its_task() -> None:
    table = ProcessTable(FakeHost(), Naming("node-1"), 10)
    assert table.seen(5, _name("short-lived")).identity.service == "short-lived"


def test_after_an_exit_the_same_pid_is_another_process() -> None:
    host = FakeHost()
    host.processes[5] = facts(5, "/bin/a")
    table = ProcessTable(host, Naming("node-1"), 10)
    first = table.seen(5, _name("a"))
    table.left(5)
    host.processes[5] = facts(5, "/bin/b", start=2)
    second = table.seen(5, _name("b"))
    assert (first.identity.service, second.identity.service) == ("a", "b")


def test_a_pid_used_again_without_a_known_exit_is_noticed_by_its_start_time() -> None:
    host = FakeHost()
    host.processes[5] = facts(5, "/bin/a", start=1)
    table = ProcessTable(host, Naming("node-1"), 10)
    first = table.seen(5, _name("a"))
    host.processes[5] = facts(5, "/bin/b", start=2)
    second = table.seen(5, _name("b"))
    assert second is not first
    assert (first.identity.service, second.identity.service) == ("a", "b")
    assert table.known(5) is second


def test_names_of_threads_are_no_other_program() -> None:
    host = FakeHost()
    host.processes[5] = facts(5, "/usr/bin/java")
    table = ProcessTable(host, Naming("node-1"), 10)
    for number in range(100):
        assert table.seen(5, _name(f"worker-{number}")).identity.service == "java"
    assert len(host.asked) == 32  # task names remembered; the rest is not asked for


@given(
    st.lists(
        st.tuples(st.sampled_from(["seen", "left"]), st.integers(1, 6), st.integers(0, 40)), min_size=1, max_size=200
    )
)
def test_new_is_who_would_be_read_from_the_host(steps: list[tuple[str, int, int]]) -> None:
    host = FakeHost()
    host.processes = {pid: facts(pid) for pid in range(1, 5)}  # the others are gone
    table = ProcessTable(host, Naming("node-1"), 4)
    for step, pid, number in steps:
        if step == "left":
            table.left(pid)
            continue
        asked = len(host.asked)
        is_new = table.is_new(pid, _name(f"task-{number}"))
        assert len(host.asked) == asked
        table.seen(pid, _name(f"task-{number}"))
        assert len(host.asked) == asked + is_new
        assert not table.is_new(pid, _name(f"task-{number}"))


def test_the_table_is_bounded_and_counts_what_left() -> None:
    host = FakeHost()
    table = ProcessTable(host, Naming("node-1"), 3)
    for pid in range(1, 6):
        table.seen(pid, _name("x"))
    assert (len(table), table.evicted) == (3, 2)
    assert table.known(1) is None
    assert table.known(5) is not None


def test_a_port_that_becomes_known_later_can_name_the_service() -> None:
    host = FakeHost()
    host.processes[5] = facts(5)
    rules = [ServiceRule("api", port=8080, executable=re.compile("curl"))]
    table = ProcessTable(host, Naming("node-1", rules), 10)
    process = table.seen(5, _name("curl"))
    assert process.identity.service == "curl"
    table.listens(process, 8080)
    assert process.identity.service == "api"


def test_adopting_a_process_makes_its_later_events_no_news() -> None:
    host = FakeHost()
    host.processes[5] = facts(5)
    table = ProcessTable(host, Naming("node-1"), 10)
    adopted = table.adopt(5)
    assert adopted is not None
    asked = len(host.asked)
    assert table.seen(5, _name("curl")) is adopted
    assert table.adopt(5) is adopted
    assert len(host.asked) == asked
    assert table.adopt(6) is None
