"""Figures as the text that Prometheus reads.

Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4. The agent is to stay small; the client
library takes 5 MB of memory more than this.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from agent.telemetry.families import Family

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Series = tuple[Sequence[str], float]
"""Values of the labels, and the figure."""
Reading = tuple[Family, Sequence[Series]]

_IN_MEANING: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(readings: Iterable[Reading]) -> str:
    """The text. A family without any series is left out."""
    return "".join(line + "\n" for family, series in readings if series for line in _lines(family, series))


def _lines(family: Family, series: Sequence[Series]) -> Iterator[str]:
    yield f"# HELP {family.name} {family.meaning.translate(_IN_MEANING)}"
    yield f"# TYPE {family.name} {family.kind}"
    for values, figure in series:
        labels = ",".join(
            f'{label}="{value.translate(_IN_LABEL)}"' for label, value in zip(family.labels, values, strict=True)
        )
        yield f"{family.name}{{{labels}}} {figure}" if labels else f"{family.name} {figure}"
