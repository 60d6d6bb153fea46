"""Workloads of how sockets, threads and processes go."""

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any

from tests.agent.kernel.workloads.sockets import describe, kept, tcp_pair
from tests.agent.kernel.workloads.system_calls import call


def closings() -> dict[str, Any]:
    """Every way in which a descriptor of a socket goes away by itself or with others."""
    pairs = [tcp_pair("127.0.0.1") for _ in range(3)]
    copied, replaced, ranged = (client for client, _ in pairs)
    result: dict[str, Any] = {
        name: describe(sock)
        for name, sock in zip(("copied", "replaced", "ranged"), (copied, replaced, ranged), strict=True)
    }
    copy = os.dup(copied.fileno())
    result["copied"]["copy"] = copy
    os.close(copy)
    copied.close()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, replaced.fileno(), inheritable=False)  # dup3
    os.dup2(null, replaced.fileno())  # nothing of ours is behind it any more
    high = 900
    os.dup2(ranged.fileno(), high, inheritable=False)
    call("close_range", high, 0xFFFFFFFF, 4)  # marks, closes nothing
    result["ranged"]["high"] = high
    call("close_range", high, 0xFFFFFFFF, 0)
    with contextlib.suppress(OSError):
        call("close_range", 5, 4, 0)  # invalid: closes nothing
    return result


def left_open(host: str) -> dict[str, Any]:
    """Sockets that the end of the process closes."""
    client, server = tcp_pair(host)
    kept.extend((client, server))
    return {"client": describe(client), "server": describe(server)}


def killed() -> dict[str, Any]:
    """Several threads, one blocked in recv; the process kills itself."""
    client, _ = tcp_pair("127.0.0.1")
    threading.Thread(target=client.recv, args=(1,), daemon=True).start()
    kept.append(client)
    sys.stdout.write(json.dumps({"client": describe(client)}) + "\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def threads_end(count: int) -> dict[str, Any]:
    """Threads that come and go: no event."""
    for _ in range(count):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    return {"count": count}
