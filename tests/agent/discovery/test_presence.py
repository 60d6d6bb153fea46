"""agent/discovery/presence.py: processes that are found by looking."""

import re

from agent.discovery.host import SocketScan
from agent.discovery.naming import Naming, ServiceRule
from agent.discovery.presence import ProcessesPresent
from agent.discovery.processes import ProcessTable
from tests.agent.synthetic import FakeHost, facts, socket_facts


def names(table: ProcessTable) -> dict[int, str]:
    return {process.pid: process.identity.service for process in table.told()}


def made(*rules: ServiceRule, capacity: int = 10) -> tuple[FakeHost, ProcessTable, ProcessesPresent]:
    host = FakeHost()
    table = ProcessTable(host, Naming("node-1", rules), capacity)
    return host, table, ProcessesPresent(host, table)


def test_whoever_has_a_socket_is_there_for_as_long_as_it_has() -> None:
    host, table, present = made()
    host.processes = {5: facts(5, "/bin/a"), 6: facts(6, "/bin/b"), 7: facts(7, "/bin/c")}
    listening = socket_facts(1, ("10.0.0.1", 80), owners=((5, 3), (6, 3)))
    connected = socket_facts(2, ("10.0.0.1", 4000), ("10.0.0.2", 80), owners=((6, 4),))
    nobody = socket_facts(3, ("10.0.0.1", 81))
    host.scan = SocketScan((listening, connected, nobody), {1: ()})
    present.look()
    assert names(table) == {5: "a", 6: "b"}
    host.scan = SocketScan((connected,), {1: ()})
    present.look()
    assert names(table) == {6: "b"}
    assert len(table) == 1


def test_another_program_and_another_process_of_the_same_id_are_seen() -> None:
    host, table, present = made()
    host.scan = SocketScan((socket_facts(1, ("10.0.0.1", 80), owners=((5, 3), (6, 3))),), {1: ()})
    host.processes = {5: facts(5, "/bin/a"), 6: facts(6, "/bin/b", start=1)}
    present.look()
    host.processes = {5: facts(5, "/bin/executed"), 6: facts(6, "/bin/b", start=2)}
    present.look()
    assert names(table) == {5: "executed", 6: "b"}
    assert {process.facts.start_ticks for process in table.told() if process.facts} == {1, 2}


def test_who_has_ended_meanwhile_is_not_told() -> None:
    host, table, present = made()
    host.scan = SocketScan((socket_facts(1, ("10.0.0.1", 80), owners=((5, 3),)),), {1: ()})
    present.look()
    assert names(table) == {}
    assert len(table) == 0


def test_rules_know_the_ports() -> None:
    host, table, present = made(ServiceRule(service="billing", port=8443))
    host.processes = {5: facts(5, "/bin/a")}
    host.scan = SocketScan((socket_facts(1, ("10.0.0.1", 8443), owners=((5, 3),)),), {1: ()})
    present.look()
    assert names(table) == {5: "billing"}


def test_what_is_known_is_bounded() -> None:
    host, table, present = made(ServiceRule(service="all", command_line=re.compile("")), capacity=3)
    host.processes = {pid: facts(pid) for pid in range(1, 8)}
    host.scan = SocketScan((socket_facts(1, ("10.0.0.1", 80), owners=tuple((pid, 3) for pid in range(1, 8))),), {1: ()})
    present.look()
    assert len(table) == 3
    assert table.evicted == 4
