"""Functions compiled to machine code.

numba does not check bounds, so every function compiled here bounds each index itself, and the tests run the same
functions over mutated input. Compiled code is cached beside the source, else in the user's cache or in what
NUMBA_CACHE_DIR names: the first call on a machine takes seconds, later starts a fraction of one.
"""

import functools
import logging
from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

Integer = int | np.int64
"""A number in compiled code: 64 bits, signed."""

_logger = logging.getLogger(__name__)

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function of integers and arrays; it releases the interpreter lock while it runs."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no folder that this user may write to
        _tell_that_nothing_is_kept()
        made = numba.njit(nogil=True)(function)
    return cast("FunctionT", made)


@functools.cache
def _tell_that_nothing_is_kept() -> None:
    """Once, however many functions there are."""
    _logger.warning(
        "compiled code cannot be kept, so each start takes longer: name a folder that this user may write to by the"
        " variable NUMBA_CACHE_DIR"
    )
