"""The console with everything that it asks: the API and GraphQL, on a real server in a thread of its own."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount

from backend.agents.book import AgentBook
from backend.console.pages import console_routes
from backend.oal.loader import load
from backend.query.graphql.alarms import AlarmBook
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry
from backend.query.graphql.templates import FileTemplates
from backend.query.routes import routes
from backend.server.guard import Guard
from backend.server.tokens import Token
from backend.storage.interface import Storage
from tests.backend.query import world
from tests.backend.query.serving import served


@contextmanager
def serving(
    storage: Storage,
    *,
    port: int = 0,
    clock: Callable[[], float] = lambda: world.NOW,
    alarms: AlarmBook | None = None,
    registry: CollectorRegistry | None = None,
    token: str = "",
    agents: AgentBook | None = None,
) -> Iterator[str]:
    """Serve a store while the block runs, to those who have the token; gives HOST:PORT. Templates are kept as long."""
    counted = registry or CollectorRegistry()
    with TemporaryDirectory(prefix="pyrover-console-") as folder:
        asked = graphql_routes(
            storage,
            load(skip_unsupported=True).definitions,
            FileTemplates(Path(folder) / "templates.json"),
            telemetry=Telemetry(counted),
            alarms=alarms,
            clock=clock,
        )
        answered = routes(storage, registry=counted, clock=clock, agents=agents)
        everything = Starlette(routes=[*asked, *answered, *console_routes()])
        with served([Mount("/", Guard(everything, Token(token), Counter()))], port) as address:
            yield address
