"""`pyrover-agent run`: capture, and stream access logs to the backend."""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from agent.commands import arguments as shared
from agent.commands.backend import read_security
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
from agent.commands.cluster import Cluster, open_cluster
from agent.commands.live import Figures, LiveLine, format_end
from agent.commands.memory import MemoryTrimmer
from agent.config import Backend, Configuration, ConfigurationError
from agent.conntrack.watcher import ConntrackWatcher
from agent.discovery.exclusion import Exclusion
from agent.discovery.procfs import ProcHost
from agent.export.accounting import Ledger
from agent.export.sender import Sender, SenderLimits
from agent.export.transport import GrpcTransport
from agent.kernel.loader import LoaderError
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from agent.reporting.beats import present
from agent.tls.watcher import TlsWatcher

SHUTDOWN_SECONDS = 5.0
"""How long the last logs may take to be delivered."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    shared.add_configuration(parser)
    shared.add_backend(parser)
    shared.add_kernel(parser)
    parser.add_argument("--for", dest="duration", type=shared.duration, metavar="TIME", help="end by itself after TIME")
    parser.add_argument("--live", action="store_true", help="keep a line with the current figures")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="write the final figures to FILE, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal or the given time; the last logs are delivered before the end."""
    try:
        configuration = shared.configuration(arguments)
        transport = open_transport(configuration.core.backend)
    except ConfigurationError as error:
        return fail(str(error))
    stop = Stop(arguments.duration)
    with stop.on_signals(), ExitStack() as stack:
        stack.callback(transport.close)
        try:
            # Before the kernel: while all pods are listed for the first time there is nobody to take events.
            cluster = stack.enter_context(open_cluster(configuration))
            source = stack.enter_context(open_kernel(configuration))
        except (LoaderError, ValueError) as error:
            return fail(str(error))
        conntrack = stack.enter_context(open_conntrack(configuration))
        tls = stack.enter_context(open_tls(source, configuration))
        live = LiveLine() if arguments.live else None
        figures = _capture(
            source, configuration, transport, stop, conntrack=conntrack, tls=tls, cluster=cluster, live=live
        )
    if arguments.figures is not None:
        try:
            arguments.figures.write_bytes(msgspec.json.encode(figures) + b"\n")
        except OSError as error:
            return fail(f"--figures: {arguments.figures} cannot be written: {error.strerror}")
    return 0


def open_transport(backend: Backend) -> GrpcTransport:
    """A transport to the configured backend.

    Raises:
        ConfigurationError: a certificate cannot be read, or a value cannot be used.
    """
    try:
        return GrpcTransport(backend.addr, read_security(backend), backend.authentication)
    except ValueError as error:
        raise ConfigurationError(f"core.backend: {error}") from error


def _capture(
    source: KernelSource,
    configuration: Configuration,
    transport: GrpcTransport,
    stop: Stop,
    *,
    conntrack: ConntrackWatcher | None,
    tls: TlsWatcher | None,
    cluster: Cluster | None,
    live: LiveLine | None,
) -> Figures:
    """Capture and deliver until it is time to stop; the final figures."""
    containers = open_containers(configuration) if cluster is None else None  # pods have names of their own
    host = ProcHost(configuration.discovery.proc, translations=conntrack, containers=containers)
    limits = SenderLimits(logs=configuration.limits.queue_logs, size=configuration.limits.queue_bytes)
    ledger = Ledger()
    sender = Sender(transport, ledger, limits)
    exclusion = Exclusion(source, host)
    pipeline = Pipeline(
        configuration,
        node_name(configuration),
        os.getpid(),
        host=host,
        ledger=ledger,
        deliver=sender.submit,
        mute=source.mute,
        pods=cluster.names if cluster is not None else None,
        exclude=exclusion.exclude,
    )
    trimmer = MemoryTrimmer()
    sender.start()

    def figures() -> Figures:
        balance = ledger.balance()
        return Figures(
            events=pipeline.events,
            connections=pipeline.table.live,
            captured=balance.captured,
            delivered=balance.delivered,
            waiting=pipeline.pending + sender.waiting,
            losses={**source.losses(), **balance.lost},
            incomplete={
                **source.incomplete(),
                **pipeline.remotes.losses(),
                **pipeline.addresses.losses(),
                **exclusion.losses(),
                **(cluster.losses() if cluster is not None else {}),
                **pipeline.conversations.losses,
                **(conntrack.losses() if conntrack is not None else {}),
                **(tls.failures() if tls is not None else {}),
            },
            troubles=pipeline.troubles,
            problem=sender.problem,
        )

    def step(now_ns: int) -> None:
        events = source.take()  # before the payload: what belongs to them is there then
        pipeline.step(events, now_ns, source.take_payload())
        if cluster is not None:
            cluster.reporter.tick(now_ns, lambda: present(pipeline.processes.entities()))
        trimmer.trim()
        if live is not None and live.due():
            live.show(figures())

    try:
        pipeline.start(monotonic_ns())
        backend = f"backend {configuration.core.backend.addr}"
        print(describe_start(source, configuration, backend), file=sys.stderr, flush=True)  # noqa: T201 - a command's words to its user
        follow(source, step, stop)
    finally:
        pipeline.finish(monotonic_ns())
        sender.stop(SHUTDOWN_SECONDS)
    final = figures()
    if live is not None:
        live.show(final)
        live.end()
    print(format_end(final), file=sys.stderr)  # noqa: T201 - a command's words to its user
    return final
