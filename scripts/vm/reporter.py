"""A pytest plugin that tells how each test went, as messages. Loaded inside the machine with `-p`."""

import os
from pathlib import Path
from typing import TextIO

import pytest

from scripts.vm.messages import Message, Outcome, Step, write

DESCRIPTOR = "PYROVER_VM_DESCRIPTOR"
"""Names the environment variable with the descriptor to write to: pytest catches the usual ones."""
FAILED = "PYROVER_VM_FAILED"
"""Names the environment variable with the file that gets the ids of tests that failed."""
_ENOUGH = 20_000  # characters of a failure


class Reporter:
    """Joins the three phases of each test into one message."""

    def __init__(self, mode: str, output: TextIO) -> None:
        """Of tests that run in `mode`."""
        self._mode = mode
        self._output = output
        self._seconds = 0.0
        self._failure = ""
        self._skip: str | None = None
        self.failed: list[str] = []

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._seconds, self._failure, self._skip = 0.0, "", None
        self._tell(Message(Step.BEGIN, self._mode, nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of setup, call and teardown ended."""
        self._seconds += report.duration
        if report.failed:
            self._failure += f"{report.when}:\n{report.longreprtext}\n"
            self._failure += "".join(f"{name}:\n{text}\n" for name, text in report.sections)
        elif report.skipped:
            self._skip = reason_of(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """All phases ended."""
        if self._failure:
            self.failed.append(nodeid)
            self._end(nodeid, Outcome.FAILED, self._failure[-_ENOUGH:])
        elif self._skip is not None:
            self._end(nodeid, Outcome.SKIPPED, self._skip)
        else:
            self._end(nodeid, Outcome.PASSED)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file could not be read, or skips itself."""
        if report.failed:
            self._end(report.nodeid, Outcome.FAILED, report.longreprtext[-_ENOUGH:])
        elif report.skipped:
            self._end(report.nodeid, Outcome.SKIPPED, reason_of(report))

    def _end(self, name: str, outcome: Outcome, text: str = "") -> None:
        self._tell(Message(Step.END, self._mode, name, outcome, self._seconds, text))

    def _tell(self, message: Message) -> None:
        self._output.write(write(message))
        self._output.flush()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave word of what failed."""
    reporter = session.config.pluginmanager.get_plugin("vm-reporter")
    if isinstance(reporter, Reporter) and FAILED in os.environ:
        Path(os.environ[FAILED]).write_text("\n".join(reporter.failed))


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_configure(config: pytest.Config) -> None:
    """Tell the one who booted this machine."""
    output = os.fdopen(int(os.environ[DESCRIPTOR]), "w")
    config.pluginmanager.register(Reporter(os.environ["PYROVER_ATTACH"], output), "vm-reporter")
