"""The whole backend: receiver, analysis, store and answers, from start to a clean end."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.routing import BaseRoute

from backend.agents.book import AgentBook
from backend.agents.telemetry import AgentCollector
from backend.console.pages import console_routes
from backend.dashboards.book import DashboardBook
from backend.dashboards.loading import load_dashboards
from backend.dashboards.model import Dashboard, DashboardError
from backend.dashboards.templates import DashboardTemplates
from backend.ingest.budget import Budget
from backend.ingest.warm import warm
from backend.oal.apdex import ApdexError, load_thresholds
from backend.oal.compiler import Program
from backend.oal.loader import Metrics
from backend.oal.syntax import OalError
from backend.query.catalog import Catalog
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry as GraphqlTelemetry
from backend.query.graphql.templates import FileTemplates
from backend.query.otlp.exporting import OtlpExporter
from backend.query.promql.errors import PromqlError
from backend.query.promql.routes import promql_routes
from backend.query.promql.telemetry import Telemetry as PromqlTelemetry
from backend.query.routes import routes
from backend.server import reflection
from backend.server.access_logs import PATH, AccessLogService
from backend.server.alarms import Alarms
from backend.server.analysis import Analysis
from backend.server.application import BackendApplication
from backend.server.companions import handlers
from backend.server.credentials import Credentials
from backend.server.hearing import Hearing
from backend.server.naming import Naming
from backend.server.ports import Ports
from backend.server.readiness import Readiness
from backend.server.reloading import Part, Reloader
from backend.server.scripts import load_scripts
from backend.server.serving import Serving, serving
from backend.server.settings import Settings, SettingsError
from backend.server.telemetry import ReceiverCollector, metrics_route
from backend.server.tokens import Token
from backend.server.upstream_names import UpstreamNames

TEMPLATES = "templates.json"
"""Name of the file of dashboards in the folder of the store."""
_DECODER, _STORAGE = "decoder", "storage"


@dataclass(frozen=True, slots=True)
class Backend:
    """A running backend."""

    service: AccessLogService
    reloader: Reloader


@asynccontextmanager
async def running(settings: Settings, ports: Ports) -> AsyncIterator[Backend]:
    """Run the backend while the block runs; the block begins when everything is ready.

    The ports answer from the beginning: /healthcheck says what is awaited. At the end no more is accepted, open calls
    get their time to finish, what was received is stored, and the store is closed.

    Raises:
        StorageError: The store cannot be opened.
        OalError: The metrics' definitions are wrong.
        DashboardError: A dashboard is wrong.
        SettingsError: Another file that the settings name is wrong.
    """
    readiness = Readiness((_DECODER, _STORAGE))
    credentials = Credentials(settings)
    application = BackendApplication(readiness, credentials.token, credentials.http_token)
    registry = _registry()
    async with AsyncExitStack() as stack:
        naming = await stack.enter_async_context(Naming(settings))
        registry.register(naming.collector())
        analysis = await stack.enter_async_context(Analysis(settings, naming.resolver, registry))
        alarms = await stack.enter_async_context(Alarms(settings, lambda: _catalog(analysis), registry))
        served = await _serve(application, ports, settings, registry, stack)
        stack.callback(readiness.stop)
        await asyncio.to_thread(warm)
        readiness.done(_DECODER)
        await analysis.open()
        await alarms.open(analysis.storage)
        await _send_metrics(analysis, stack)
        agents = AgentBook()
        registry.register(AgentCollector(agents))
        service = AccessLogService(
            Hearing(analysis.pipeline, naming.hosts.hear),
            Budget(settings.limits.buffered_bytes),
            settings.period,
            settings.limits.message_bytes,
            agents.hear,
        )
        registry.register(ReceiverCollector(service, application))
        dashboards = await asyncio.to_thread(_load_dashboards, analysis)
        opened = _Opened(
            naming,
            analysis,
            alarms,
            application=application,
            service=service,
            agents=agents,
            dashboards=dashboards,
            credentials=credentials,
            served=served,
        )
        stack.push_async_callback(opened.reloader.settle)
        await stack.enter_async_context(credentials.watched(opened.reloader))
        opened.open()
        readiness.done(_STORAGE)
        yield Backend(service, opened.reloader)


async def _serve(
    application: BackendApplication,
    ports: Ports,
    settings: Settings,
    registry: CollectorRegistry,
    stack: AsyncExitStack,
) -> Mapping[str, Serving]:
    """Serve on all ports; what is served by each of the settings `grpc_tls` and `http_tls`."""
    grace, ended = settings.times.shutdown_seconds, application.ended
    if ports.prometheus is not None:
        metrics = application.guarded([metrics_route(registry), metrics_route(registry, "/")], console=False)
        await stack.enter_async_context(serving(metrics, [ports.prometheus], grace, ended=ended))
    # Each has bounds of its own: who exhausts the console's port keeps no agent from sending.
    agents = serving(application, ports.agents, grace, settings.grpc_tls, ended)
    console = application.without_agents if settings.grpc_tls.authorities else application
    questions = serving(console, ports.questions, grace, settings.http_tls, ended)
    return {
        "grpc_tls": await stack.enter_async_context(agents),
        "http_tls": await stack.enter_async_context(questions),
    }


class _Opened:
    """What is served, and how parts of it are replaced."""

    def __init__(
        self,
        naming: Naming,
        analysis: Analysis,
        alarms: Alarms,
        *,
        application: BackendApplication,
        service: AccessLogService,
        agents: AgentBook,
        dashboards: Sequence[Dashboard],
        credentials: Credentials,
        served: Mapping[str, Serving],
    ) -> None:
        self._analysis = analysis
        self._alarms = alarms
        self._application = application
        self._service = service
        self._credentials = credentials
        self._agents = agents
        self._started = time.time()
        self._dashboards = DashboardBook(dashboards)
        kept = FileTemplates(analysis.settings.folder / TEMPLATES)
        self._templates = DashboardTemplates(kept, self._dashboards, int(self._started * 1_000))
        self._graphql = GraphqlTelemetry(analysis.registry)
        self._promql = PromqlTelemetry(analysis.registry)
        analysis.registry.register(self._upstream_names())
        # Alarms come after the metrics that they are about.
        self.reloader = Reloader(
            [*self._parts(), *alarms.parts(), *naming.parts(), *credentials.parts(served)], analysis.registry
        )

    def _parts(self) -> list[Part[Any]]:
        files = self._analysis.settings.files
        parts: list[Part[Any]] = [Part("metrics", self._load_metrics, self._replace_metrics, (OalError,))]
        if files.apdex_thresholds:
            parts.append(Part("apdex thresholds", self._load_thresholds, self._replace_thresholds, (ApdexError,)))
        # Dashboards come after the metrics that they show.
        parts.append(
            Part("dashboards", partial(_load_dashboards, self._analysis), self._dashboards.replace, (DashboardError,))
        )
        return parts

    def open(self) -> None:
        """Serve with what is in place now."""
        companions = {**handlers(self._analysis.presence, self._agents.alive), **reflection.handlers()}
        calls = {PATH: self._service.collect, **companions}
        self._application.open(calls, self._routes())

    def _upstream_names(self) -> UpstreamNames:
        flushing = self._analysis.pipeline.telemetry
        return UpstreamNames(
            self._started,
            {
                "graphql_query_error_count": (self._graphql.errors, {}),
                "persistence_timer_bulk_error_count": (flushing.flushes, {"outcome": "failed"}),
            },
            {
                "graphql_query_latency": self._graphql.seconds,
                "persistence_timer_bulk_all_latency": flushing.seconds,
            },
        )

    def _routes(self) -> list[BaseRoute]:
        analysis, registry = self._analysis, self._analysis.registry
        compatibility = analysis.settings.reading
        definitions = analysis.pipeline.metrics.definitions
        return [
            metrics_route(registry),
            # Where a token is asked of everybody, the guard has asked for it.
            self.reloader.route(Token() if self._credentials.http_token else self._credentials.token),
            *graphql_routes(
                analysis.storage,
                definitions,
                self._templates,
                telemetry=self._graphql,
                alarms=self._alarms.records,
                retention=analysis.settings.retention,
                compatibility=compatibility,
                offset=analysis.settings.zone_minutes,
            ),
            *promql_routes(analysis.storage, definitions, telemetry=self._promql, compatibility=compatibility),
            *routes(
                analysis.storage,
                definitions,
                registry=registry,
                started=self._started,
                compatibility=compatibility,
                agents=self._agents,
            ),
            *console_routes(dashboards=self._dashboards),
        ]

    def _load_metrics(self) -> tuple[Metrics, Program]:
        metrics = load_scripts(self._analysis.settings.files.oal)
        return metrics, self._analysis.pipeline.compile(metrics)

    def _replace_metrics(self, loaded: tuple[Metrics, Program]) -> str:
        metrics, program = loaded
        self._analysis.pipeline.replace(program, metrics)
        self.open()
        return f"{len(metrics.definitions)} metrics"

    def _load_thresholds(self) -> Program:
        thresholds = load_thresholds(Path(self._analysis.settings.files.apdex_thresholds))
        return self._analysis.pipeline.compile(thresholds=thresholds)

    def _replace_thresholds(self, program: Program) -> str:
        self._analysis.pipeline.replace(program)
        thresholds = program.thresholds
        return f"{len(thresholds.services)} services, {thresholds.default} ms for others"


def _load_dashboards(analysis: Analysis) -> tuple[Dashboard, ...]:
    return load_dashboards(_catalog(analysis), analysis.settings.files.dashboards)


def _catalog(analysis: Analysis) -> Catalog:
    return Catalog(analysis.pipeline.metrics.definitions, analysis.settings.reading)


async def _send_metrics(analysis: Analysis, stack: AsyncExitStack) -> None:
    """Send metrics by OTLP where that is asked for."""
    asked = analysis.settings.otlp
    if not asked.endpoint:
        return
    try:
        exporter = OtlpExporter(analysis.storage, lambda: _catalog(analysis), asked.endpoint, asked.metrics)
    except (ValueError, PromqlError) as error:
        raise SettingsError(f"otlp.endpoint or otlp.metrics is wrong: {error}") from error
    analysis.registry.register(exporter)
    await exporter.start()
    stack.push_async_callback(exporter.stop)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
