"""What pytest's tests become when they are told as messages; pytest itself is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.vm.kernels import ROOT
from scripts.vm.messages import Message, Outcome, Step, read
from scripts.vm.reporter import DESCRIPTOR, FAILED

TESTS = """
import pytest

@pytest.fixture
def broken_end():
    yield
    raise RuntimeError("at the end")

def test_good(): print("said in passing")
def test_bad(): print("seen before"); assert 1 == 2
def test_end(broken_end): pass
def test_skip(): pytest.skip("nothing to see")
@pytest.mark.parametrize("word", ["a b", "\\n"])
def test_words(word): pass
"""
OTHERS = {
    "test_absent.py": "import pytest\npytest.skip('not here', allow_module_level=True)\n",
    "test_broken.py": "import nothing_of_this_name\n",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    folder = tmp_path_factory.mktemp("tests")
    (folder / "test_some.py").write_text(TESTS)
    for name, text in OTHERS.items():
        (folder / name).write_text(text)
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "pytest", "-p", "scripts.vm.reporter", "-p", "no:cacheprovider", "-q"]
    command += ["--continue-on-collection-errors", "--rootdir", str(folder), str(folder)]
    environment = {**os.environ, "PYROVER_ATTACH": "kprobe", DESCRIPTOR: str(write_end), "PYTHONPATH": str(ROOT)}
    failed = tmp_path_factory.mktemp("failed") / "failed"
    environment[FAILED] = str(failed)
    done = subprocess.run(
        command, cwd=folder, env=environment, pass_fds=(write_end,), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert [name.partition("::")[2] for name in failed.read_text().splitlines()] == ["test_bad", "test_end"]
    os.close(write_end)
    with os.fdopen(read_end) as output:
        return [message for line in output if (message := read(line))]


def outcomes(told: list[Message]) -> dict[str, Message]:
    return {Path(message.name).name: message for message in told if message.step is Step.END}


def test_each_test_begins_and_ends_once_in_its_mode(told: list[Message]) -> None:
    begun = [message.name for message in told if message.step is Step.BEGIN]
    assert len(begun) == len(set(begun)) == 6
    assert [message.name for message in told if message.step is Step.END and "::" in message.name] == begun
    assert {message.mode for message in told} == {"kprobe"}


def test_a_test_that_passes_says_no_more(told: list[Message]) -> None:
    message = outcomes(told)["test_some.py::test_good"]
    assert (message.outcome, message.text) == (Outcome.PASSED, "")


def test_a_failure_says_what_was_asserted_and_what_was_printed(told: list[Message]) -> None:
    message = outcomes(told)["test_some.py::test_bad"]
    assert message.outcome is Outcome.FAILED
    assert "assert 1 == 2" in message.text
    assert "seen before" in message.text


def test_a_fixture_that_fails_at_its_end_fails_the_test(told: list[Message]) -> None:
    message = outcomes(told)["test_some.py::test_end"]
    assert message.outcome is Outcome.FAILED
    assert "at the end" in message.text


def test_a_skip_says_why(told: list[Message]) -> None:
    message = outcomes(told)["test_some.py::test_skip"]
    assert (message.outcome, message.text) == (Outcome.SKIPPED, "nothing to see")


def test_files_that_skip_themselves_or_cannot_be_read_are_told(told: list[Message]) -> None:
    found = outcomes(told)
    assert (found["test_absent.py"].outcome, found["test_absent.py"].text) == (Outcome.SKIPPED, "not here")
    assert found["test_broken.py"].outcome is Outcome.FAILED
    assert "nothing_of_this_name" in found["test_broken.py"].text
