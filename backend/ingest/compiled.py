"""Functions compiled to machine code.

numba does not check bounds, so every function compiled here bounds each index itself, and the tests run the same
functions over mutated input. Compiled code is cached beside the source: the first call on a machine takes seconds,
later starts a fraction of one.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

Integer = int | np.int64
"""A number in compiled code: 64 bits, signed."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function of integers and arrays; it releases the interpreter lock while it runs."""
    return cast("FunctionT", numba.njit(cache=True, nogil=True)(function))
