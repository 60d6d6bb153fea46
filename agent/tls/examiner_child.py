"""Reads files for another process, which does not wait for it where a file system does not answer.

This file is a program of its own (see `agent.tls.examiner`): a line of JSON with a question and a path comes from
standard input, and a line with the answer goes to standard output. It ends when its parent does, and when nothing was
asked for a while.
"""

import ctypes
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

IDLE_SECONDS = 10.0

_PR_SET_PDEATHSIG = 1
_NO_BLOCK = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

sys.path.append(str(Path(__file__).resolve().parents[2]))


def is_go(path: str) -> dict[str, Any]:
    """Whether a program is written in Go."""
    from agent.discovery.programs import is_go_program  # noqa: PLC0415 # without what the others need

    return {"go": is_go_program(path)}


def identify(path: str) -> dict[str, Any]:
    """Which file a path leads to."""
    from agent.tls import mappings  # noqa: PLC0415 # same

    identity, version = mappings.identify(path)
    return {"identity": identity, "version": version}


def examine(path: str) -> dict[str, Any]:
    """Which functions of interest a file has."""
    from agent.tls import libraries  # noqa: PLC0415 # same

    library = libraries.examine(path)
    descriptor = os.open(path, _NO_BLOCK)
    try:
        for place in library.places:  # the kernel, which is given them, need not read them itself
            os.pread(descriptor, 1, place.offset)
    finally:
        os.close(descriptor)
    places = [[place.function, place.offset, place.at_return] for place in library.places]
    return {"names": library.names, "places": places, "build_id": library.build_id}


_QUESTIONS = {"is_go": is_go, "identify": identify, "examine": examine}


def answer(question: str, path: str) -> dict[str, Any]:
    """What is to be said; an error as itself."""
    from agent.tls.elf import ElfError  # noqa: PLC0415 # same

    try:
        return _QUESTIONS[question](path)
    except OSError as error:
        return {"errno": error.errno}
    except ElfError as error:
        return {"error": type(error).__name__, "text": str(error)}


def main() -> None:
    """Answer until nobody asks."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, meant for the parent
    while select.select([0], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            break
        sys.stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
