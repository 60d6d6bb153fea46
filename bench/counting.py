"""What a piece of work costs in counts rather than in seconds: the same on a busy machine as on an idle one.

Bytecode instructions and calls are those of the calling thread's Python code; work inside compiled libraries counts as
the one call that it is. What such a library allocates through Python's allocators, as NumPy does its arrays, is in the
peak. The collector of cycles waits meanwhile: when it runs depends on what ran before.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Costs of one run of a piece of work."""

    bytecodes: int
    """Bytecode instructions of Python."""
    calls: int
    """Calls, of Python functions and of compiled ones."""
    peak_bytes: int
    """Most memory that was allocated at once beyond what was allocated before."""


def count(prepare: Callable[[], Callable[[], object]]) -> Counts:
    """Count what work costs, in four runs of it: the first one fills caches and compiles.

    Args:
        prepare: Makes the work anew for each run; what it does itself is not counted.
    """
    prepare()()
    return Counts(count_bytecodes(prepare()), count_calls(prepare()), peak_bytes(prepare()))


@contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def count_bytecodes(work: Callable[[], object]) -> int:
    """Bytecode instructions that run in Python functions which `work` calls, it itself included."""
    counted = 0

    def local(frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401 - as sys.settrace has it
        nonlocal counted
        frame.f_trace_lines = False
        counted += event == "opcode"
        return local

    def entered(frame: FrameType, _event: str, _argument: Any) -> Any:  # noqa: ANN401 - as sys.settrace has it
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    before = sys.gettrace()
    with _without_collector():
        sys.settrace(entered)
        try:
            work()
        finally:
            sys.settrace(before)
    return counted


def count_calls(work: Callable[[], object]) -> int:
    """Calls while `work` runs, its own included: of Python functions, resumed generators, and compiled functions."""
    counted = 0

    def profile(_frame: FrameType, event: str, _argument: Any) -> None:  # noqa: ANN401 - as sys.setprofile has it
        nonlocal counted
        counted += event in {"call", "c_call"}

    before = sys.getprofile()
    with _without_collector():
        sys.setprofile(profile)
        try:
            work()
        finally:
            sys.setprofile(before)
    return counted - 1  # of setprofile itself, which ends the counting


def peak_bytes(work: Callable[[], object]) -> int:
    """Bytes that Python's allocators hand out at most at once while `work` runs, beyond what was handed out before."""
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start(1)
    try:
        with _without_collector():
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            work()
            _, peak = tracemalloc.get_traced_memory()
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return peak - before
