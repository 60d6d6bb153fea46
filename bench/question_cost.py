"""What an answer costs the processor, by who else asks: a large world in DuckDB, questions without a network.

    python -m bench.question_cost [--answers 300] [--services 1000] [--relations 10000] [--minutes 15]

Told is the processor time of this process for an answer, which says more than seconds on a busy machine: of one caller
of execExpression, of 100 callers each of whom asks about a service of its own, of 100 who ask the same, and of one who
asks for all services and for who calls whom. What is asked is the calls per minute of a service, minute by minute.
"""

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette

from backend.oal.loader import load
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.templates import FileTemplates
from backend.query.routes import routes
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import FOREVER
from bench.questions import QUESTION
from tests.backend.query import large_world

CALLERS = 100
NOW = 1_800_000_030.0


async def ask(application: Starlette, path: str, query: str = "", body: bytes = b"") -> bytes:
    """The body of an answer. Exits when it is not one."""
    arrived = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return arrived.pop() if arrived else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("bench", 80),
        "client": ("bench", 80),
    }
    await application(scope, receive, send)
    answer = b"".join(message.get("body", b"") for message in sent)
    if sent[0]["status"] != 200 or b'"errors"' in answer:  # noqa: PLR2004 - HTTP's word for yes
        raise SystemExit(f"{path} was not answered: {answer[:500]!r}")
    return answer


def bodies(services: int, minutes: int) -> Iterator[bytes]:
    """Questions about one service after the other."""
    first, last = (time.strftime("%Y-%m-%d %H%M", time.gmtime(NOW - ago * 60)) for ago in (minutes - 1, 0))
    for name in itertools.cycle(large_world.names(services)):
        entity = {"scope": "Service", "serviceName": name, "normal": True}
        variables = {"entity": entity, "duration": {"start": first, "end": last, "step": "MINUTE"}}
        yield json.dumps({"query": QUESTION, "variables": variables}).encode()


async def expressions(application: Starlette, asked: Iterator[bytes], callers: int, answers: int) -> float:
    """Milliseconds of the processor for an answer."""

    async def caller() -> None:
        for _ in range(answers // callers):
            await ask(application, "/graphql", body=next(asked))

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return (time.process_time() - began) * 1e3 / (answers // callers * callers)


async def page(application: Starlette, path: str, minutes: int) -> float:
    """Milliseconds of the processor for the second answer of an address of the API."""
    query = urlencode({"start": f"-{minutes}m"})
    await ask(application, path, query)
    began = time.process_time()
    await ask(application, path, query)
    return (time.process_time() - began) * 1e3


async def measure(application: Starlette, answers: int, services: int, minutes: int) -> None:
    """Print a row of each."""
    several = bodies(services, minutes)
    same = itertools.repeat(next(bodies(services, minutes)))
    await expressions(application, several, CALLERS, CALLERS)  # what is read and compiled once
    rows = {
        "execExpression, one caller": await expressions(application, several, 1, max(20, answers // 10)),
        f"execExpression, {CALLERS} callers, each another service": await expressions(
            application, several, CALLERS, answers
        ),
        f"execExpression, {CALLERS} callers, all the same": await expressions(application, same, CALLERS, answers),
        "/api/services": await page(application, "/api/services", minutes),
        "/api/topology": await page(application, "/api/topology", minutes),
    }
    print("| question | processor time an answer |\n|---|---|")
    for name, milliseconds in rows.items():
        print(f"| {name} | {milliseconds:,.1f} ms |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=300, help="of each row with callers (default: %(default)s)")
    parser.add_argument("--services", type=int, default=large_world.SERVICES)
    parser.add_argument("--relations", type=int, default=large_world.RELATIONS)
    parser.add_argument("--minutes", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckdbStorage(Path(folder) / "metrics.duckdb")
        large_world.fill(storage, NOW, services=asked.services, relations=asked.relations, minutes=asked.minutes)
        storage.maintain(int(NOW) // 60, int(NOW) // 60, FOREVER)
        definitions = load(skip_unsupported=True).definitions
        listed = [
            *graphql_routes(storage, definitions, FileTemplates(Path(folder) / "templates.json"), clock=lambda: NOW),
            *routes(storage, definitions, clock=lambda: NOW),
        ]
        asyncio.run(measure(Starlette(routes=listed), asked.answers, asked.services, asked.minutes))
        storage.close()


if __name__ == "__main__":
    main()
