"""agent/telemetry/health.py: an agent is ready when it is attached, takes events and delivers."""

import pytest

from agent.kernel.hooks import HOOKS
from agent.telemetry.health import STEP_SECONDS, Finding, examine
from tests.agent.telemetry.stand_ins import StandIn, progress

NOW = 1_000_000_000_000


def findings(stand_in: StandIn | None) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(stand_in.parts() if stand_in else None, NOW)}


def test_before_it_is_attached() -> None:
    assert findings(None) == {
        "hooks": Finding("hooks", good=False, text="not attached yet: the programs are being loaded")
    }


def test_ready() -> None:
    found = findings(StandIn(noted=progress(NOW - 100_000_000)))
    assert all(finding.good for finding in found.values())
    assert found["hooks"].text == f"{len(HOOKS)} of {len(HOOKS)} attached"
    assert found["events"].text == "last taken 0.1 s ago"
    assert found["delivery"].text == "30 logs delivered"


def test_hooks_without_a_source_are_named_and_make_nothing_unready() -> None:
    found = findings(StandIn(attached=len(HOOKS) - 2, noted=progress(NOW)))["hooks"]
    assert found.good
    names = ", ".join(hook.name for hook in HOOKS[-2:])
    assert found.text.startswith(f"{len(HOOKS) - 2} of {len(HOOKS)} attached, without {names} (")


def test_before_the_first_step() -> None:
    assert findings(StandIn())["events"] == Finding(
        "events", good=False, text="none taken yet: open connections are being looked for"
    )


@pytest.mark.parametrize(("age", "good"), [(STEP_SECONDS - 0.1, True), (STEP_SECONDS, False)])
def test_a_pipeline_that_takes_no_events(age: float, *, good: bool) -> None:
    found = findings(StandIn(noted=progress(NOW - int(age * 1e9))))["events"]
    assert found.good is good
    assert found.text.startswith(f"last taken {age:.1f} s ago")


def test_a_backend_that_is_away() -> None:
    found = findings(StandIn(noted=progress(NOW), problem="UNAVAILABLE: refused"))["delivery"]
    assert found == Finding("delivery", good=False, text="20 logs wait; the last attempt failed: UNAVAILABLE: refused")
