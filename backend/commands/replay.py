"""`pyrover-backend replay`: send recorded access logs to a backend."""

import argparse
import math
import sys
import time
from pathlib import Path

import msgspec

from backend.replay.recordings import newest, shifted, streams
from backend.replay.sender import Sender, Sent, Unreachable
from protos.recording import RecordingError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a recording of access logs, such as of 'pyrover-agent replay --output'"
    )
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="where a backend takes access logs")
    parser.add_argument(
        "--rate",
        type=_rate,
        default=None,
        metavar="N/s|max",
        help="messages a second (default: max, as fast as it goes)",
    )
    parser.add_argument("--repeat", type=_positive, default=1, metavar="K", help="send it this often (default: 1)")
    parser.add_argument(
        "--shift-times",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="move the boot time of each node so that the newest log ends now; a backend drops logs that are too old",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Replay; 0 when every stream was answered with OK."""
    try:
        with Sender(arguments.to, arguments.rate) as sender:
            for _ in range(arguments.repeat):
                _replay(arguments.file, sender, shift=arguments.shift_times)
            sent = sender.sent
    except RecordingError as error:
        return _fail(f"{arguments.file}: {error}")
    except Unreachable as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{arguments.file} cannot be read: {error.strerror}")
    sys.stdout.write(msgspec.json.encode(sent).decode() + "\n" if arguments.json else _summary(sent))
    return 0 if sent.accepted else 1


def _replay(file: Path, sender: Sender, *, shift: bool) -> None:
    latest = newest(file) if shift else None
    shift_ns = 0 if latest is None else time.time_ns() - latest
    for stream in streams(file):
        sender.send(shifted(stream, shift_ns))


def _summary(sent: Sent) -> str:
    lines = [f"sent {sent.streams} streams, {sent.messages} messages, {sent.bytes} bytes in {sent.seconds:.2f} s"]
    lines += [f"answered {answer}: {count}" for answer, count in sent.answers.most_common()]
    lines += [f"dropped by the backend, {cause}: {count}" for cause, count in sent.dropped.most_common()]
    return "\n".join(lines) + "\n"


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate; write 500/s or max")
    return rate


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _fail(message: str) -> int:
    sys.stderr.write(f"pyrover-backend replay: {message}\n")
    return 1
