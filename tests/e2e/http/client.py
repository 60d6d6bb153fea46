"""Clients as the tests use them: each makes the given calls to a server and gives its account of them."""

import http.client
import io
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.http.account import Expected, read_account
from tests.e2e.http.calls import LARGE, Call, as_json
from tests.e2e.http.downloads import boring_curl
from tests.e2e.http.server import HERE, Server, node_command, python_command
from tests.e2e.http.tools import tool
from tests.e2e.programs import ROOT, program, read_line
from tests.e2e.waiting import where_they_wait
from tests.waiting import PATIENCE

CHUNK = 4096
"""Bytes."""
TALK_SECONDS = 2.5 * PATIENCE
"""For all exchanges of a client, of which some wait thousands of times for their turn on a busy machine."""
Client = Callable[[Server, Sequence[Call]], list[Expected]]


def run(command: Sequence[str | Path], given: bytes = b"") -> str:
    """What a program says that must end well."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with program(command, **pipes) as process:
        try:
            said, complaint = process.communicate(given, TALK_SECONDS)
        except subprocess.TimeoutExpired as expired:
            so_far = (expired.output or b"").decode()[-2000:]
            raise AssertionError(f"{command} hangs after {so_far!r}:\n{where_they_wait()}") from None
    assert process.returncode == 0, f"{command}: {complaint.decode()[-2000:]}"
    return said.decode()


def own(command: Sequence[str | Path]) -> Client:
    """A client of this project, which reads calls.py's JSON and writes account.py's."""
    return lambda server, made: read_account(run(command, as_json(server.base, made, server.authority)))


def python_client(module: str, *arguments: str) -> Client:
    """A module of clients/."""
    return own(python_command(f"clients.{module}", *arguments))


def boring_client(kind: str) -> Client:
    """clients/boring_client.py, which finds libcurl with BoringSSL in a folder of downloads."""
    where = f"PYTHONPATH={os.pathsep.join((str(ROOT), str(boring_curl())))}"
    return own(["env", where, *python_command("clients.boring_client", kind)])


def node_client(version: int) -> Client:
    """Node.js."""
    return own(node_command("clients/client.mjs", f"http{version}"))


def curl(*options: str, files: Path, apart: bool = False) -> Client:
    """curl with one connection for all calls, or one for each. Request bodies are kept in `files`."""

    def client(server: Server, made: Sequence[Call]) -> list[Expected]:
        assert not (apart and server.authority)  # whose certificate is for one name
        # Options hold until the next call. A connection is used again for the same host only.
        bases = [f"http://{number}.localhost:{server.port}" if apart else server.base for number in range(len(made))]
        more = [f'resolve = "*:{server.port}:127.0.0.1"', *options] if apart else options
        blocks = [_curl_block(server, base, call, more, files) for base, call in zip(bases, made, strict=True)]
        said = run([tool("curl"), "--config", "-"], "\nnext\n".join(blocks).encode())
        by_target = {call.target: call for call in made}
        return [_curl_exchange(json.loads(line), by_target) for line in said.splitlines()]

    return client


def _curl_block(server: Server, base: str, call: Call, options: Sequence[str], files: Path) -> str:
    lines = [f'url = "{base}{call.target}"', 'output = "/dev/null"', "silent", "show-error", *options]
    lines.append(r'write-out = "%{json}\n"')
    if server.authority:
        lines.append(f'cacert = "{server.authority}"')
    if call.method == "HEAD":
        lines.append("head")
    elif call.method != "GET":
        lines.append(f'request = "{call.method}"')
    if call.body_bytes:
        body = files / f"request-{call.body_bytes}"
        body.write_bytes(b"y" * call.body_bytes)
        lines.append(f'data-binary = "@{body}"')
        if call.chunked and "http1.1" in options:
            lines.append('header = "Transfer-Encoding: chunked"')
    return "\n".join(lines)


def _curl_exchange(said: dict[str, str | int], by_target: dict[str, Call]) -> Expected:
    version = 2 if said["http_version"] == "2" else 1
    url = urlsplit(str(said["url_effective"]))
    call = by_target[url._replace(scheme="", netloc="").geturl()]
    if not call.chunked:
        assert said["size_upload"] == call.body_bytes  # of chunks, curl counts the framing as well
    return Expected(
        method=str(said["method"]),
        path=url.path,
        status=int(said["http_code"]),
        request_body_bytes=call.body_bytes,
        response_body_bytes=int(said["size_download"]),
        # A small body is counted with the head that it is sent with. HTTP/2's are those before compression.
        request_header_bytes=int(said["size_request"]) if version == 1 and not said["size_upload"] else None,
        response_header_bytes=int(said["size_header"]) if version == 1 else None,
        version=version,
        tls=url.scheme == "https",
    )


def wrk(depth: int) -> Client:
    """wrk on one connection, with `depth` requests in flight where there are as many."""
    script = HERE / "clients" / "pipeline.lua"

    def client(server: Server, made: Sequence[Call]) -> list[Expected]:
        assert all(call.method == "GET" for call in made)
        together = min(depth, len(made))
        assert len(made) % together == 0
        with tempfile.NamedTemporaryFile("w") as targets:
            targets.write("".join(f"{call.target}\n" for call in made))
            targets.flush()
            load: list[str | Path] = ["-t", "1", "-c", "1", "-d", "600s", "-s", script]
            options = [*load, server.base, "--", str(together), targets.name]
            # Its own end is a duration: it is interrupted when all is done.
            with program(["stdbuf", "-oL", tool("wrk"), *options], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                lines = []
                while (line := read_line(process.stdout.fileno(), "wrk")) != "all answered\n":
                    lines.append(line)
                process.send_signal(signal.SIGINT)
                process.stdout.read()
                assert process.wait(PATIENCE) == 0
        exchanges = [line.split()[1:] for line in lines if line.startswith("exchange ")]
        return [
            Expected(
                method="GET",
                path=target.partition("?")[0],
                status=int(status),
                request_body_bytes=0,
                response_body_bytes=int(size),
                version=1,
                tls=server.authority is not None,
            )
            for target, status, size in exchanges
        ]

    return client


def gnutls_cli() -> Client:
    """gnutls-cli, which sends what it is given line by line and shows what it receives: all on one connection.

    A call with a large body has a connection of its own: what follows it in a pipeline cannot be told (docs/http.md).
    """

    def client(server: Server, made: Sequence[Call]) -> list[Expected]:
        alone = [[call] for call in made if call.body_bytes >= LARGE]
        together = [call for call in made if call.body_bytes < LARGE]
        return [one for some in (*alone, together) if some for one in _gnutls_connection(server, some)]

    return client


def _gnutls_connection(server: Server, made: Sequence[Call]) -> list[Expected]:
    assert server.authority is not None
    heads = [_head(call) for call in made]
    text = "".join(head + _body(call) for head, call in zip(heads, made, strict=True)).encode()
    with tempfile.NamedTemporaryFile() as log:
        options = ["--x509cafile", server.authority, "--logfile", log.name, "--port", str(server.port)]
        command = [tool("gnutls-cli"), *options, "localhost"]
        done = subprocess.run(command, input=text, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, (done.stderr, Path(log.name).read_text())
    received = _Kept(done.stdout)
    said = []
    for call, head in zip(made, heads, strict=True):
        start = received.tell()
        response = http.client.HTTPResponse(received, method=call.method)  # type: ignore[arg-type] # as much of a socket as it uses
        response.begin()
        header_bytes = received.tell() - start
        said.append(
            Expected(
                method=call.method,
                path=call.target.partition("?")[0],
                status=response.status,
                request_body_bytes=call.body_bytes,
                response_body_bytes=len(response.read()),
                request_header_bytes=len(head),
                response_header_bytes=header_bytes,
                version=1,
                tls=True,
            )
        )
    assert not received.read()
    return said


def _head(call: Call) -> str:
    lines = [f"{call.method} {call.target} HTTP/1.1", "Host: localhost"]
    if call.chunked:
        lines.append("Transfer-Encoding: chunked")
    elif call.body_bytes or call.method in {"POST", "PUT"}:
        lines.append(f"Content-Length: {call.body_bytes}")
    return "".join(f"{line}\r\n" for line in [*lines, ""])


def _body(call: Call) -> str:
    """With lines, as text has them: one of 80 characters after the other, and what is left over."""
    body = (("y" * 79 + "\n") * (call.body_bytes // 80 + 1))[: call.body_bytes]
    if not call.chunked:
        return body
    chunks = [body[begin : begin + CHUNK] for begin in range(0, len(body), CHUNK)]
    return "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in [*chunks, ""])


class _Kept(io.BytesIO):
    """Several responses, one after the other, for http.client, which closes what it has read one from."""

    def makefile(self, _mode: str) -> io.BytesIO:
        return self

    def close(self) -> None:
        pass
