"""`pyrover-agent record`: kernel events of a real run, and all that a replay needs, into a file."""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from agent.commands import arguments as shared
from agent.commands.capture import (
    Stop,
    describe_start,
    fail,
    follow,
    monotonic_ns,
    node_name,
    open_conntrack,
    open_containers,
    open_kernel,
    open_tls,
)
from agent.commands.limits import limit_to_loading, limit_to_running
from agent.commands.live import format_counts
from agent.commands.missing import width_of
from agent.config import Configuration
from agent.config_reading import ConfigurationError
from agent.conntrack.watcher import ConntrackWatcher
from agent.discovery.procfs import ProcHost
from agent.discovery.recorded import RecordingHost
from agent.events.recorded_layout import event_layout
from agent.events.recording import Header, RecordingWriter
from agent.events.source import EventSource
from agent.export.accounting import Ledger
from agent.kernel.loader import LoaderError
from agent.pipeline import Pipeline


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write the recording; replaced if it exists")
    parser.add_argument(
        "--for", dest="duration", type=shared.duration, metavar="TIME", help="end after this time, such as 30s or 5m"
    )
    shared.add_configuration(parser)
    shared.add_kernel(parser)


def run(arguments: argparse.Namespace) -> int:
    """Record until a signal or the given time."""
    stop = Stop(arguments.duration)
    try:
        with stop.on_signals(), ExitStack() as stack:
            configuration = shared.configuration(arguments)
            file = stack.enter_context(_open(arguments.file))
            limit_to_loading()
            source = stack.enter_context(open_kernel(configuration))
            limit_to_running(configuration)
            conntrack = stack.enter_context(open_conntrack(configuration))
            stack.enter_context(open_tls(source, configuration))
            file.truncate()  # not before: what was there stays when nothing can be recorded
            destination = f"recording to {arguments.file}"
            start = describe_start(source, configuration, destination, width_of(sys.stderr))
            print(start, file=sys.stderr, flush=True)  # noqa: T201 - a command's words to its user
            events = _record(source, conntrack, configuration, file, stop)
            losses = format_counts(source.losses())
    except (ConfigurationError, LoaderError, ValueError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{arguments.file} cannot be written: {error.strerror}")
    lost = f", lost: {losses}" if losses else ""
    print(f"{events} events in {arguments.file}{lost}", file=sys.stderr)  # noqa: T201
    return 0


def _open(path: Path) -> BinaryIO:
    """The file, with what is in it: opened while this process may still write wherever its user may."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb")  # noqa: PTH123 - of a descriptor


def _record(
    source: EventSource, conntrack: ConntrackWatcher | None, configuration: Configuration, file: BinaryIO, stop: Stop
) -> int:
    """Record steps; returns the number of events.

    The whole agent runs, only that nothing is sent: so the host is asked exactly what a replay will ask.
    """
    node = node_name(configuration)
    host = RecordingHost(
        ProcHost(configuration.discovery.proc, translations=conntrack, containers=open_containers(configuration))
    )
    writer = RecordingWriter(file, Header(node=node, agent_process=os.getpid(), layout=event_layout()))
    pipeline = Pipeline(
        configuration, node, os.getpid(), host=host, ledger=Ledger(), deliver=lambda _: None, mute=source.mute
    )

    def step(now_ns: int) -> None:
        events, fragments = source.take(), source.take_payload()
        pipeline.step(events, now_ns, fragments)
        writer.step(now_ns, events, host.collect(), source.losses(), fragments)
        file.flush()  # what was recorded stays when the recorder is killed

    begin_ns = monotonic_ns()
    pipeline.start(begin_ns)
    writer.begin(begin_ns, host.collect())
    follow(source, step, stop, pipeline)
    # The replay ends with a flush, whose questions must have answers.
    end_ns = monotonic_ns()
    pipeline.finish(end_ns)
    writer.end(end_ns, host.collect())
    return pipeline.events
