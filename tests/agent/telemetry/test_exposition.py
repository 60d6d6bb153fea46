"""agent/telemetry/exposition.py, read by the client library of Prometheus and by promtool."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from agent.telemetry import families
from agent.telemetry.exposition import render
from agent.telemetry.families import FAMILIES, Family, Kind

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))
FIGURES = st.floats(allow_nan=False) | st.integers(0, 2**63)


@given(st.dictionaries(st.tuples(TEXT, TEXT), FIGURES, min_size=1, max_size=5), TEXT)
def test_what_is_written_is_read(series: dict[tuple[str, str], float], meaning: str) -> None:
    family = Family("pyrover_agent_things_total", Kind.COUNTER, f"A{meaning}Z", ("part", "cause"))
    (found,) = text_string_to_metric_families(render([(family, list(series.items()))]))
    assert (found.name, found.type, found.documentation) == ("pyrover_agent_things", "counter", family.meaning)
    assert {(sample.labels["part"], sample.labels["cause"]): float(sample.value) for sample in found.samples} == {
        labels: float(figure) for labels, figure in series.items()
    }


def test_the_text() -> None:
    text = render(
        [
            (families.READY, [((), 1)]),
            (families.TROUBLES, []),
            (families.LOGS_LOST, [(("refused",), 3), (('a "cause"',), 0.5)]),
        ]
    )
    assert text == (
        f"# HELP pyrover_agent_ready {families.READY.meaning}\n"
        "# TYPE pyrover_agent_ready gauge\n"
        "pyrover_agent_ready 1\n"
        f"# HELP pyrover_agent_logs_lost_total {families.LOGS_LOST.meaning}\n"
        "# TYPE pyrover_agent_logs_lost_total counter\n"
        'pyrover_agent_logs_lost_total{cause="refused"} 3\n'
        'pyrover_agent_logs_lost_total{cause="a \\"cause\\""} 0.5\n'
    )


def test_labels_must_be_complete() -> None:
    with pytest.raises(ValueError, match="shorter"):
        render([(families.LOGS_LOST, [((), 1)])])


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_promtool_has_nothing_to_say() -> None:
    text = render((family, [(family.labels, 1)]) for family in FAMILIES)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
