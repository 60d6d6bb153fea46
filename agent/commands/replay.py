"""`pyrover-agent replay`: recorded kernel events through the same code, to a backend or into a file."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from agent.commands import arguments as shared
from agent.commands.capture import Stop, fail
from agent.commands.credentials import Credentials
from agent.commands.undelivered import undelivered
from agent.config import Configuration
from agent.config_reading import ConfigurationError
from agent.discovery.recorded import RecordedHost
from agent.events.recording import MomentKind, RecordingError, RecordingReader
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.pipeline import Pipeline
from agent.telemetry.counted_transport import CountedTransport
from protos.recording import write_messages, write_signature

BACKEND_SECONDS = 30.0
"""How long the backend may be away before logs are given up."""
_LOOK_SECONDS = 0.1
"""How soon the end is noticed that a user asks for."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording of 'pyrover-agent record'")
    shared.add_backend(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the access logs to a file for 'pyrover-backend replay' instead of sending them",
    )
    shared.add_configuration(parser)


class OutputError(Exception):
    """The file of access logs cannot be written; the message says which and why."""


def run(arguments: argparse.Namespace) -> int:
    """Replay the whole recording; 0 when every log was delivered."""
    stop = Stop(None)
    ledger = Ledger()
    reasons: Callable[[], Iterable[str]] = tuple
    try:
        with stop.on_signals(), ExitStack() as stack:
            configuration = shared.configuration(arguments)
            reader = RecordingReader(stack.enter_context(arguments.file.open("rb")))
            if arguments.output is not None:
                deliver = _to_file(_created(arguments.output, arguments.file), arguments.output, ledger, stack)
            else:
                deliver, reasons = _to_backend(configuration, ledger, stack, stop)
            play(reader, configuration, ledger, deliver, stop)
    except RecordingError as error:
        return fail(f"{arguments.file}: {error}")
    except (ConfigurationError, OutputError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{arguments.file} cannot be read: {error.strerror}")
    balance = ledger.balance()
    print("\n".join([f"{balance.captured} logs, {balance.delivered} delivered", *reasons()]), file=sys.stderr)  # noqa: T201
    return 0 if balance.delivered == balance.captured else 1


def play(
    reader: RecordingReader,
    configuration: Configuration,
    ledger: Ledger,
    deliver: Callable[[Batch], None],
    stop: Stop | None = None,
) -> None:
    """Play a recording through the pipeline that `run` uses, as fast as it goes. Stops early when `stop` says so.

    Raises:
        RecordingError: the file is damaged; what came before that has been delivered.
    """
    host = RecordedHost()
    header = reader.header
    node = configuration.node.name or header.node
    pipeline = Pipeline(configuration, node, header.agent_process, host=host, ledger=ledger, deliver=deliver)
    for moment in reader.moments():
        for answer in moment.answers:
            host.apply(answer)
        if moment.kind is MomentKind.BEGIN:
            pipeline.start(moment.now_ns)
        elif moment.kind is MomentKind.STEP:
            pipeline.step(moment.events, moment.now_ns, moment.fragments)
        else:
            pipeline.finish(moment.now_ns)
        if stop:
            return


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell what cannot be written by its name. Raises OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"--output: {path} cannot be written: {error.strerror}") from error


def _created(path: Path, recording: Path) -> BinaryIO:
    """The file of access logs, empty. Raises OutputError."""
    with _writing(path):
        if path.exists() and path.samefile(recording):
            raise OutputError(f"--output: {path} is the recording itself: name another file")
        return path.open("wb")


def _to_file(file: BinaryIO, path: Path, ledger: Ledger, stack: ExitStack) -> Callable[[Batch], None]:
    """Write to a file, which is closed by the stack: either may raise OutputError."""

    def close() -> None:
        with _writing(path):
            file.close()

    def deliver(batch: Batch) -> None:
        with _writing(path):
            write_messages(file, batch.messages)
        ledger.deliver(batch.logs)

    stack.callback(close)
    with _writing(path):
        write_signature(file)
    return deliver


def _to_backend(
    configuration: Configuration, ledger: Ledger, stack: ExitStack, stop: Stop
) -> tuple[Callable[[Batch], None], Callable[[], Iterable[str]]]:
    """Send to the backend until the stack unwinds; also gives what says, after that, why logs were not delivered."""
    transport = Credentials(configuration.core.backend).open_transport()
    stack.callback(transport.close)
    counted = CountedTransport(transport)
    limits = SenderLimits(logs=configuration.limits.queue_logs, size=configuration.limits.queue_bytes)
    sender = Sender(counted, ledger, limits)
    sender.start()
    stack.callback(_finish, sender, stop)

    def deliver(batch: Batch) -> None:
        until = time.monotonic() + BACKEND_SECONDS
        while not stop and time.monotonic() < until and not sender.wait_for_room(batch, 0.1):
            pass
        sender.submit(batch)

    def reasons() -> Iterable[str]:
        return undelivered(ledger.balance().lost, 0, counted.failures, configuration.core.backend.addr)

    return deliver, reasons


def _finish(sender: Sender, stop: Stop) -> None:
    """Give what is queued its time, or none when the user wants to end, also meanwhile."""
    ending = threading.Thread(target=sender.stop, args=(BACKEND_SECONDS,), name="ending")
    ending.start()
    while ending.is_alive() and not stop:
        ending.join(_LOOK_SECONDS)
    if stop:
        sender.stop(0.0)
    ending.join()
