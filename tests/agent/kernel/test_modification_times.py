"""agent/kernel/headers.py: where a kernel has the time at which a file was last written to, which has moved twice.

struct inode of include/linux/fs.h has i_mtime before Linux 6.7, __i_mtime before 6.11, and i_mtime_sec and i_mtime_nsec
since. The structs here have these members and those around them, in the kernel's order.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from agent.kernel import headers
from agent.kernel.btf import Btf
from tests.agent.kernel.btf_writer import STRUCT, TYPEDEF, Writer

SIZE_AT: Final = 80
TIMES_AT: Final = SIZE_AT + 8

Member = tuple[str, str]
"""Type and name in C."""

BEFORE_6_7: Final = (
    ("struct timespec64", "i_atime"),
    ("struct timespec64", "i_mtime"),
    ("struct timespec64", "__i_ctime"),
)
BEFORE_6_11: Final = tuple((kind, f"__{name.removeprefix('__')}") for kind, name in BEFORE_6_7)
SINCE_6_11: Final = (
    *(("time64_t", f"i_{which}time_sec") for which in "amc"),
    *(("u32", f"i_{which}time_nsec") for which in "amc"),
)
BYTES: Final = {"struct timespec64": 16, "time64_t": 8, "u32": 4}

KERNELS: Final = pytest.mark.parametrize(
    ("version", "members", "seconds_at", "nanoseconds_at"),
    [
        ((5, 4, 0), BEFORE_6_7, TIMES_AT + 16, TIMES_AT + 24),
        ((6, 6, 99), BEFORE_6_7, TIMES_AT + 16, TIMES_AT + 24),
        ((6, 7, 0), BEFORE_6_11, TIMES_AT + 16, TIMES_AT + 24),
        ((6, 10, 99), BEFORE_6_11, TIMES_AT + 16, TIMES_AT + 24),
        ((6, 11, 0), SINCE_6_11, TIMES_AT + 8, TIMES_AT + 28),
        ((6, 18, 0), SINCE_6_11, TIMES_AT + 8, TIMES_AT + 28),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) and isinstance(value[0], int) else None,
)


def described(members: tuple[Member, ...]) -> Btf:
    """A kernel that has such inodes, and little else."""
    writer = Writer()
    signed, unsigned, byte = writer.integer("long", 8), writer.integer("unsigned int", 4), writer.integer("char", 1)
    seconds = writer.add(TYPEDEF, "time64_t", signed)
    types = {
        "struct timespec64": writer.aggregate(
            STRUCT, "timespec64", 16, [("tv_sec", seconds, 0), ("tv_nsec", signed, 64)]
        ),
        "time64_t": seconds,
        "u32": writer.add(TYPEDEF, "u32", unsigned),
    }
    placed, at = [("i_size", signed, SIZE_AT * 8)], TIMES_AT
    for kind, name in members:
        placed.append((name, types[kind], at * 8))
        at += BYTES[kind]
    writer.aggregate(STRUCT, "inode", at, placed)
    writer.aggregate(STRUCT, "file", 8, [("f_count", signed, 0)])
    writer.aggregate(STRUCT, "sock", 1, [("sk_userlocks", byte, 0)])
    writer.aggregate(STRUCT, "inet_connection_sock", 1, [("icsk_ca_state", byte, 0)])
    sample = writer.aggregate(STRUCT, "minmax_sample", 8, [("t", unsigned, 0), ("v", unsigned, 32)])
    writer.aggregate(STRUCT, "tcp_sock", 8, [("rtt_min", sample, 0)])
    return Btf(writer.file())


@KERNELS
def test_as_a_kernel_describes_itself(
    version: tuple[int, int, int], members: tuple[Member, ...], seconds_at: int, nanoseconds_at: int
) -> None:
    del version  # BTF tells what there is
    defines = dict(
        re.findall(r"#define INODE_MODIFIED_(\w+)_OFFSET (\d+)", "\n".join(headers._defines(described(members))))
    )
    assert defines == {"SECONDS": str(seconds_at), "NANOSECONDS": str(nanoseconds_at)}


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@KERNELS
def test_by_the_headers_of_a_kernel(
    tmp_path: Path, version: tuple[int, int, int], members: tuple[Member, ...], seconds_at: int, nanoseconds_at: int
) -> None:
    for name in re.findall(r"#include <(.+)>", headers.KERNEL_INCLUDES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    major, minor, patch = version
    (tmp_path / "linux/version.h").write_text(
        "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"
        f"#define LINUX_VERSION_CODE KERNEL_VERSION({major}, {minor}, {patch})\n"
    )
    fields = "".join(f"{kind} {name};" for kind, name in members)
    (tmp_path / "linux/fs.h").write_text(
        "typedef long long time64_t;\ntypedef unsigned int u32;\n"
        "struct timespec64 { time64_t tv_sec; long tv_nsec; };\n"
        f"struct inode {{ char before[{SIZE_AT}]; long long i_size; {fields} }};\n"
        "#define offsetof(type, member) __builtin_offsetof(type, member)\n"
    )
    source = tmp_path / "places.c"
    source.write_text(
        headers.KERNEL_INCLUDES
        + f'_Static_assert(INODE_MODIFIED_SECONDS_OFFSET == {seconds_at}, "");\n'
        + f'_Static_assert(INODE_MODIFIED_NANOSECONDS_OFFSET == {nanoseconds_at}, "");\n'
    )
    subprocess.run(["cc", "-nostdinc", "-Wall", "-Werror", "-fsyntax-only", f"-I{tmp_path}", source], check=True)
