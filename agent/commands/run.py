"""`pyrover-agent run`: capture, and stream access logs to the backend."""

import argparse
import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

import msgspec

from agent.commands import arguments as shared
from agent.commands.capture import (
    Stop,
    describe_start,
    follow,
    hangups,
    monotonic_ns,
    node_name,
    open_conntrack,
    open_containers,
    open_kernel,
    open_tls,
)
from agent.commands.cluster import open_cluster
from agent.commands.credentials import Credentials
from agent.commands.limits import limit_to_loading, limit_to_reporting, limit_to_running
from agent.commands.live import Figures, LiveLine, format_end
from agent.commands.memory import MemoryTrimmer, keep_what_there_is
from agent.commands.missing import width_of
from agent.commands.processes_only import NOTHING_TO_DO, ProcessesOnly
from agent.commands.reporting import open_reporter, reported
from agent.commands.spool import open_spool
from agent.commands.telemetry import measured_programs, open_status
from agent.commands.undelivered import undelivered
from agent.config import Configuration
from agent.config_reading import ConfigurationError
from agent.conntrack.watcher import ConntrackWatcher
from agent.discovery.exclusion import Exclusion
from agent.discovery.go_programs import GoPrograms
from agent.discovery.kubernetes.names import PodNames
from agent.discovery.procfs import ProcHost
from agent.export.accounting import Ledger
from agent.export.sender import Sender, SenderLimits
from agent.export.spool import Spool
from agent.export.transport import GrpcTransport
from agent.kernel.capability_sets import call_with_only
from agent.kernel.loader import LoaderError
from agent.kernel.privileges import DAC_READ_SEARCH
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from agent.reporting.reporter import Reporter
from agent.telemetry.counted_transport import CountedTransport
from agent.telemetry.messages import Messages
from agent.telemetry.parts import Parts
from agent.telemetry.progress import ProgressNotes
from agent.telemetry.reports import AgentReports
from agent.tls.watcher import TlsWatcher

SHUTDOWN_SECONDS = 5.0
"""How long the last logs may take to be delivered."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    shared.add_configuration(parser)
    shared.add_backend(parser)
    shared.add_kernel(parser)
    parser.add_argument(
        "--for", dest="duration", type=shared.duration, metavar="TIME", help="end after this time, such as 30s or 5m"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="show the current figures in one line: each second on a terminal, else every ten",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="at the end write what was captured, delivered and lost to FILE, as JSON",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="messages as lines of text or as a JSON object a line (default: text)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal or the given time; the last logs are delivered before the end."""
    messages = Messages(arguments.log_format or "text")
    stop = Stop(arguments.duration)
    identity = str(uuid.uuid4())
    with messages.taken(), stop.on_signals(), ExitStack() as stack:
        try:
            configuration = shared.configuration(arguments)
            messages.use(configuration.logger.format)
            credentials = Credentials(configuration.core.backend)
            stack.enter_context(hangups(credentials.ask))
            transport = credentials.open_transport()
            stack.callback(transport.close)
            figures = _open_figures(arguments.figures, stack)
            spool = open_spool(configuration, stack)
            limit_to_loading()
            status = stack.enter_context(open_status(configuration, messages))
            # Before the kernel: while all pods are listed for the first time there is nobody to take events.
            pods = call_with_only([DAC_READ_SEARCH], lambda: stack.enter_context(open_cluster(configuration, identity)))
            reporter = stack.enter_context(open_reporter(configuration, identity, credentials))
            if not configuration.access_log.active:
                if reporter is None:
                    return messages.fail(NOTHING_TO_DO)
                limit_to_reporting()
                status.rest("switched off by access_log.active; processes are reported")
                ProcessesOnly(configuration, pods, reporter).run(stop, messages, credentials)
                return 0
            stack.enter_context(measured_programs(configuration))
            source = stack.enter_context(open_kernel(configuration))
        except (ConfigurationError, LoaderError, ValueError) as error:
            return messages.fail(str(error))
        limit_to_running(configuration)
        conntrack = stack.enter_context(open_conntrack(configuration))
        tls = stack.enter_context(open_tls(source, configuration))
        capture = Capture(
            configuration,
            source,
            transport,
            spool=spool,
            conntrack=conntrack,
            tls=tls,
            pods=pods,
            reporter=reporter,
            refresh=credentials.refresh,
        )
        status.begin(capture.parts)
        stack.callback(status.end)
        keep_what_there_is()
        final = capture.run(stop, messages, LiveLine() if arguments.live else None)
        try:
            if figures is not None:
                figures.write(msgspec.json.encode(final) + b"\n")
        except OSError as error:
            return messages.fail(f"--figures: {arguments.figures} cannot be written: {error.strerror}")
    return 0


def _open_figures(path: Path | None, stack: ExitStack) -> FileIO | None:
    """The file of the final figures: opened while this process may still write wherever its user may.

    Raises:
        ValueError: it cannot be written.
    """
    if path is None:
        return None
    try:
        return stack.enter_context(path.open("wb", buffering=0))
    except OSError as error:
        raise ValueError(f"--figures: {path} cannot be written: {error.strerror}") from error


class Capture:
    """The agent between the kernel and the backend.

    Attributes:
        parts: What can be asked for figures.
    """

    def __init__(
        self,
        configuration: Configuration,
        source: KernelSource,
        transport: GrpcTransport,
        *,
        spool: Spool | None,
        conntrack: ConntrackWatcher | None,
        tls: TlsWatcher | None,
        pods: PodNames | None,
        reporter: Reporter | None,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """Put everything together; nothing happens yet. `refresh` is called at each step."""
        containers = open_containers(configuration) if pods is None else None  # pods have names of their own
        proc = configuration.discovery.proc
        go_programs = GoPrograms(proc)
        host = ProcHost(proc, translations=conntrack, containers=containers, go_programs=go_programs)
        ledger = Ledger() if spool is None else spool.ledger
        counted = CountedTransport(transport)
        limits = SenderLimits(
            logs=configuration.limits.queue_logs,
            size=configuration.limits.queue_bytes,
            spool_bytes=configuration.spool.bytes,
            denied_seconds=configuration.core.backend.denied_period,
        )
        self._sender = Sender(counted, ledger, limits, spool)
        exclusion = Exclusion(source, host)
        self._source = source
        self._pipeline = Pipeline(
            configuration,
            node_name(configuration),
            os.getpid(),
            host=host,
            ledger=ledger,
            deliver=self._sender.submit,
            mute=source.mute,
            pods=pods,
            exclude=exclusion.exclude,
            report=AgentReports(lambda: self.parts),
        )
        self._reported = reported(configuration, self._pipeline, host)
        self._trimmer = MemoryTrimmer()
        self._refresh = refresh
        self.parts = Parts(
            configuration=configuration,
            source=source,
            notes=ProgressNotes(self._pipeline, exclusion, pods, go_programs),
            ledger=ledger,
            sender=self._sender,
            spool=spool,
            transport=counted,
            backends=transport.backends,
            conntrack=conntrack,
            tls=tls,
            reporter=reporter,
        )

    def run(self, stop: Stop, messages: Messages, live: LiveLine | None) -> Figures:
        """Capture and deliver until it is time to stop; the final figures."""
        configuration = self.parts.configuration

        def step(now_ns: int) -> None:
            self._step(now_ns)
            if live is not None and live.due():
                live.show(self._figures())

        call_with_only((), self._sender.start)  # it reads what the network sends
        try:
            self._pipeline.start(monotonic_ns())
            destination = f"backend {configuration.core.backend.addr}"
            width = width_of(messages.stream) if messages.for_people else None
            messages.say(describe_start(self._source, configuration, destination, width))
            follow(self._source, step, stop, self._pipeline)
        finally:
            self._pipeline.finish(monotonic_ns())
            self._sender.stop(SHUTDOWN_SECONDS)
        final = self._figures()
        if live is not None:
            live.show(final)
            live.end()
        parts = self.parts
        lost, failures = parts.ledger.balance().lost, parts.transport.failures
        messages.say(format_end(final, undelivered(lost, final.waiting, failures, configuration.core.backend.addr)))
        return final

    def _step(self, now_ns: int) -> None:
        events = self._source.take()  # before the payload: what belongs to them is there then
        self._pipeline.step(events, now_ns, self._source.take_payload())
        self.parts.notes.note_when_due(now_ns)
        if self.parts.reporter is not None:
            self.parts.reporter.tick(now_ns, self._reported)
        self._refresh()
        self._trimmer.trim()

    def _figures(self) -> Figures:
        parts = self.parts
        progress = parts.notes.note(monotonic_ns())
        balance = parts.ledger.balance()
        missing = {cause: count for counts in parts.incomplete().values() for cause, count in counts.items()}
        return Figures(
            events=progress.events,
            connections=progress.connections,
            captured=balance.captured,
            delivered=balance.delivered,
            waiting=progress.pending + parts.sender.waiting,
            losses={**parts.source.losses(), **balance.lost},
            incomplete={**missing, **self._pipeline.addresses.losses()},
            troubles=progress.troubles,
            problem=parts.sender.problem,
        )
