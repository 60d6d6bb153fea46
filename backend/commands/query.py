"""`pyrover-backend query`: ask a running backend, print a table or JSON."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from backend.query import agent_tables, shapes, tables, topology_tree
from backend.query.agents import Agents
from backend.query.client import AskingError, Client
from backend.query.expressions import NAMES, Expression
from backend.query.lookup import Lookup, NoDataError, Subject, no_services
from backend.query.times import MAXIMUM_BUCKETS

DEFAULT_ADDRESS = "127.0.0.1:12800"
TOKEN = "PYROVER_BACKEND_HTTP_TOKEN"  # noqa: S105 - the name of a variable
"""The variable that gives a backend its token gives it to those who ask it. An option would be seen by all users."""

_NAME = re.compile(r"\w+")
"""A metric by itself, whose values can be shown with their unit."""
_RANKED = 1_000
"""Services whose health is asked for, those with most calls first."""
_LAST = re.compile(r"\d{1,9}[smhdw]")
_Shown = tuple[msgspec.Struct, tables.Listing | str]
"""An answer, and what of it a person sees."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    common, span = _common(), _span_options()
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")

    def add(name: str, summary: str, parents: Sequence[argparse.ArgumentParser]) -> argparse.ArgumentParser:
        text = f"{summary[0].upper()}{summary[1:]}."
        return questions.add_parser(name, parents=parents, help=summary, description=text)

    both = [common, span]

    add("services", "services and what they did", both)
    instances = add("instances", "instances of a service and what they did", both)
    instances.add_argument("--service", required=True, metavar="NAME", help="the service")
    endpoints = add("endpoints", "methods and paths that were called", both)
    endpoints.add_argument("--service", metavar="NAME", help="only those of this service")
    topology = add(
        "topology", "who calls whom, as a tree in a terminal; with --service and --to, which of their instances", both
    )
    topology.add_argument("--service", metavar="NAME", help="one of two services, to show the calls of their instances")
    topology.add_argument("--to", metavar="NAME", help="the other")
    metrics = add(
        "metrics", "a metric or an expression (docs/mqe.md) over time; without one, which metrics there are", both
    )
    _configure_metrics(metrics)
    add("status", "what the backend received and lost", [common])
    add("agents", "the agents on the nodes: what they see, and what they lost", [common])


def _common() -> argparse.ArgumentParser:
    """Arguments of every question."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--address",
        default=DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help="HTTP address of the backend, with https:// before it where it is encrypted (default: %(default)s); its"
        f" token, if it asks for one, is read from the variable {TOKEN}",
    )
    common.add_argument("--json", action="store_true", help="print the answer of the API, for programs")
    return common


def _span_options() -> argparse.ArgumentParser:
    """Arguments of questions about a span of time."""
    span = argparse.ArgumentParser(add_help=False)
    span.add_argument(
        "--last", type=_last, metavar="SPAN", help="how far to look back, such as 15m, 6h or 2d (default: 15m)"
    )
    span.add_argument(
        "--start", metavar="TIME", help="first minute, such as 2026-01-31T12:00:00Z; --start=-2h is two hours ago"
    )
    span.add_argument("--end", metavar="TIME", help="last minute, also included (default: now)")
    return span


def _configure_metrics(metrics: argparse.ArgumentParser) -> None:
    metrics.add_argument(
        "expression",
        nargs="?",
        metavar="EXPRESSION",
        help='such as kubernetes_service_write_cpm or "top_n(kubernetes_service_http_call_time, 10, des)"',
    )
    metrics.add_argument("--service", metavar="NAME", help="the service, or the one that calls")
    metrics.add_argument("--instance", metavar="NAME", help="its instance, for metrics of instances")
    metrics.add_argument("--endpoint", metavar="NAME", help='its endpoint, such as "GET:/orders"')
    metrics.add_argument(
        "--to", "--dest-service", metavar="NAME", help="the service that is called, for metrics of relations"
    )
    metrics.add_argument(
        "--to-instance", "--dest-instance", metavar="NAME", help="its instance, for metrics of instance relations"
    )
    metrics.add_argument(
        "--to-endpoint", "--dest-endpoint", metavar="NAME", help="its endpoint, for metrics of endpoint relations"
    )
    metrics.add_argument(
        "--step",
        choices=("minute", "hour", "day"),
        help=f"length of a bucket (default: the shortest that gives at most {MAXIMUM_BUCKETS})",
    )
    metrics.add_argument(
        "--zone", metavar="OFFSET", help="whose hours and days are meant, of expressions: +0200 (default: UTC)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 also when there is no data, 1 when there is no answer or it is no."""
    try:
        client = Client(arguments.address, os.environ.get(TOKEN, ""))
        answer, shown = _QUESTIONS[arguments.question](client, arguments)
    except AskingError as error:
        print(f"pyrover-backend query: {error.error}\n  {error.hint}", file=sys.stderr)  # noqa: T201 - a command's own output
        return 1
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())  # noqa: T201 - a command's own output
    else:
        tables.show(shown)
    return 0


def _last(text: str) -> str:
    if not _LAST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a span: write a number and s, m, h, d or w, such as 15m")
    return text


def _span(arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.last and arguments.start:
        raise AskingError("--last and --start say the same in two ways", "give one of them")
    start = arguments.start or (f"-{arguments.last}" if arguments.last else None)
    return {name: value for name, value in (("start", start), ("end", arguments.end)) if value}


def _services(client: Client, arguments: argparse.Namespace) -> _Shown:
    answer = client.get(shapes.Services, "/api/services", _span(arguments))
    return answer, tables.services(answer) if answer.services else no_services(answer)


def _instances(client: Client, arguments: argparse.Namespace) -> _Shown:
    span = _span(arguments)
    try:
        service = Lookup(client, span).service(arguments.service)
    except NoDataError as nothing:
        seen = client.get(shapes.Services, "/api/services", span)
        return shapes.Instances(seen.span, arguments.service, []), str(nothing)
    answer = client.get(shapes.Instances, f"/api/services/{quote(service, safe='')}/instances", span)
    return answer, tables.instances(answer) if answer.instances else "No instance was seen in this time."


def _endpoints(client: Client, arguments: argparse.Namespace) -> _Shown:
    span = _span(arguments)
    path = "/api/endpoints"
    if arguments.service is not None:
        try:
            service = Lookup(client, span).service(arguments.service)
        except NoDataError as nothing:
            return client.get(shapes.Endpoints, path, span), str(nothing)
        path = f"/api/services/{quote(service, safe='')}/endpoints"
    answer = client.get(shapes.Endpoints, path, span)
    return answer, tables.endpoints(answer) if answer.endpoints else "No HTTP call was seen in this time."


def _topology(client: Client, arguments: argparse.Namespace) -> _Shown:
    span = _span(arguments)
    if (arguments.service is None) != (arguments.to is None):
        raise AskingError("calls of instances are between two services", "give both --service and --to, or neither")
    if arguments.service is None:
        answer = client.get(shapes.Topology, "/api/topology", span)
        if answer.calls and not arguments.json and tables.is_read_by_a_person():
            return answer, topology_tree.tree(answer, _health(client, span))
    else:
        lookup = Lookup(client, span)
        try:
            ends = {"source": lookup.service(arguments.service), "target": lookup.service(arguments.to)}
        except NoDataError as nothing:
            return client.get(shapes.Topology, "/api/topology", span), str(nothing)
        answer = client.get(shapes.Topology, "/api/instance-topology", {**ends, **span})
    return answer, tables.topology(answer) if answer.calls else "No calls were seen in this time."


def _health(client: Client, span: dict[str, str]) -> dict[str, topology_tree.Health]:
    """What services answered, by their ids; nothing where there are no such metrics."""
    numbers: list[dict[str, float]] = []
    for name in ("cpm", "time", "successful_rate"):
        asked = {"expression": f"top_n(kubernetes_service_http_call_{name}, {_RANKED}, des)", **span}
        try:
            answer = client.get(Expression, "/api/expression", asked)
        except AskingError:
            return {}
        values = [value for series in answer.result.results for value in series.values]
        numbers.append({value.owner.serviceID: float(value.value) for value in values if value.owner and value.value})
    rates, times, successes = numbers
    return {
        service: topology_tree.Health(
            rate,
            None if service not in times else times[service] * 1e6,
            None if service not in successes else successes[service] / 10_000,
        )
        for service, rate in rates.items()
    }


def _metrics(client: Client, arguments: argparse.Namespace) -> _Shown:
    names = client.get(shapes.MetricNames, "/api/metrics/names", {})
    if arguments.expression is None:
        return names, tables.names(names)
    if not _NAME.fullmatch(arguments.expression) or arguments.zone or arguments.to_endpoint:
        return _expression(client, arguments)
    name = arguments.expression
    span = _span(arguments)
    # An unknown name is refused by the API, which knows near ones.
    scope = next((metric.scope for metric in names.metrics if metric.name == name), "K8SService")
    subject = Subject(arguments.service, arguments.instance, arguments.to, arguments.to_instance, arguments.endpoint)
    try:
        entity = Lookup(client, span).entity(scope, subject)
    except NoDataError as nothing:
        seen = client.get(shapes.Services, "/api/services", span).span
        return shapes.Metrics(seen.start, seen.end, arguments.step or "minute", None, []), str(nothing)
    parameters = {"name": name, "entity": entity, **span}
    if arguments.step:
        parameters["step"] = arguments.step
    answer = client.get(shapes.Metrics, "/api/metrics", parameters)
    if all(point.value is None for series in answer.series for point in series.points):
        return answer, f"{name} has no data for it in this time."
    return answer, tables.metrics(answer)


def _expression(client: Client, arguments: argparse.Namespace) -> _Shown:
    span = _span(arguments)
    given = {name: getattr(arguments, name.replace("-", "_")) for name in (*NAMES, "step", "zone")}
    parameters = {name: value for name, value in given.items() if value is not None}
    answer = client.get(Expression, "/api/expression", {"expression": arguments.expression, **parameters, **span})
    if all(value.value is None for series in answer.result.results for value in series.values):
        lookup = Lookup(client, span)
        try:
            # A name that is misspelt is no error of the language, and has no data either.
            for name in (arguments.service, arguments.to):
                if name is not None:
                    lookup.service(name)
        except NoDataError as nothing:
            return answer, str(nothing)
        return answer, "The expression gives no value for it in this time."
    return answer, tables.expression(answer)


def _status(client: Client, _: argparse.Namespace) -> _Shown:
    answer = client.get(shapes.Status, "/api/status", {})
    return answer, tables.status(answer)


def _agents(client: Client, _: argparse.Namespace) -> _Shown:
    answer = client.get(Agents, "/api/agents", {})
    return answer, agent_tables.agents(answer) if answer.agents else "No agent was heard within the hour."


_QUESTIONS: dict[str, Callable[[Client, argparse.Namespace], _Shown]] = {
    "services": _services,
    "instances": _instances,
    "endpoints": _endpoints,
    "topology": _topology,
    "metrics": _metrics,
    "status": _status,
    "agents": _agents,
}
