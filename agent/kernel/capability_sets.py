"""Gives capabilities away, for good.

Capabilities belong to threads. What a thread gives away is gone from it and from all threads and programs that it
starts later; those that run already keep what they have. So this is to be done before there are others.

Source: capabilities(7), capset(2), prctl(2); the kernel's include/uapi/linux/capability.h and prctl.h.
"""

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, TypeVar

_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits a set
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_SETPCAP: Final = 8
_WORD: Final = 0xFFFFFFFF

_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


def keep_only(bits: Collection[int]) -> None:
    """Give away every capability but these, from all sets of this thread; what it does not have it does not get.

    A thread without CAP_SETPCAP cannot give anything away from its bounding set, which only matters to programs that
    it starts; see `forbid_new_privileges`.

    Args:
        bits: Numbers of capabilities.

    Raises:
        OSError: The kernel refused.
    """
    wanted = sum(1 << bit for bit in set(bits))
    bounding = read_set("CapBnd")
    if read_set("CapEff") >> _SETPCAP & 1:
        for bit in range(bounding.bit_length()):
            if bounding >> bit & 1 and not wanted >> bit & 1:
                _prctl(_PR_CAPBSET_DROP, bit)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    kept = wanted & read_set("CapPrm")
    _set(effective=wanted & read_set("CapEff"), permitted=kept, inheritable=0)


def forbid_new_privileges() -> None:
    """Let no program that this thread starts have more than the thread, whatever is set on its file.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def read_set(name: str) -> int:
    """One of this thread's sets, as bits.

    Args:
        name: As in /proc/PID/status: CapInh, CapPrm, CapEff, CapBnd, CapAmb.
    """
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith(f"{name}:"))


def call_with_only(bits: Collection[int], function: Callable[[], _Result]) -> _Result:
    """What a function returns in a thread that has no other capabilities; the threads that it starts have none either.

    Args:
        bits: Numbers of the capabilities that are kept.
        function: What to call. What it raises is raised here.
    """
    results: list[_Result] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            keep_only(bits)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            raised.append(error)

    thread = threading.Thread(target=call, name="start")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return results[0]


def _set(*, effective: int, permitted: int, inheritable: int) -> None:
    words = [bits >> shift & _WORD for shift in (0, 32) for bits in (effective, permitted, inheritable)]
    header, data = struct.pack("=Ii", _VERSION, 0), struct.pack("=6I", *words)
    if _libc.capset(header, data):
        _fail("capset")


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in (argument, 0, 0, 0))):
        _fail(f"prctl {option}")


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
