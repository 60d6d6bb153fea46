"""agent/kernel/btf.py: a file built here, the kernel's own, and damaged ones."""

import contextlib
import ctypes
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.btf import VMLINUX, Btf, BtfError, Function, Member
from tests.agent.kernel.btf_writer import ARRAY, CONST, FUNCTION, POINTER, PROTOTYPE, STRUCT, TYPEDEF, UNION, Writer
from tests.agent.kernel.workloads.system_calls import IoVector, MessageHeader, MessagesHeader

needs_btf = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel does not describe itself")


def example() -> bytes:
    writer = Writer()
    u8, u32 = writer.integer("u8", 1), writer.integer("u32", 4)
    alias = writer.add(TYPEDEF, "alias", writer.add(CONST, "", u32))
    pointer = writer.add(POINTER, "", 0)
    many = writer.add(ARRAY, "", 0, struct.pack("<III", alias, u32, 5))
    pairs = writer.add(ARRAY, "", 0, struct.pack("<III", many, u32, 2))
    inner = writer.aggregate(STRUCT, "inner", 8, [("first", u32, 0), ("second", alias, 32)])
    nameless = writer.aggregate(UNION, "", 8, [("whole", pointer, 0), ("", inner, 0)])
    writer.aggregate(
        STRUCT, "outer", 64, [("a", u8, 0), ("", nameless, 64), ("kept", inner, 128), ("many", pairs, 192)]
    )
    writer.aggregate(STRUCT, "bits", 4, [("low", u8, 3 << 24), ("high", u8, 4 << 24 | 3), ("plain", u8, 8)], flag=1)
    writer.enum("colour", {"RED": 0, "GREEN": -1, "ALSO_RED": 0})
    prototype = writer.add(PROTOTYPE, "", u32, struct.pack("<IIII", 0, u32, 0, pointer), count=2)
    writer.add(FUNCTION, "do_work", prototype)
    return writer.file()


def test_members() -> None:
    btf = Btf(example())
    assert btf.member("outer", "a") == Member(0, 1)
    assert btf.member("outer", "whole") == Member(8, 8)
    assert btf.member("outer", "second") == Member(12, 4)
    assert btf.member("outer", "kept") == Member(16, 8)
    assert btf.member("outer", "kept.second") == Member(20, 4)
    assert btf.member("outer", "many") == Member(24, 40)
    assert btf.member("bits", "low") == Member(0, 1, 0, 3)
    assert btf.member("bits", "high") == Member(0, 1, 3, 4)
    assert btf.member("bits", "plain") == Member(1, 1)
    assert btf.size("outer") == 64
    assert btf.has("outer", "kept.second")
    assert not btf.has("outer", "kept.third")
    assert not btf.has("nothing", "a")
    assert btf.functions(["do_work", "work"]) == {"do_work": Function(len(btf), 2)}


@pytest.mark.parametrize(
    ("structure", "path", "says"),
    [
        ("nothing", "a", "no struct nothing"),
        ("outer", "b", "no member b"),
        ("outer", "a.b", "no member a.b"),
        ("uter", "a", "no struct uter"),
    ],
)
def test_what_is_not_there(structure: str, path: str, says: str) -> None:
    with pytest.raises(BtfError, match=says):
        Btf(example()).member(structure, path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "has 24 bytes"),
        (bytes(24), "magic 0x0000"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 100, 0, 1), "outside the file"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1) + b"x", "does not end with NUL"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 4, 4, 1) + bytes(5), "cut off"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + bytes(13), "unknown kind 0"),
    ],
)
def test_damage_is_named(data: bytes, says: str) -> None:
    with pytest.raises(BtfError, match=says):
        Btf(data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BtfError, match="No such file"):
        Btf.read(tmp_path / "vmlinux")


def test_types_that_contain_themselves_end() -> None:
    writer = Writer()
    writer.aggregate(STRUCT, "knot", 8, [("", 2, 0), ("", 2, 0), ("", 3, 0)])
    writer.aggregate(UNION, "", 8, [("", 1, 0), ("", 3, 0), ("", 2, 0)])
    writer.add(TYPEDEF, "", 3)
    with pytest.raises(BtfError, match="without end"):
        Btf(writer.file()).member("knot", "x")


def test_nesting_that_doubles_at_each_level_ends() -> None:
    writer = Writer()
    for level in range(1, 1000):
        writer.aggregate(STRUCT, "top" if level == 1 else "", 8, [("", level + 1, 0), ("", level + 1, 0)])
    writer.integer("end", 4)

    with pytest.raises(BtfError, match="without end"):
        Btf(writer.file()).member("top", "x")


@given(data=st.data())
def test_damaged_files_give_an_answer_or_an_error(data: st.DataObject) -> None:
    raw = bytearray(example())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        btf = Btf(bytes(raw))
        for structure in ("outer", "inner", "bits"):
            for path in ("a", "whole", "kept.second", "many", "high"):
                btf.has(structure, path)
                try:
                    found = btf.member(structure, path)
                except BtfError:
                    continue
                assert found.byte_offset >= 0
        btf.functions(["do_work"])
        btf.enumerators("colour")
    except BtfError:
        pass


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    header = struct.pack(
        "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(noise) // 2, len(noise) // 2, len(noise) - len(noise) // 2
    )
    for data in (noise, header + noise):
        with contextlib.suppress(BtfError):
            Btf(data).has("outer", "a")


def test_enumerators() -> None:
    assert Btf(example()).enumerators("colour") == {0: "RED", -1: "GREEN"}
    assert Btf(example()).enumerators("shape") == {}


@needs_btf
def test_the_kernel_agrees_with_the_c_library() -> None:
    btf = Btf.read()
    assert len(btf) > 10_000
    pairs: list[tuple[str, type[ctypes.Structure], dict[str, str]]] = [
        ("iovec", IoVector, {"iov_base": "base", "iov_len": "length"}),
        ("user_msghdr", MessageHeader, {"msg_name": "name", "msg_namelen": "name_length", "msg_iov": "vector"}),
        ("mmsghdr", MessagesHeader, {"msg_hdr": "header", "msg_len": "length"}),
    ]
    for structure, twin, members in pairs:
        assert btf.size(structure) == ctypes.sizeof(twin)
        for member, field in members.items():
            place = getattr(twin, field)
            assert btf.member(structure, member) == Member(place.offset, place.size)


@needs_btf
def test_the_kernel_describes_its_functions() -> None:
    btf = Btf.read()
    assert btf.functions(["tcp_sendmsg", "no_such_function_at_all"])["tcp_sendmsg"].parameters == 3


def test_arguments_of_raw_tracepoints() -> None:
    writer = Writer()
    integer = writer.integer("int", 4)
    parameters = struct.pack("<II", 0, integer) * 3
    prototype = writer.add(PROTOTYPE, "", 0, parameters, count=3)
    pointer = writer.add(POINTER, "", prototype)
    writer.add(TYPEDEF, "btf_trace_kfree_skb", pointer)
    writer.add(TYPEDEF, "btf_trace_odd", integer)
    btf = Btf(writer.file())
    assert btf.tracepoints(["kfree_skb", "unknown"]) == {"kfree_skb": 2}  # the first parameter is the kernel's own
    with pytest.raises(BtfError, match="tracepoint odd has no prototype"):
        btf.tracepoints(["odd"])
