"""The clients of nghttp2, and what they say of frames."""

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.http.account import Expected
from tests.e2e.http.calls import Call
from tests.e2e.http.client import Client, run
from tests.e2e.http.server import Server
from tests.e2e.http.tools import tool

PRIORITY_FLAG, PRIORITY_BYTES = 0x20, 5
_FRAME = re.compile(
    r"\] (?P<way>send|recv) (?P<kind>HEADERS|DATA) frame <length=(?P<length>\d+), flags=0x(?P<flags>..), "
    r"stream_id=(?P<stream>\d+)>(?P<rest>(?:\n {10}.*)*)"
)
_SENT_FIELD = re.compile(r"^ {10}(:method|:path): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"\] recv \(stream_id=(\d+)\) :status: (\d+)")
_UPGRADE = re.compile(r"\] HTTP Upgrade (request|response)\n((?:.+\n)+)")
_PADDING = re.compile(r"\(padlen=(\d+)")


def nghttp(*options: str) -> Client:
    """nghttp with all calls at once on one connection; it says how long each frame was."""

    def client(server: Server, made: Sequence[Call]) -> list[Expected]:
        assert all(call.method == "GET" for call in made)
        # HEADERS of a request with a priority of its own are 5 bytes longer; both kinds are made here.
        command = [tool("nghttp"), "--verbose", "--null-out", *options]
        return read_frames(run([*command, *(server.base + call.target for call in made)]), tls=bool(server.authority))

    return client


def read_frames(text: str, *, tls: bool) -> list[Expected]:
    """The exchanges in what `nghttp --verbose` says; interim responses are part of their final ones."""
    header_bytes: Counter[tuple[str, str]] = Counter()
    body_bytes: Counter[tuple[str, str]] = Counter()
    requests: dict[str, dict[str, str]] = {}
    for frame in _FRAME.finditer(text):
        way, stream, length = frame["way"], frame["stream"], int(frame["length"])
        if padding := _PADDING.search(frame["rest"]):
            length -= int(padding[1])  # the byte that says how much there is included
        if frame["kind"] == "DATA":
            body_bytes[way, stream] += length
            continue
        if int(frame["flags"], 16) & PRIORITY_FLAG:
            length -= PRIORITY_BYTES
        header_bytes[way, stream] += length
        if way == "send" and stream not in requests:
            requests[stream] = dict(_SENT_FIELD.findall(frame["rest"]))
    for what, head in _UPGRADE.findall(text):
        if what == "request":
            method, target, _ = head.split(" ", 2)
            requests["1"] = {":method": method, ":path": target}
        header_bytes["send" if what == "request" else "recv", "1"] += len(head)
    statuses = dict(_STATUS.findall(text))  # the last one of each stream
    return [
        Expected(
            method=request[":method"],
            path=request[":path"].partition("?")[0],
            status=int(statuses[stream]),
            request_body_bytes=body_bytes["send", stream],
            response_body_bytes=body_bytes["recv", stream],
            request_header_bytes=header_bytes["send", stream],
            response_header_bytes=header_bytes["recv", stream],
            version=2,
            tls=tls,
        )
        for stream, request in requests.items()
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """What h2load says at its end."""

    exchanges: int
    response_header_bytes: int
    """Header blocks, without what frames are made of."""
    response_body_bytes: int


def h2load(server: Server, made: Sequence[Call], *, connections: int, streams: int) -> Load:
    """Make as many exchanges as there are calls; each connection goes through them from the first one on."""
    assert all(call.method == "GET" for call in made)
    with tempfile.NamedTemporaryFile("w") as targets:
        targets.write("".join(f"{call.target}\n" for call in made))
        targets.flush()
        counts = ["-n", str(len(made)), "-c", str(connections), "-m", str(streams)]
        said = run([tool("h2load"), *counts, "-i", targets.name, "-B", server.base])
    done = re.search(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout", said)
    traffic = re.search(r"\((\d+)\) headers .*\((\d+)\) data", said)
    assert done, said
    assert traffic, said
    return Load(int(done[1]), int(traffic[1]), int(traffic[2]))
