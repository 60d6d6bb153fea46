"""Which files this process has open, to see that what was opened is closed again."""

import contextlib
import gc
from pathlib import Path


def open_files() -> set[tuple[str, str]]:
    """Each open descriptor with the name of what is behind it.

    Compare by what came (`after - before`), never by number: what other tests left behind may be closed at any time.
    It is collected here first, so that no number of it is given to another file in between.
    """
    gc.collect()
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            found.add((each.name, str(each.readlink())))
    return found
