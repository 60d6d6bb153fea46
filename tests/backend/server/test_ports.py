import socket

import pytest

from backend.server.loading import load
from backend.server.ports import Ports
from backend.server.serving import PortError

LOOPBACK = {"host": "127.0.0.1", "grpc_port": 0, "http_port": 0}


def close(ports: Ports) -> None:
    for listener in (*ports.agents, *ports.questions, *([ports.prometheus] if ports.prometheus else [])):
        listener.close()


def test_by_default_there_are_two() -> None:
    ports = Ports.listen(load(None, {}, LOOPBACK))
    assert (len(ports.agents), ports.prometheus, ports.questions) == (1, None, (ports.http,))
    assert {listener.host for listener in (*ports.agents, ports.http)} == {"127.0.0.1"}
    close(ports)


def test_questions_may_have_a_further_one() -> None:
    with socket.socket() as held:
        # Bound and not listening, so that the port stays free for who shares it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.4", 0))
        port = held.getsockname()[1]
        environment = {
            "SW_PROMQL_REST_PORT": str(port),
            "SW_PROMQL_REST_HOST": "127.0.0.4",
            "PYROVER_BACKEND_HOST": "127.0.0.1",
            "PYROVER_BACKEND_SHARE_PORTS": "true",
        }
        ports = Ports.listen(load(None, environment, {"grpc_port": 0, "http_port": 0}))
        assert [(listener.host, listener.port) for listener in ports.questions] == [
            ("127.0.0.1", ports.http.port),
            ("127.0.0.4", port),
        ]
        close(ports)


def test_each_may_have_an_address_of_its_own() -> None:
    environment = {
        "PYROVER_BACKEND_HTTP_HOST": "127.0.0.2",
        "PYROVER_BACKEND_PROMETHEUS_KIND": "prometheus",
        "PYROVER_BACKEND_PROMETHEUS_PORT": "0",
        "PYROVER_BACKEND_PROMETHEUS_HOST": "127.0.0.3",
        "PYROVER_BACKEND_HOST": "127.0.0.1",
    }
    ports = Ports.listen(load(None, environment, {"grpc_port": 0, "http_port": 0}))
    assert ports.prometheus is not None
    assert [listener.host for listener in (ports.grpc, ports.http, ports.prometheus)] == [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
    ]
    close(ports)


def test_when_one_is_taken_none_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as held:
        # Bound by this process and shared, so that only a listener left behind would keep it from listening.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        flags = {**LOOPBACK, "grpc_port": held.getsockname()[1], "http_port": taken.getsockname()[1]}
        with pytest.raises(PortError, match="--http-port"):
            Ports.listen(load(None, {"PYROVER_BACKEND_SHARE_PORTS": "true"}, flags))
        with socket.socket() as probe:
            assert probe.connect_ex(held.getsockname()) != 0


def test_ports_are_shared_only_where_that_is_asked_for() -> None:
    shared = {"PYROVER_BACKEND_SHARE_PORTS": "true"}
    first = Ports.listen(load(None, shared, LOOPBACK))
    same = {**LOOPBACK, "grpc_port": first.grpc.port}
    second = Ports.listen(load(None, shared, same))
    assert second.grpc.port == first.grpc.port
    with pytest.raises(PortError, match="--grpc-port"):
        Ports.listen(load(None, {}, same))
    close(first)
    close(second)
