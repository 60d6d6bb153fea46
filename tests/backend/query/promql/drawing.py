"""Random series and random expressions about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from backend.query.promql.matching import Selector
from backend.query.promql.series import Samples, labels_of
from tests.backend.query.promql.reference import Series

START = 1_700_000_040_000
"""A whole minute, in milliseconds."""
MINUTES = 40
NAMES = ("a_metric", "b_metric")
_FUNCTIONS = (
    *("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"),
    *(f"{name}_over_time" for name in ("sum", "avg", "min", "max", "count", "stddev", "stdvar", "last", "present")),
)


@dataclass(frozen=True)
class ListSource:
    """The Source of series in a list, which are a minute apart."""

    series: Sequence[Series]

    def select(self, selector: Selector, first: int, last: int, spacing: int) -> Samples:
        first = -(-first // spacing) * spacing
        count = max(0, (last - first) // spacing + 1)
        chosen = [series for series in self.series if selector.accepts(series.labels)]
        present = np.array(
            [[first + at * spacing in series.samples for at in range(count)] for series in chosen], np.bool_
        ).reshape(len(chosen), count)
        values = np.array(
            [[series.samples.get(first + at * spacing, 0.0) for at in range(count)] for series in chosen]
        ).reshape(len(chosen), count)
        return Samples([labels_of(series.labels) for series in chosen], values, present, first, spacing)


def drawn_series(seed: int) -> list[Series]:
    """Series of two metrics with some labels, gaps, falls and repeated values."""
    random = np.random.default_rng(seed)
    found: list[Series] = []
    for name in NAMES:
        for x in ("1", "2"):
            for y in ("p", "q", "r"):
                if random.random() < 0.2:
                    continue
                steps = random.normal(1, 4, MINUTES).round(3)
                numbers = np.abs(np.cumsum(steps)) if random.random() < 0.7 else steps
                kept = random.random(MINUTES) < random.choice([0.3, 0.8, 1.0])
                # So that no two series are ever equal, which would leave open what topk() means.
                unlike = (len(found) + 1) * 1e-6
                samples = {
                    START + minute * 60_000: float(number + unlike)
                    for minute, (number, keep) in enumerate(zip(numbers, kept, strict=True))
                    if keep
                }
                found.append(Series({"__name__": name, "x": x, "y": y}, samples))
    return found


@st.composite
def selectors(draw: st.DrawFn, offset: str = "") -> str:
    name = draw(st.sampled_from(NAMES))
    matchers = draw(
        st.lists(
            st.sampled_from(['x="1"', 'x!="1"', 'y=~"p|q"', 'y!~"q.*"', 'z=""', 'y=~".+"']), max_size=2, unique=True
        )
    )
    moved = offset or draw(st.sampled_from(["", "", " offset 2m", " offset 7m"]))
    return f"{name}{{{','.join(matchers)}}}{moved}"


@st.composite
def windows(draw: st.DrawFn) -> str:
    selector, length = draw(selectors()), draw(st.sampled_from(["2m", "5m", "11m"]))
    if draw(st.integers(0, 4)) == 0:
        # Half a minute from the samples, so that none is at the end of a window: there Prometheus 2 and 3 differ.
        return (
            f"sum by (x) ({draw(selectors(offset=' offset 30s'))})[{length}:{draw(st.sampled_from(['1m', '2m', '']))}]"
        )
    bare, _, moved = selector.partition(" ")
    return f"{bare}[{length}] {moved}".strip()


@st.composite
def vectors(draw: st.DrawFn, depth: int = 2) -> str:  # noqa: PLR0911 - one for each form
    choice = draw(st.integers(0, 9 if depth else 3))
    match choice:
        case 0 | 1:
            return draw(selectors())
        case 2:
            return f"{draw(st.sampled_from(_FUNCTIONS))}({draw(windows())})"
        case 3:
            share = draw(st.sampled_from(["0", "0.3", "0.9", "1", "1.5"]))
            ranked = draw(st.sampled_from(["topk(2, {0})", "bottomk by (x) (1, {0})", "topk without (y) (2, {0})"]))
            return draw(
                st.sampled_from(
                    [
                        f"quantile_over_time({share}, {draw(windows())})",
                        ranked.format(draw(selectors())),
                        f"quantile by (x) ({share}, {draw(selectors())})",
                    ]
                )
            )
        case 4 | 5:
            operator = draw(st.sampled_from(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]))
            modifier = draw(st.sampled_from(["", "by (x) ", "by (y, x) ", "without (y) ", "without (z, x) "]))
            return f"{operator} {modifier}({draw(vectors(depth - 1))})"
        case 6:
            function = draw(st.sampled_from(["abs", "-", "vector(scalar", "absent", ""]))
            return f"{function}({draw(vectors(depth - 1))}){')' * (function.count('('))}"
        case 7:
            operator = draw(st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "> bool", "<", ">=", "<= bool"]))
            sides = [draw(vectors(depth - 1)), draw(st.sampled_from(["2", "0", "1.5", "-3"]))]
            return f"({f' {operator} '.join(draw(st.permutations(sides)))})"
        case 8:
            operator = draw(st.sampled_from(["and", "or", "unless"]))
            modifier = draw(st.sampled_from(["", "on (x) ", "ignoring (y) ", "on () "]))
            return f"({draw(vectors(depth - 1))} {operator} {modifier}{draw(vectors(depth - 1))})"
        case _:
            operator = draw(st.sampled_from(["+", "-", "*", "/", ">", "< bool", "!="]))
            modifier = draw(
                st.sampled_from(
                    [
                        "",
                        "",
                        "on (x) ",
                        "ignoring (y) ",
                        "on (x) group_left () ",
                        "on (x) group_left (y) ",
                        "on (x) group_right () ",
                    ]
                )
            )
            return f"({draw(vectors(depth - 1))} {operator} {modifier}{draw(vectors(depth - 1))})"
