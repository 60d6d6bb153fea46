"""Targets: kernel types, programs, netlink, gRPC and HTTP/2, and objects of Kubernetes."""

import random
import struct
import sys
from pathlib import Path

import msgspec

from agent.conntrack import ctnetlink
from agent.discovery import rtnetlink
from agent.discovery.kubernetes import objects
from agent.kernel.btf import Btf, BtfError
from agent.tls.elf import ElfError, ElfFile
from agent.tls.go import find_go_functions, go_version
from agent.tls.symbols import find_functions
from backend.ingest.framing import ACCEPTED_ENCODINGS, Framer
from backend.ingest.status import CallError
from backend.server.readiness import requested_service
from common.kubernetes import decoding, resources
from common.kubernetes.answers import UNDECODABLE, UnreadableError
from tests.fuzz.registry import Target, file

_LIMIT = 65_536


def _btf_seed() -> bytes:
    """`struct pair { int a; int b[3]; }`, an enumeration, a function and an alias, as pahole would write them."""
    names = b"\0int\0pair\0a\0b\0kind\0ONE\0call\0alias\0"
    at = {
        name: names.index(b"\0" + name + b"\0") + 1 for name in (b"int", b"pair", b"a", b"b", b"kind", b"ONE", b"call")
    }

    def head(name: bytes, kind: int, count: int, size: int) -> bytes:
        return struct.pack("<III", at.get(name, 0), kind << 24 | count, size)

    types = (
        head(b"int", 1, 0, 4)
        + struct.pack("<I", 32)
        + head(b"", 3, 0, 0)
        + struct.pack("<III", 1, 1, 3)
        + head(b"pair", 4, 2, 16)
        + struct.pack("<III", at[b"a"], 1, 0)
        + struct.pack("<III", at[b"b"], 2, 32)
        + head(b"kind", 6, 1, 4)
        + struct.pack("<Ii", at[b"ONE"], 1)
        + head(b"", 13, 1, 1)
        + struct.pack("<II", at[b"a"], 1)
        + head(b"call", 12, 0, 5)
    )
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names)) + types + names


def _btf(data: bytes) -> None:
    types = Btf(data)
    for question in (
        lambda: types.member("pair", "b"),
        lambda: types.size("pair"),
        lambda: types.has("pair", "a.b"),
        lambda: types.functions(["call"]),
        lambda: types.tracepoints(["call"]),
        lambda: types.enumerators("kind"),
    ):
        try:
            question()
        except BtfError:
            continue


def _program() -> bytes:
    """The head of a real program, with its tables moved into it."""
    with Path(sys.executable).open("rb") as program:
        return program.read(16_384)


def _elf(path: Path) -> None:
    with ElfFile(str(path)) as elf:
        for question in (
            lambda: elf.sections,
            lambda: elf.build_id,
            lambda: find_functions(elf, ["SSL_read"]),
            lambda: go_version(elf),
            lambda: find_go_functions(elf, ["crypto/tls.(*Conn).Read"]),
        ):
            try:
                question()
            except ElfError:
                continue


def _go_seed() -> bytes:
    """A program with nothing but the build information of Go."""
    information = b"\xff Go buildinf:\x08\x02".ljust(32, b"\0") + b"\x08go1.22.3\x00"
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 6, 128, 0x1000, 0x1000, len(information), len(information), 16)
    return (header + segment).ljust(128, b"\0") + information


def _frames(data: bytes) -> None:
    """gRPC's framing, in chunks that end anywhere: what is given is never more than the limits let through."""
    source = random.Random(data)
    for encoding in ACCEPTED_ENCODINGS:
        framer = Framer(encoding, _LIMIT)
        at = 0
        try:
            while at < len(data):
                end = at + source.randint(1, 64)
                framer.add(data[at:end])
                at = end
                for frames in framer.take():
                    assert int(frames.lengths.max()) <= _LIMIT
            framer.finish()
        except CallError:
            continue


def _gzipped(plain: bytes) -> bytes:
    import gzip  # noqa: PLC0415 - only for this seed

    packed = gzip.compress(plain, mtime=0)
    return b"\x01" + len(packed).to_bytes(4, "big") + packed


def _object(data: bytes) -> None:
    raw = msgspec.Raw(data)
    kinds = (resources.PODS, resources.SERVICES, resources.ENDPOINT_SLICES, resources.NODES, objects.pods_of("node"))
    for kind in kinds:
        try:
            kind.read(raw)
        except UNDECODABLE:
            continue


def _answer(data: bytes) -> None:
    for read in (decoding.decode_page, decoding.decode_event, lambda line: decoding.decode_version(msgspec.Raw(line))):
        try:
            read(data)
        except UnreadableError:
            continue


_ADDRESSES = struct.pack("<IHHIIBBBBIHHI", 32, 20, 2, 1, 0, 2, 8, 128, 254, 1, 8, 2, 0x0100007F) + struct.pack(
    "<IHHIII", 20, 3, 2, 1, 0, 0
)
"""127.0.0.1 of the interface 1, and the end (rtnetlink(7))."""
_JSON = (
    b"{",
    b"[" * 5_000,
    b'"',
    b"null",
    b"1e999",
    b"\\ud800",
    b"9" * 400,
    b"-0",
    b'"0001-01-01T00:00:00Z"',
    b'"10.0.0.1"',
)
_POD = (
    b'{"metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "5", "labels": {"app": "c"},'
    b' "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": "n", "hostNetwork": false, "containers":'
    b' [{"name": "x", "ports": [{"containerPort": 80}]}]}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}'
)

TARGETS = (
    Target("btf", _btf, (BtfError,), (_btf_seed(),), (b"\xff" * 4, b"\x00" * 12)),
    Target("elf", file(_elf, "program"), (ElfError,), (_program(), _go_seed()), (b"\xff" * 8, b"\x00" * 8)),
    Target(
        "grpc-framing",
        _frames,
        (),
        (b"\x00\x00\x00\x00\x03abc" * 3, b"\x00\x00\x00\x00\x00" * 5, _gzipped(b"x" * 90_000), _gzipped(b"abc") * 2),
        (b"\x01\x00\x00\x00", b"\x00\xff\xff\xff\xff", b"\x02"),
    ),
    Target("grpc-health", requested_service, (CallError,), (b"", b"\x0a\x03abc"), (b"\x0a", b"\xff")),
    Target(
        "ctnetlink",
        ctnetlink.parse,
        (ctnetlink.CtnetlinkError,),
        (ctnetlink.dump_request(), b"\x14\0\0\0" * 20),
        (b"\xff" * 4,),
    ),
    Target(
        "rtnetlink",
        rtnetlink.parse,
        (rtnetlink.RtnetlinkError,),
        (_ADDRESSES,),
        (b"\xff" * 4,),
    ),
    Target("kubernetes-objects", _object, (), (_POD,), _JSON),
    Target(
        "kubernetes-answers",
        _answer,
        (),
        (
            b'{"metadata": {"resourceVersion": "5", "continue": "x"}, "items": [' + _POD + b"]}",
            b'{"type": "ADDED", "object": ' + _POD + b"}",
        ),
        _JSON,
    ),
)
