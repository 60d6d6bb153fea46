"""Delivery as a state machine whose rules say what happens and what goes wrong, so that a failure is made small.

The world is that of the histories (simulation.py); here nothing is left to chance but how long things take.
"""

import itertools
import random
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from backend.ingest.batch import LogBatch
from backend.metrics.pipeline import Pipeline
from tests.delivery.faults import PlannedFaults
from tests.delivery.simulation import BACKENDS, Simulation, simulation

AGENTS = 2


class Delivery(RuleBasedStateMachine):
    """What agents capture, what fails when, and how time passes; at the end every promise must be kept."""

    medium = "memory"

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._faults: PlannedFaults
        self._simulated: Simulation

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self._faults = PlannedFaults(random.Random(seed))
        self._simulated = self._stack.enter_context(simulation(self._faults, self.medium, [0] * AGENTS))
        self._simulated.start()

    @rule(agent=st.integers(0, AGENTS - 1), batches=st.integers(1, 5))
    def capture(self, agent: int, batches: int) -> None:
        self._simulated.capture(agent, batches)

    @rule(passed_over=st.integers(0, 60))
    def something_goes_wrong(self, passed_over: int) -> None:
        self._faults.plan(passed_over)

    @rule(full=st.booleans())
    def the_disk_of_agents(self, *, full: bool) -> None:
        self._faults.disk_full = full

    @rule(number=st.integers(0, 1))
    def kill_a_backend(self, number: int) -> None:
        self._simulated.kill_backend(number % BACKENDS[self.medium])

    @rule(seconds=st.integers(1, 40))
    def pass_time(self, seconds: int) -> None:
        self._simulated.pass_time(seconds)

    def teardown(self) -> None:
        with self._stack:
            loop = self._simulated.loop
            loop.run_until_complete(self._simulated.recover())
            loop.run_until_complete(self._simulated.settle())


class SharedDelivery(Delivery):
    """The same with two backends that share a store."""

    medium = "shared"


@pytest.mark.parametrize("machine", [Delivery, SharedDelivery])
def test_whatever_happens_every_promise_is_kept(machine: type[Delivery]) -> None:
    search = settings(max_examples=20, stateful_step_count=20, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=search)


def goes_wrong_once(passed_over: int, medium: str = "memory") -> bool:
    """Whether so many steps of a short history can be passed over before something goes wrong in it."""
    faults = PlannedFaults(random.Random(1))
    faults.plan(passed_over)
    with simulation(faults, medium, [3]) as simulated:
        simulated.start()
        simulated.pass_time(60.0)
        simulated.loop.run_until_complete(simulated.recover())
        simulated.loop.run_until_complete(simulated.settle())
    return faults.have_struck


@pytest.mark.parametrize("medium", ["memory", "shared"])
def test_whichever_step_goes_wrong_every_promise_is_kept(medium: str) -> None:
    steps = next(number for number in itertools.count() if not goes_wrong_once(number, medium))
    assert steps > 50


def test_it_is_noticed_when_the_store_does_not_know_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(_self: Pipeline, batches: Sequence[LogBatch], _writer: str) -> list[LogBatch]:
        return list(batches)

    monkeypatch.setattr(Pipeline, "_unstored", all_of_them)
    with pytest.raises(AssertionError, match="logs of a batch count"):
        all(map(goes_wrong_once, itertools.count()))
