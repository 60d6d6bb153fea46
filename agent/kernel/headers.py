"""What the programs need to know of the kernel's structs, and the header tree that BCC asks for.

Runs in the distribution's Python as well: standard library only.

The running kernel describes its structs (`agent.kernel.btf`). For each struct that the programs use this module writes
a view: a declaration that holds just the fields in `VIEWS`, at their true offsets, padded in between. With them a small
tree replaces the headers that BCC itself includes. No headers package, no /lib/modules.

A kernel without BTF needs its own headers; then the programs include those instead (`KERNEL_INCLUDES`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.kernel.btf import Btf, BtfError


class HeadersError(Exception):
    """This kernel's structs are not what the programs can read."""


@dataclass(frozen=True)
class Field:
    """One field of a view."""

    name: str
    c_type: str
    size: int
    """Bytes of `c_type`; compared with the kernel's own size, so that a changed type is an error here.

    0 for an embedded struct of which there is a view: the true one is larger.
    """
    optional: bool = False
    """Left out when the kernel lacks it, or has nothing in it: without CONFIG_NET_NS possible_net_t is empty."""


@dataclass(frozen=True)
class View:
    """The part of one kernel struct that the programs use."""

    structure: str
    fields: tuple[Field, ...]
    whole: bool = False
    """Whether the view must be as long as the struct itself, because the programs step through arrays of it."""


# A view that embeds another one comes after it.
VIEWS: Final = (
    View("ns_common", (Field("inum", "unsigned int", 4),)),
    View("net", (Field("ns", "struct ns_common", 0),)),
    View("super_block", (Field("s_dev", "u32", 4),)),
    View(
        "inode",
        (
            Field("i_mode", "unsigned short", 2),
            Field("i_ino", "unsigned long", 8),
            Field("i_size", "loff_t", 8),
            Field("i_generation", "u32", 4),
            Field("i_sb", "struct super_block *", 8),
        ),
    ),
    View(
        "file",
        (
            Field("f_inode", "struct inode *", 8),
            Field("private_data", "void *", 8),
            Field("f_count", "long", 8, optional=True),  # until 6.12
            Field("f_ref", "long", 8, optional=True),  # since 6.13
        ),
    ),
    View("fdtable", (Field("max_fds", "unsigned int", 4), Field("fd", "struct file **", 8))),
    View("files_struct", (Field("fdt", "struct fdtable *", 8),)),
    View("signal_struct", (Field("live", "int", 4),)),
    View("mm_struct", (Field("exe_file", "struct file *", 8),)),
    View(
        "task_struct",
        (
            Field("files", "struct files_struct *", 8),
            Field("mm", "struct mm_struct *", 8),
            Field("signal", "struct signal_struct *", 8),
        ),
    ),
    View(
        "sock_common",
        (
            Field("skc_daddr", "__be32", 4),
            Field("skc_rcv_saddr", "__be32", 4),
            Field("skc_dport", "__be16", 2),
            Field("skc_num", "u16", 2),
            Field("skc_family", "unsigned short", 2),
            Field("skc_state", "unsigned char", 1),
            Field("skc_net", "possible_net_t", 8, optional=True),
            Field("skc_v6_daddr", "struct in6_addr", 16),
            Field("skc_v6_rcv_saddr", "struct in6_addr", 16),
        ),
    ),
    View(
        "sock",
        (
            Field("__sk_common", "struct sock_common", 0),
            Field("sk_err", "int", 4),
            Field("sk_protocol", "u16", 2),
            Field("sk_max_ack_backlog", "u32", 4),
        ),
    ),
    View("inet_sock", (Field("inet_sport", "__be16", 2),)),
    View(
        "tcp_sock",
        (
            Field("srtt_us", "u32", 4),
            Field("mdev_us", "u32", 4),
            Field("segs_in", "u32", 4),
            Field("segs_out", "u32", 4),
            Field("rcv_nxt", "u32", 4),
            Field("copied_seq", "u32", 4),
            Field("write_seq", "u32", 4),
        ),
    ),
    View(
        "net_device",
        (
            Field("ifindex", "int", 4),
            Field("rx_handler", "void *", 8),
            Field("nd_net", "possible_net_t", 8, optional=True),
        ),
    ),
    View(
        "sk_buff",
        (
            Field("sk", "struct sock *", 8),
            Field("dev", "struct net_device *", 8),
            Field("len", "unsigned int", 4),
            Field("head", "unsigned char *", 8),
            Field("data", "unsigned char *", 8),
            Field("transport_header", "u16", 2),
        ),
    ),
    View("nf_hook_state", (Field("hook", "u8", 1), Field("pf", "u8", 1))),
    View("socket", (Field("state", "u32", 4), Field("sk", "struct sock *", 8))),
    View(
        "user_msghdr",
        (
            Field("msg_name", "void *", 8),
            Field("msg_iov", "void *", 8),
            Field("msg_iovlen", "unsigned long", 8),
        ),
    ),
    View("mmsghdr", (Field("msg_hdr", "struct user_msghdr", 0), Field("msg_len", "unsigned int", 4)), whole=True),
)

KERNEL_INCLUDES: Final = """\
#include <linux/fs.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/fdtable.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/socket.h>
#include <linux/version.h>
#include <net/inet_sock.h>
#include <net/sock.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define FILE_REFERENCES f_ref
#define FILE_REFERENCES_OF_ONE 0
#else
#define FILE_REFERENCES f_count
#define FILE_REFERENCES_OF_ONE 1
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define INODE_MODIFIED_SECONDS_OFFSET offsetof(struct inode, i_mtime_sec)
#define INODE_MODIFIED_NANOSECONDS_OFFSET offsetof(struct inode, i_mtime_nsec)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define INODE_MODIFIED_SECONDS_OFFSET offsetof(struct inode, __i_mtime.tv_sec)
#define INODE_MODIFIED_NANOSECONDS_OFFSET offsetof(struct inode, __i_mtime.tv_nsec)
#else
#define INODE_MODIFIED_SECONDS_OFFSET offsetof(struct inode, i_mtime.tv_sec)
#define INODE_MODIFIED_NANOSECONDS_OFFSET offsetof(struct inode, i_mtime.tv_nsec)
#endif
#ifdef CONFIG_NET_NS
#define HAVE_NETWORK_NAMESPACES 1
#endif
"""
"""For a kernel without BTF. The bit field sk_userlocks has no address in C, so there every UDP socket is a client."""

_TYPES: Final = """\
#pragma once
typedef unsigned char u8, __u8;
typedef unsigned short u16, __u16;
typedef unsigned int u32, __u32;
typedef unsigned long long u64, __u64;
typedef signed char s8, __s8;
typedef short s16, __s16;
typedef int s32, __s32;
typedef long long s64, __s64;
typedef __u16 __be16, __le16, __sum16;
typedef __u32 __be32, __le32, __wsum;
typedef __u64 __be64, __le64, __aligned_u64;
typedef unsigned long size_t, uintptr_t;
typedef long ssize_t;
typedef long long loff_t;
typedef int pid_t, rwf_t, __kernel_rwf_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define __always_inline inline __attribute__((always_inline))
"""

_MODIFIED: Final = (
    ("i_mtime_sec", "i_mtime_nsec"),  # since 6.11
    ("__i_mtime.tv_sec", "__i_mtime.tv_nsec"),  # since 6.7
    ("i_mtime.tv_sec", "i_mtime.tv_nsec"),
)
"""Where struct inode has when a file was last written to; of the nanoseconds the first four bytes tell."""

# The registers saved at kernel entry (arch/*/include/asm/ptrace.h). Only function probes look at them, but BCC's own
# helpers name them, and so their order is part of each architecture's ABI.
_REGISTERS: Final = {
    "x86_64": """\
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
""",
    "aarch64": """\
struct user_pt_regs { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; };
struct pt_regs {
    union { struct user_pt_regs user_regs; struct { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; }; };
    __u64 orig_x0;
    __s32 syscallno;
    __u32 unused2;
};
""",
}
MACHINES: Final = tuple(_REGISTERS)
"""Machines (as uname names them) for which there is a header tree."""

_ARCHITECTURE_OPTION: Final = {"x86_64": "CONFIG_X86_64", "aarch64": "CONFIG_ARM64"}


def render_views(btf: Btf) -> str:
    """C declarations of every view, for the kernel that `btf` describes.

    Raises:
        HeadersError: The kernel lacks a struct or a member, or its type has another size.
    """
    try:
        parts = [
            "struct in6_addr { __u8 bytes[16]; };",
            "typedef struct { struct net *net; } possible_net_t;",
            *(_render_view(btf, view) for view in VIEWS),
            *_defines(btf),
        ]
    except BtfError as error:
        raise HeadersError(f"the programs cannot be fitted to this kernel: {error}") from error
    return "\n".join(parts) + "\n"


def _render_view(btf: Btf, view: View) -> str:
    there = [field for field in view.fields if not field.optional or btf.has(view.structure, field.name)]
    fields = [(btf.member(view.structure, field.name), field) for field in there]
    fields = [(member, field) for member, field in fields if member.byte_size or not field.optional]
    fields.sort(key=lambda item: item[0].byte_offset)
    lines = [f"struct {view.structure} {{"]
    checks = []
    end = "0"
    for member, field in fields:
        if field.size and member.byte_size != field.size:
            raise HeadersError(
                f"member {field.name} of struct {view.structure} has {member.byte_size} bytes in this kernel;"
                f" the programs know it with {field.size}"
            )
        lines.append(f"    char before_{field.name}[{member.byte_offset} - ({end})];")
        lines.append(f"    {field.c_type} {field.name};")
        checks.append(
            f"_Static_assert(__builtin_offsetof(struct {view.structure}, {field.name}) == {member.byte_offset},"
            f' "place of {view.structure}.{field.name}");'
        )
        end = f"{member.byte_offset} + sizeof({field.c_type})"
    if view.whole:
        checks.append(
            f"_Static_assert(sizeof(struct {view.structure}) == {btf.size(view.structure)},"
            f' "size of {view.structure}");'
        )
    return "\n".join([*lines, "};", *checks])


def _defines(btf: Btf) -> Iterator[str]:
    # The counter of a file's references begins at 1 (f_count), or since 6.13 at 0 (f_ref).
    if btf.has("file", "f_ref"):
        yield "#define FILE_REFERENCES f_ref"
        yield "#define FILE_REFERENCES_OF_ONE 0"
    elif btf.has("file", "f_count"):
        yield "#define FILE_REFERENCES f_count"
        yield "#define FILE_REFERENCES_OF_ONE 1"
    else:
        raise HeadersError("struct file of this kernel has neither f_ref nor f_count")
    seconds, nanoseconds = next((names for names in _MODIFIED if btf.has("inode", names[0])), _MODIFIED[-1])
    yield f"#define INODE_MODIFIED_SECONDS_OFFSET {btf.member('inode', seconds).byte_offset}"
    yield f"#define INODE_MODIFIED_NANOSECONDS_OFFSET {btf.member('inode', nanoseconds).byte_offset}"
    if btf.has("sock_common", "skc_net.net"):
        yield "#define HAVE_NETWORK_NAMESPACES 1"
    locks = btf.member("sock", "sk_userlocks")
    yield f"#define SOCKET_USER_LOCKS_OFFSET {locks.byte_offset}"
    yield f"#define SOCKET_USER_LOCKS_SHIFT {locks.bit_shift}"
    congestion = btf.member("inet_connection_sock", "icsk_ca_state")
    yield f"#define CONGESTION_STATE_OFFSET {congestion.byte_offset}"
    yield f"#define CONGESTION_STATE_SHIFT {congestion.bit_shift}"
    yield f"#define CONGESTION_STATE_MASK {(1 << congestion.bit_size) - 1}"
    minimum = btf.member("tcp_sock", "rtt_min").byte_offset + btf.member("minmax_sample", "v").byte_offset
    yield f"#define ROUND_TRIP_MINIMUM_OFFSET {minimum}"


def version_code(release: str) -> tuple[int, int, int]:
    """Major, minor and patch number of a kernel release such as "6.1.0-18-amd64"; missing parts are 0."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[-+~]", release)[0])[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, min(patch, 255)


def write_tree(root: Path, machine: str, release: str, page_bytes: int) -> None:
    """Write the headers that BCC itself includes below `root`, for BCC_KERNEL_SOURCE.

    Args:
        root: An existing directory.
        machine: As uname names it.
        release: The kernel's release, as uname names it.
        page_bytes: Size of a memory page.

    Raises:
        HeadersError: The machine is not known here.
    """
    if machine not in _REGISTERS:
        raise HeadersError(f"machine {machine} is not supported; known are {', '.join(MACHINES)}")
    major, minor, patch = version_code(release)
    only_types = "#pragma once\n#include <linux/types.h>\n"
    files = {
        "linux/kconfig.h": f"#define CONFIG_BPF_SYSCALL 1\n#define CONFIG_64BIT 1\n"
        f"#define {_ARCHITECTURE_OPTION[machine]} 1\n#define CONFIG_ARCH_HAS_SYSCALL_WRAPPER 1\n",
        "linux/types.h": _TYPES + _REGISTERS[machine],
        "linux/bpf_common.h": "#pragma once\n",
        "uapi/linux/bpf.h": "#pragma once\n",  # BCC brings its own
        "asm/page.h": f"#pragma once\n#define PAGE_SHIFT {page_bytes.bit_length() - 1}\n"
        "#define PAGE_SIZE (1UL << PAGE_SHIFT)\n",
        "uapi/linux/if_packet.h": only_types,
        "uapi/linux/if_ether.h": only_types,
        "uapi/linux/ptrace.h": only_types,
        "linux/ptrace.h": only_types,
        "linux/log2.h": only_types,
        "linux/version.h": f"#define LINUX_VERSION_CODE {major * 65536 + minor * 256 + patch}\n"
        "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))\n",
    }
    for name, text in files.items():
        path = root / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
