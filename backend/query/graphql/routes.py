"""GraphQL as a route: POST /graphql, and a page for those who open it in a browser."""

import time
from collections.abc import Callable, Iterable

from starlette.routing import BaseRoute, Route

from backend.metrics.windows import Compatibility
from backend.oal.definitions import Definition
from backend.query.catalog import Catalog
from backend.query.graphql.alarms import AlarmBook, NoAlarms
from backend.query.graphql.context import Sources
from backend.query.graphql.endpoint import METHODS, GraphqlEndpoint
from backend.query.graphql.service_book import ServiceBook
from backend.query.graphql.telemetry import Telemetry
from backend.query.graphql.templates import TemplateStore
from backend.storage.interface import Retention, Storage

PATH = "/graphql"


def graphql_routes(
    storage: Storage,
    definitions: Iterable[Definition],
    templates: TemplateStore,
    *,
    telemetry: Telemetry | None = None,
    alarms: AlarmBook | None = None,
    retention: Retention | None = None,
    compatibility: Compatibility | None = None,
    offset: int = 0,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.monotonic,
) -> list[BaseRoute]:
    """GraphQL as routes of a Starlette application.

    Args:
        storage: what is asked; its methods are called in worker threads.
        definitions: the metrics that are computed.
        templates: where the web client keeps its dashboards.
        telemetry: what is counted; make it once, for the routes are made again at every reload.
        alarms: where alarms are; there are none by default.
        retention: how long what is kept.
        compatibility: what to read as Apache SkyWalking does.
        offset: minutes that the server's zone is ahead of UTC.
        clock: seconds since 1970-01-01 UTC.
        timer: seconds that never go back.
    """
    telemetry = telemetry or Telemetry()
    services = ServiceBook(storage, timer=timer)
    telemetry.services_left_out.set_function(lambda: services.left_out)
    sources = Sources(
        storage=storage,
        services=services,
        catalog=Catalog(definitions, compatibility),
        alarms=alarms or NoAlarms(),
        templates=templates,
        retention=retention or Retention(),
        clock=clock,
        offset=offset,
    )
    endpoint = GraphqlEndpoint(sources, telemetry, timer)
    return [Route(PATH, endpoint.respond, methods=METHODS)]
