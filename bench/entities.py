"""What naming costs: of a connection, and of the endpoint of a call.

.venv/bin/python -m bench.entities
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

from backend.entities.grouping import Grouping
from backend.entities.grouping_rules import read_rules
from backend.entities.resolution import End, Flow, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, Node

NODE = Node("node", "", 0, {})
MINUTE = 30_000_000


class _Book:
    """Knows 500 services by their addresses, as one look-up."""

    version = 0

    def __init__(self, addresses: int) -> None:
        self._ends = {
            _host(number): End(f"service-{number % 500}.default", f"pod-{number}") for number in range(addresses)
        }

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        del port, node, minute
        return self._ends.get(host)


def _host(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _connections(count: int, *, by_address: bool) -> list[Connection]:
    local = Address("shop.default", "shop-1", "java", "", 8_080)
    return [
        Connection(
            NODE,
            local,
            Address("", "", "", _host(number), 80)
            if by_address
            else Address(f"service-{number % 500}", "pod", "", "", 80),
            DetectPoint.SERVER,
            tls=False,
            protocol=1,
        )
        for number in range(count)
    ]


def _work(count: int) -> Iterator[tuple[str, Callable[[Resolver], None], Callable[[Resolver], None]]]:
    """What is measured: its name, what comes before, and `count` times the work."""
    for by_address in (False, True):
        connections = _connections(count, by_address=by_address)

        def resolve(resolver: Resolver, minute: int = MINUTE, taken: list[Connection] = connections) -> None:
            for connection in taken:
                resolver.resolve(connection, minute)

        what = "an address" if by_address else "a process"
        yield f"connection with {what}, new", lambda _: None, resolve
        yield f"connection with {what}, again in its minute", resolve, resolve
        if by_address:
            yield (
                f"connection with {what}, in the next minute",
                resolve,
                lambda resolver, of=resolve: of(resolver, MINUTE + 1),  # type: ignore[misc] # the loop's own
            )
    flow = Resolver().resolve(_connections(1, by_address=False)[0])
    if not isinstance(flow, Flow):
        raise TypeError("the connection has no flow")
    paths = [f"/api/v1/orders/{number}/lines" for number in range(count)]

    def serve(resolver: Resolver) -> None:
        for path in paths:
            resolver.serve(flow, "Get", path)

    yield "endpoint of a path, new", lambda _: None, serve
    yield "endpoint of a path, again", serve, serve


def measure(before: Callable[[Resolver], None], work: Callable[[Resolver], None], rules: int, count: int) -> float:
    """Seconds of processor time."""
    given = [f"/v2/carts/{{cart}}/{number}" for number in range(rules)]
    grouping = Grouping(read_rules({"grouping": [{"service-name": "shop.default", "rules": given}]}, "bench"))
    resolver = Resolver(_Book(count), grouping=grouping)
    before(resolver)
    began = time.process_time()
    work(resolver)
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    for name, before, work in _work(chosen.count):
        for rules in (0, 20, 1_000) if name == "endpoint of a path, new" else (0,):
            seconds = statistics.median(measure(before, work, rules, chosen.count) for _ in range(chosen.rounds))
            suffix = f", {rules} rules" if rules else ""
            print(f"{name + suffix:50} {seconds / chosen.count * 1e6:9.2f} us")


if __name__ == "__main__":
    main()
