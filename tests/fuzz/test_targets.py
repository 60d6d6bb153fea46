"""A bounded run of every fuzz target: some of what `python -m tests.fuzz TARGET` does for as long as one likes."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.registry import FOUND, Target
from tests.fuzz.targets import DIRECT, TARGETS

ROUNDS = 120
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=DIRECT, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


def test_what_a_target_begins_with_is_taken(target: Target) -> None:
    """Else damage to it would show no more than what comes before the first error."""
    assert target.seeds
    for seed in target.seeds:
        target.feed(seed)


def test_what_once_failed_is_taken_or_refused(target: Target) -> None:
    for path in target.found():
        target.check(path.read_bytes())


def test_damaged_input_is_taken_or_refused(target: Target) -> None:
    taken = 0
    for seed in range(ROUNDS):
        taken += target.check(target.input(random.Random(seed)))
    assert taken > 0


def test_what_was_found_belongs_to_a_target() -> None:
    assert {folder.name for folder in FOUND.iterdir()} <= {target.name for target in DIRECT}


def test_every_target_has_a_name_of_its_own() -> None:
    assert len(TARGETS) == len(DIRECT) + 4


def test_a_failure_names_its_input() -> None:
    def fails(_: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        Target("failing", fails, (KeyError,), (b"seed",)).check(b"input")
    assert caught.value.__notes__ == ["target failing, input b'input'"]


def test_a_long_run_from_the_command_line() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "grpc-health", "--seconds", "0.2", "--seed", "7"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told.endswith(" inputs from seed 7 on, no failure\n")
    assert not told.startswith("0 ")
