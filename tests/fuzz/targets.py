"""Every fuzz target, by name."""

import random
from collections.abc import Callable, Mapping

from tests.fuzz import access_logs, binaries, files, http1, http1_heads, http2, kept, languages, questions

DIRECT = (*languages.TARGETS, *files.TARGETS, *binaries.TARGETS, *kept.TARGETS, *questions.TARGETS)
"""Those that are fed whole inputs."""
TARGETS: Mapping[str, Callable[[random.Random], None]] = {
    "http1": http1.target,
    "http1-heads": http1_heads.target,
    "http2": http2.target,  # and HPACK
    "access-logs": access_logs.target,  # protobuf, interning and what a flush writes
    **{target.name: target for target in DIRECT},
}
