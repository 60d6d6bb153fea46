"""Both programs with TLS and a token, which are replaced while they run: nothing that was captured is lost by that."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.backend.server.processes import backend
from tests.common.kubernetes.certificates import make_identity
from tests.e2e.programs import ATTACH, PROGRAMS, program, read_line
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel

TRAFFIC = """
import socket, threading
ending = threading.Event()
threading.Thread(target=lambda: (input(), ending.set()), daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as listener:
    while not ending.wait(0.02):
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
            client.sendall(b"x" * 100)
            server.recv(100, socket.MSG_WAITALL)
"""


class Programs:
    """The two of them, with files that they share as one Secret would be shared."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._identities = [make_identity(folder, f"server{number}", "IP:127.0.0.1") for number in range(2)]
        self.write_tokens("first")
        self.show(0)
        authorities = b"".join(each.certificate.read_bytes() for each in self._identities)
        (folder / "ca.crt").write_bytes(authorities)
        self._backend, addresses = stack.enter_context(backend(folder / "data", environment=self._of_backend()))
        self._console = addresses["http"]
        self._report = folder / "figures.json"
        variables = {
            "ROVER_BACKEND_ADDR": addresses["grpc"],
            "ROVER_BACKEND_ENABLE_TLS": "true",
            "ROVER_BACKEND_CA_PEM_PATH": str(folder / "ca.crt"),
            "ROVER_BACKEND_AUTHENTICATION_FILE": str(folder / "token of the agent"),
            "ROVER_TELEMETRY_ADDRESS": "127.0.0.1:0",
            "ROVER_ACCESS_LOG_FLUSH_PERIOD": "200ms",
        }
        command: list[str | Path] = [PROGRAMS / "pyrover-agent", "run", "--attach", ATTACH, "--figures", self._report]
        running = program(command, stderr=subprocess.PIPE, env={**os.environ, **variables})
        self._agent = stack.enter_context(running)
        assert self._agent.stderr is not None
        self._said = self._agent.stderr.fileno()
        self._figures = read_line(self._said, "the agent").removeprefix("figures at ").strip()

    def _of_backend(self) -> dict[str, str]:
        return {
            "PYROVER_BACKEND_TOKEN_FILE": str(self._folder / "token"),
            "PYROVER_BACKEND_GRPC_TLS_ENABLED": "true",
            "PYROVER_BACKEND_GRPC_TLS_CERTIFICATE": str(self._folder / "tls.crt"),
            "PYROVER_BACKEND_GRPC_TLS_KEY": str(self._folder / "tls.key"),
        }

    def write_tokens(self, *tokens: str) -> None:
        self.write_token_of_backend(*tokens)
        self.write_token_of_agent(*tokens)

    def write_token_of_backend(self, *tokens: str) -> None:
        self._write("token", "".join(f"{token}\n" for token in tokens).encode())

    def write_token_of_agent(self, *tokens: str) -> None:
        self._write("token of the agent", "".join(f"{token}\n" for token in tokens).encode())

    def show(self, number: int) -> None:
        """Replace the backend's certificate and key."""
        self._write("tls.key", self._identities[number].key.read_bytes())
        self._write("tls.crt", self._identities[number].certificate.read_bytes())

    def _write(self, name: str, content: bytes) -> None:
        new = self._folder / f"{name}.new"
        new.write_bytes(content)
        new.rename(self._folder / name)

    def reload(self, part: str) -> None:
        """Let both read their files again, as `systemctl reload` does, until both have."""
        before = self._of_console("pyrover_backend_reloads_total", part=part, outcome="replaced")
        for process in (self._backend, self._agent):
            process.send_signal(signal.SIGHUP)
        until(
            lambda: self._of_console("pyrover_backend_reloads_total", part=part, outcome="replaced") > before,
            f"the backend has not read {part} again",
        )
        while "core.backend: " not in (line := read_line(self._said, "the agent")):
            assert "error" not in line, line

    def until_denied(self, times: int) -> None:
        """Wait for so many more attempts that the backend denies."""
        before = self._denied()
        until(lambda: self._denied() >= before + times, "the agent is not denied")

    def _denied(self) -> float:
        return _figure(self._figures, "pyrover_agent_send_attempts_total", outcome="denied")

    def go_on(self) -> None:
        """Wait until more is delivered."""
        before = self.delivered()
        until(lambda: self.delivered() > before, "nothing is delivered")

    def delivered(self) -> float:
        return _figure(self._figures, "pyrover_agent_logs_delivered_total")

    def received(self) -> float:
        return self._of_console("pyrover_backend_logs_received_total")

    def _of_console(self, name: str, **labels: str) -> float:
        return _figure(f"{self._console}/metrics", name, **labels)

    def connections(self) -> float:
        return _figure(self._figures, "pyrover_agent_backend_connections_total")

    def until_connected_again(self, before: float) -> None:
        until(lambda: self.connections() > before, "the agent has made no other connection")

    def end_agent(self) -> dict[str, object]:
        """Its final figures."""
        self._agent.send_signal(signal.SIGTERM)
        assert self._agent.wait(PATIENCE) == 0
        final: dict[str, object] = json.loads(self._report.read_text())
        return final


def _figure(address: str, name: str, **labels: str) -> float:
    """The sum of a figure's samples that have these labels."""
    with urllib.request.urlopen(address, timeout=PATIENCE) as response:  # noqa: S310 - always http
        text = response.read().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(
        sample.value for sample in samples if sample.name == name and labels.items() <= dict(sample.labels).items()
    )


@pytest.fixture
def traffic() -> Iterator[None]:
    with program([sys.executable, "-c", TRAFFIC], stdin=subprocess.PIPE) as process:
        yield
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(PATIENCE) == 0


@pytest.mark.usefixtures("traffic")
def test_a_secret_is_replaced_as_the_documentation_says(tmp_path: Path) -> None:
    """docs/security.md: both tokens for a while, the new one first, the new one alone; and another certificate."""
    with ExitStack() as stack:
        both = Programs(tmp_path, stack)
        both.go_on()
        both.write_tokens("first", "second")
        both.reload("token")
        both.go_on()
        both.write_tokens("second", "first")
        both.reload("token")
        both.go_on()
        connections = both.connections()
        both.show(1)
        both.reload("grpc_tls")
        both.until_connected_again(connections)
        both.go_on()
        both.write_tokens("second")
        both.reload("token")
        both.go_on()
        _end_without_losses(both)


@pytest.mark.usefixtures("traffic")
def test_logs_wait_while_the_backend_has_a_new_token_and_the_agent_has_not(tmp_path: Path) -> None:
    """docs/security.md: a token is replaced in one step, which the agent learns of later than the backend."""
    with ExitStack() as stack:
        both = Programs(tmp_path, stack)
        both.go_on()
        both.write_token_of_backend("second")
        both.until_denied(3)
        both.write_token_of_agent("second")
        both.go_on()
        _end_without_losses(both)


def _end_without_losses(both: Programs) -> None:
    final = both.end_agent()
    losses = final["losses"]
    assert isinstance(losses, dict)
    assert {cause for cause in ("refused", "denied", "queue_full") if losses.get(cause)} == set()
    # A busy machine may not deliver its last logs in time; no others may be missing.
    assert final["captured"] == int(str(final["delivered"])) + int(losses.get("shutdown", 0))
    assert both.received() >= float(str(final["delivered"]))
