"""Access logs for both backends, brought to the last minutes.

They are what the agent makes of the recordings of real programs, and what Rover sends of a cluster.
"""

import time
from pathlib import Path
from typing import Final

from agent.cli import main as agent
from backend.replay.recordings import newest, shifted, streams
from protos.recording import write_messages, write_signature
from tests.backend.server import bookinfo

RECORDINGS: Final = Path(__file__).resolve().parent.parent / "data" / "http"
MINUTES: Final = 4
"""Over so many minutes they are spread."""
_MINUTE_NS: Final = 60_000_000_000
_QUERY: Final = "%Y-%m-%d %H%M"


def write_logs(path: Path, folder: Path) -> dict[str, str]:
    """Write the logs to a file.

    Args:
        path: Where they go.
        folder: For what is made on the way.

    Returns:
        The span that they are of, by the minute, as GraphQL's Duration: one minute more on either side.
    """
    # The middle of a minute: SkyWalking leaves the nanoseconds of a node's boot time out, which puts what happened in
    # the first second of a minute into the one before.
    now_ns = (time.time_ns() // _MINUTE_NS - 1) * _MINUTE_NS + _MINUTE_NS // 2
    with path.open("wb") as file:
        write_signature(file)
        for number, recording in enumerate(sorted(RECORDINGS.glob("*.events"))):
            made = folder / f"{recording.stem}.logs"
            assert agent(["replay", str(recording), "--output", str(made)]) == 0
            latest_ns = newest(made)
            assert latest_ns is not None, recording
            shift_ns = now_ns - number % MINUTES * _MINUTE_NS - latest_ns
            for stream in streams(made):
                write_messages(file, shifted(stream, shift_ns))
        for minute in range(MINUTES):
            for messages in bookinfo.streams(now_ns / 1e9 - 60 * minute).values():
                write_messages(file, (message.SerializeToString() for message in messages))
    now = now_ns / 1e9
    first, last = (time.strftime(_QUERY, time.gmtime(now + 60 * by)) for by in (-MINUTES - 1, 1))
    return {"start": first, "end": last, "step": "MINUTE"}
