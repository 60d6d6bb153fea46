"""Targets: the languages in which metrics are defined and asked for."""

import re

from backend.oal.compiler import Program
from backend.oal.loader import STANDARD, load_texts
from backend.oal.syntax import OalError
from backend.query.errors import QueryError
from backend.query.mqe import parser as mqe
from backend.query.mqe.syntax import MqeError
from backend.query.promql import parsing as promql
from backend.query.promql.errors import PromqlError
from backend.query.promql.parameters import Parameters
from tests.fuzz.registry import Target, text

_COMMENT = re.compile(r"//.*")


def _oal(script: str) -> None:
    Program(load_texts({"fuzz.oal": script}, skip_unsupported=True).definitions)


def _parameters(asked: str) -> None:
    parameters = Parameters(asked, asked[::2], 2_000_000_000.0)
    for read in (parameters.instant, parameters.range, parameters.timeout, parameters.limit):
        try:
            read()
        except PromqlError:
            continue


_OAL = tuple(
    f"{statement.strip()};".encode()
    for script in sorted(STANDARD.glob("*.oal"))
    for statement in _COMMENT.sub("", script.read_text()).split(";")[:-1:9]
)

TARGETS = (
    Target("oal", text(_oal), (OalError,), _OAL, (b"(", b"((((", b".filter(", b"/*", b"//", b'"', b"&&", b"->")),
    Target(
        "mqe",
        text(mqe.parse),
        (MqeError, QueryError),
        (
            b"top_n(kubernetes_service_http_call_time, 10, des, attr0='a')",
            b"avg(a{p='50,75'}) * 100 > 5",
            b"relabels(a{p='50'}, p='50', percentile='P50')",
            b"(aggregate_labels(a{p='50,75'}, sum(b)) + 1) / 2 - c % 3",
            b"a >= 1 && b < 2.5 || c == 3",
            b"sort_values(service_cpm,10,asc)",
        ),
        (b"(" * 40, b"-" * 40, b"{", b"''", b"\\", b"&&", b"top_n(", b"\xe2\x80\x8b"),
    ),
    Target(
        "promql",
        text(promql.parse),
        (PromqlError,),
        (
            b'sum by (service) (rate(kubernetes_service_read_cpm{layer="K8S_SERVICE",x=~"a.*"}[5m] offset 1h)) > 5',
            b"a / on(b) group_left(c) d @ 1609746000",
            b"histogram_quantile(0.9, sum(x) without (y))",
            b"topk(3, max_over_time(a[1h:5m]))",
        ),
        (b"(" * 40, b"-" * 60, b"{", b'"', b"[5m]", b"offset", b" or a" * 20, b"\\u0000"),
    ),
    Target(
        "promql-parameters",
        text(_parameters),
        (PromqlError,),
        (
            b"query=up&time=2015-07-01T20:10:51.781Z",
            b"start=1&end=2&step=15s&limit=5&timeout=1m",
            b"match[]=a&match[]=b",
        ),
        (b"&", b"%", b"%ff", b"=", b"step=1e309", b"time=nan", b"9" * 400, b"end=-inf&start=1e308"),
    ),
)
