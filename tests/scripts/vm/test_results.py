"""What is printed of what the machines told, and what counts as failed."""

from scripts.vm.messages import Message, Outcome, Step
from scripts.vm.results import Results


def ended(name: str, outcome: Outcome, text: str = "", mode: str = "kprobe") -> Message:
    return Message(Step.END, mode, name, outcome, 1.25, text)


def test_a_line_for_each_end() -> None:
    results = Results("6.1")
    assert results.add(Message(Step.BEGIN, "kprobe", "tests/a.py::test_b")) is None
    line = results.add(ended("tests/a.py::test_b", Outcome.PASSED))
    assert line == "6.1   kprobe     passed     1.2 s  tests/a.py::test_b"
    assert not results.failed
    assert not results.failures()


def test_the_text_of_a_failed_test_comes_at_the_end() -> None:
    results = Results("6.12")
    line = results.add(ended("tests/a.py::test_b", Outcome.FAILED, "assert 1 == 2"))
    assert line is not None
    assert "FAILED" in line
    assert "1 == 2" not in line
    assert results.failures() == ["", "---- Linux 6.12, kprobe: tests/a.py::test_b", "assert 1 == 2"]


def test_a_skip_says_why() -> None:
    results = Results("6.1")
    line = results.add(ended("tests/agent/kernel/test_c.py::test_d", Outcome.SKIPPED, "no multipath TCP"))
    assert line is not None
    assert line.endswith("tests/agent/kernel/test_c.py::test_d: no multipath TCP")
    assert not results.failed


def test_a_skip_of_what_was_written_for_the_machines_is_a_failure() -> None:
    results = Results("6.1")
    results.add(ended("tests/vm/test_c.py", Outcome.SKIPPED, "no nf_conntrack"))
    (failed,) = results.failed
    assert "no nf_conntrack" in failed.text


def test_a_skip_for_want_of_probes_is_none_of_a_machine_that_has_tracepoints_alone() -> None:
    results = Results("6.1")
    results.add(ended("tests/vm/test_c.py::test_d", Outcome.SKIPPED, "needs kprobes or fentry", mode="tracepoint"))
    assert not results.failed
    results.add(ended("tests/vm/test_c.py::test_d", Outcome.SKIPPED, "needs kprobes or fentry", mode="kprobe"))
    results.add(ended("tests/vm/test_e.py", Outcome.SKIPPED, "no nf_conntrack", mode="tracepoint"))
    assert [message.mode for message in results.failed] == ["kprobe", "tracepoint"]


def test_what_runs_is_known_until_it_ends() -> None:
    results = Results("6.1")
    results.add(Message(Step.BEGIN, "fentry", "tests/a.py::test_b"))
    assert results.current == "fentry tests/a.py::test_b"
    results.add(ended("tests/a.py::test_b", Outcome.PASSED))
    assert results.current == ""
    assert not results.is_done
    results.add(Message(Step.DONE))
    assert results.is_done


def test_the_summary_counts_by_mode() -> None:
    results = Results("6.1")
    for number, outcome in enumerate((Outcome.PASSED, Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)):
        results.add(ended(f"tests/a.py::test_{number}", outcome))
    results.add(ended("gate", Outcome.PASSED, mode="fentry"))
    assert results.summary() == [
        "6.1   kprobe     2 passed, 1 failed, 1 skipped in 0.1 min",
        "6.1   fentry     1 passed, 0 failed, 0 skipped in 0.0 min",
    ]


def test_what_fails_once_is_not_failed_and_is_told() -> None:
    results = Results("6.1")
    for name, second in (("tests/a.py::test_b", Outcome.PASSED), ("tests/a.py::test_c", Outcome.FAILED)):
        results.add(ended(name, Outcome.FAILED, "first"))
        results.add(ended(name, second, "second"))
    assert [(message.name, message.text) for message in results.failed] == [("tests/a.py::test_c", "second")]
    assert results.summary() == ["6.1   kprobe     1 passed, 1 failed, 0 skipped, 2 ran twice in 0.1 min"]
