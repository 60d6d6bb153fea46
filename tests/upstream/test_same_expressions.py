"""The same expressions (MQE), of the same logs, evaluated by SkyWalking's backend and by this one."""

from itertools import product
from typing import Any, Final

import pytest

from tests.backend.query.mqe import dashboards
from tests.upstream.conftest import Pair
from tests.upstream.entities import Entity

SERVICE: Final[Entity] = {"scope": "Service", "serviceName": "reviews.default", "normal": True}
"""One whose calls take 20 ms each, which both know as that. Of each minute it has values, and percentiles."""
INSTANCE: Final[Entity] = {
    "scope": "ServiceInstance",
    "serviceName": "nginx",
    "normal": True,
    "serviceInstanceName": "recorded-node",
}
CALLS, READ, PERCENTILE = (f"kubernetes_service_{name}" for name in ("http_call_cpm", "read_time", "percentile"))
NONE: Final = "kubernetes_service_http_status_5xx_cpm"
"""A metric without a value."""
OPERATORS: Final = ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=")
OPERANDS: Final = (
    (CALLS, "3"),
    ("3", CALLS),
    (CALLS, READ),
    (PERCENTILE, "7"),
    ("7", PERCENTILE),
    (PERCENTILE, CALLS),
    (CALLS, PERCENTILE),
    (PERCENTILE, PERCENTILE),
    (f"avg({CALLS})", f"sum({READ})"),
    (CALLS, f"avg({READ})"),
    (f"max({READ})", CALLS),
    (f"avg({PERCENTILE})", "2"),
    ("7", "2"),
    (CALLS, "0"),
    (f"{CALLS} - {CALLS}", f"{READ} - {READ}"),
    (CALLS, NONE),
    (f"({CALLS} + 1)", f"({READ} * 2)"),
)
AGGREGATIONS: Final = ("avg", "count", "max", "min", "latest", "sum")
ARGUMENTS: Final = (CALLS, f"{READ} / 7", PERCENTILE, f"{CALLS} - 10", f"{READ} * {PERCENTILE}")
OTHERS: Final = (
    *(f"{function}({argument})" for function, argument in product(("abs", "ceil", "floor"), ARGUMENTS)),
    *(f"round({argument}, {places})" for argument, places in product(ARGUMENTS, (0, 1, 2))),
    *(f"{function}({CALLS}, {back})" for function, back in product(("increase", "rate"), (1, 2, 3))),
    *(f"{function}({PERCENTILE}, 1)" for function in ("increase", "rate")),
    f"view_as_seq({CALLS}, {READ})",
    f"view_as_seq(absent, {READ})",
    f"view_as_seq({NONE}, {CALLS})",
    f"is_present({CALLS}, {READ})",
    f"is_present({NONE})",
    "is_present(absent)",
    f"relabels({PERCENTILE}, p='50,75,90,95,99', percentile='P50,P75,P90,P95,P99')",
    f"relabels({PERCENTILE}{{p='50,75'}}, p='50,75', p='a,b')",
    f"{PERCENTILE}{{p='50,99'}}",
    *(f"aggregate_labels({PERCENTILE}, {function})" for function in ("sum", "avg", "max", "min")),
    f"aggregate_labels({PERCENTILE}, avg(p))",
    f"avg(aggregate_labels({PERCENTILE}, sum))",
    *(f"sort_values({READ}, {how})" for how in ("3, des", "3, asc", "des", "asc")),
    *(f"sort_label_values({PERCENTILE}, {order}, p)" for order in ("des", "asc")),
    f"{CALLS} > 2 == 1",
    f"1.5 * {CALLS} - {READ} / 1000",
    f"avg({CALLS}) * 100 / sum({CALLS})",
    "1 + 1",
)
NO_NUMBERS: Final = ("NaN", "∞", "-∞")
"""How SkyWalking writes what a division by zero gives."""
WRONG: Final = ("absent", f"absent + {CALLS}", "", "(", f"{CALLS} +", "avg()", f"unknown({CALLS})", f"-1 * {CALLS}")
"""Both refuse these, in words of their own."""


def same(pair: Pair, expressions: list[str], entity: Entity) -> None:
    asked = [(expression, entity) for expression in expressions]
    theirs, ours = (backend.expressions(asked, pair.duration) for backend in (pair.theirs, pair.ours))
    for their in theirs:
        without_divisions_by_zero(their)
    different = [
        f"{expression}: {their} theirs, {our} ours"
        for expression, their, our in zip(expressions, theirs, ours, strict=True)
        if our != their
    ]
    assert not different, "\n".join(different)


def without_divisions_by_zero(answer: dict[str, Any]) -> None:
    """Leave out values that are none: there are none here, as docs/compatibility.md says (D15)."""
    for result in answer["results"]:
        for value in result["values"]:
            if value["value"] in NO_NUMBERS:
                value["value"] = None


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators(pair: Pair, operator: str) -> None:
    same(pair, [f"{left} {operator} {right}" for left, right in OPERANDS], SERVICE)


@pytest.mark.parametrize("function", AGGREGATIONS)
def test_aggregations(pair: Pair, function: str) -> None:
    same(pair, [f"{function}({argument})" for argument in ARGUMENTS], SERVICE)


def test_functions(pair: Pair) -> None:
    same(pair, list(OTHERS), SERVICE)


def test_what_dashboards_ask(pair: Pair) -> None:
    # Of times of calls the one has cut each to a whole millisecond.
    asked = [one for one in dashboards.SERVICES + dashboards.INSTANCES if "call_time" not in one and "top_n" not in one]
    for entity, kind in ((SERVICE, dashboards.SERVICES), (INSTANCE, dashboards.INSTANCES)):
        same(pair, [expression for expression in kind if expression in asked], entity)


def test_the_first_of_many(pair: Pair) -> None:
    everything: Entity = {"scope": "Service"}
    for metric in ("kubernetes_service_read_package_size", "kubernetes_service_write_package_size"):
        expressions = [f"top_n({metric}, {count}, {order})" for count in (3, 5) for order in ("des", "asc")]
        asked = [(expression, everything) for expression in expressions]
        theirs, ours = (backend.expressions(asked, pair.duration) for backend in (pair.theirs, pair.ours))
        for their, our in zip(theirs, ours, strict=True):
            # A store that is asked for means rounds them to whole numbers.
            for of_theirs, of_ours in zip(ranked(their), ranked(our), strict=True):
                assert of_theirs[0] == of_ours[0]
                assert abs(of_theirs[1] - of_ours[1]) <= 0.5


def ranked(answer: dict[str, list[dict[str, list[dict[str, str]]]]]) -> list[tuple[str, float]]:
    return [(value["id"], float(value["value"])) for value in answer["results"][0]["values"]]


@pytest.mark.parametrize("expression", WRONG)
def test_what_is_no_expression(pair: Pair, expression: str) -> None:
    theirs, ours = (
        backend.expressions([(expression, SERVICE)], pair.duration)[0] for backend in (pair.theirs, pair.ours)
    )
    assert theirs["error"]
    assert ours["error"]
