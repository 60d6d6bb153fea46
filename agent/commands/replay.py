"""`pyrover-agent replay`: recorded kernel events through the same code, to a backend or into a file."""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from agent.commands import arguments as shared
from agent.commands.capture import Stop, fail
from agent.commands.credentials import Credentials
from agent.config import Configuration
from agent.config_reading import ConfigurationError
from agent.discovery.recorded import RecordedHost
from agent.events.recording import MomentKind, RecordingError, RecordingReader
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.pipeline import Pipeline
from protos.recording import write_messages, write_signature

BACKEND_SECONDS = 30.0
"""How long the backend may be away before logs are given up."""


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


def run(arguments: argparse.Namespace) -> int:
    """Replay the whole recording."""
    stop = Stop(None)
    ledger = Ledger()
    with stop.on_signals(), ExitStack() as stack:
        try:
            configuration = shared.configuration(arguments)
            file = stack.enter_context(arguments.file.open("rb"))
            if arguments.output is not None:
                deliver = _to_file(stack.enter_context(arguments.output.open("wb")), ledger)
            else:
                deliver = _to_backend(configuration, ledger, stack, stop)
            play(RecordingReader(file), configuration, ledger, deliver, stop)
        except (ConfigurationError, RecordingError) as error:
            return fail(f"{arguments.file}: {error}" if isinstance(error, RecordingError) else str(error))
        except OSError as error:
            return fail(f"{error.filename}: {error.strerror}")
    balance = ledger.balance()
    print(f"{balance.captured} logs, {balance.delivered} delivered", file=sys.stderr)  # noqa: T201
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


def _to_file(file: BinaryIO, ledger: Ledger) -> Callable[[Batch], None]:
    write_signature(file)

    def deliver(batch: Batch) -> None:
        write_messages(file, batch.messages)
        ledger.deliver(batch.logs)

    return deliver


def _to_backend(configuration: Configuration, ledger: Ledger, stack: ExitStack, stop: Stop) -> Callable[[Batch], None]:
    transport = Credentials(configuration.core.backend).open_transport()
    stack.callback(transport.close)
    limits = SenderLimits(logs=configuration.limits.queue_logs, size=configuration.limits.queue_bytes)
    sender = Sender(transport, ledger, limits)
    sender.start()
    stack.callback(lambda: sender.stop(0.0 if stop else BACKEND_SECONDS))

    def deliver(batch: Batch) -> None:
        until = time.monotonic() + BACKEND_SECONDS
        while not stop and time.monotonic() < until and not sender.wait_for_room(batch, 0.1):
            pass
        sender.submit(batch)

    return deliver
