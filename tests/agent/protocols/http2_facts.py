"""What tests of HTTP/2 ask of a connection and of the exchanges that it tells."""

from agent.protocols.exchange import Exchange
from tests.agent.protocols.http2_wire import World


def with_connection(**options: object) -> World:
    world = World(**options)  # type: ignore[arg-type]
    world.begin()
    return world


def facts(exchange: Exchange) -> tuple[str, str, str, int]:
    return exchange.method, exchange.path, exchange.host, exchange.status


def sizes(exchange: Exchange) -> tuple[int, int, int, int]:
    request, response = exchange.request, exchange.response
    return request.header_bytes, request.body_bytes, response.header_bytes, response.body_bytes
