"""agent/commands/doctor.py: what is printed about this machine, and about worse ones."""

import argparse
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from agent.commands import doctor
from agent.commands.doctor import Finding, render
from agent.kernel.hooks import HOOKS, SYSTEM_CALL_HOOKS
from agent.kernel.loader import LoaderError
from agent.kernel.plan import KPROBE_PMU, KernelOffer, make_plan
from agent.kernel.source import KernelSource
from agent.tls.examination import Doubtful
from tests.agent.tls.building import tool
from tests.agent.tls.silence import needs_fuse, running, silent_files

OFFER = KernelOffer(
    "no fentry",
    "no kprobes",
    "",
    "mounted",
    frozenset(item.to for hook in HOOKS for source in hook.sources for item in source.attachments if ":" in item.to),
)
EXIT_MESSAGES = next(key for key in make_plan(OFFER).attachments if key[1].to == "syscalls:sys_exit_recvmmsg")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load kernel programs")


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    doctor.configure(parser)
    return parser.parse_args(words)


@needs_root
@pytest.mark.kernel
def test_this_machine_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(parse()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "The agent can run here."
    for hook in SYSTEM_CALL_HOOKS:
        assert any(line.split()[:2] == [hook.name, "yes"] for line in lines), hook.name
    assert any(re.match(r"  programs           yes  \d+ loaded", line) for line in lines)


@needs_root
@pytest.mark.kernel
def test_this_machine_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(parse("--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"] is True
    assert [hook["name"] for hook in report["hooks"]] == [hook.name for hook in HOOKS]
    lost = [text for hook in report["hooks"] for text in hook["lost"]]
    assert report["lost"] == list(dict.fromkeys(lost))
    assert {finding["name"] for finding in report["findings"]} >= {"kernel", "BTF", "privileges", "tracefs", "BCC"}
    read = next(hook for hook in report["hooks"] if hook["name"] == "read")
    assert read["source"] in ("tracepoint", "fentry")
    assert read["attachments"][0]["handler"] == "enter_read"


@needs_root
@pytest.mark.skipif(KPROBE_PMU.exists(), reason="this kernel has kprobes")
def test_a_mode_that_this_kernel_lacks_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(parse("--attach", "kprobe")) == 1
    output = capsys.readouterr().out
    assert "this kernel has no kprobes" in output
    assert output.endswith("The agent cannot run here: see the lines marked NO.\n")
    assert max(map(len, output.splitlines())) <= 100


@needs_root
@pytest.mark.kernel
def test_hooks_that_the_configuration_declares_unavailable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("kernel: {unavailable_hooks: [dup3]}\n")
    assert doctor.run(parse("--config", str(file))) == 0
    output = capsys.readouterr().out
    assert "  dup3               no   no source" in output
    assert "declared unavailable by the configuration (dup3)" in output
    assert "  - kernelLogs.close of sockets that dup3 replaces" in output


def test_a_configuration_that_cannot_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("kernel: {unavailable_hooks: [dup4]}\n")
    assert doctor.run(parse("--config", str(file))) == 1
    assert "did you mean 'dup" in capsys.readouterr().err


def test_programs_that_do_not_load_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> KernelSource:
        raise LoaderError("no Python with BCC found; apt-get install python3-bpfcc\n" + "a very long line " * 20)

    monkeypatch.setattr(KernelSource, "open", refuse)
    assert doctor.run(parse()) == 1
    output = capsys.readouterr().out
    assert "  programs           NO   no Python with BCC found" in output
    assert max(map(len, output.splitlines())) <= 100


def test_what_is_missing_is_told_with_what_is_lost() -> None:
    offer = replace(OFFER, tracepoints=OFFER.tracepoints - {"syscalls:sys_exit_dup2"})
    log = "\n".join(f"line {number} of the verifier" for number in range(50))
    plan = make_plan(offer, hooks=SYSTEM_CALL_HOOKS).without({EXIT_MESSAGES: log})
    text = "\n".join(render([Finding("kernel", good=True, text="any")], plan, can_run=True))
    assert f"Hooks ({len(SYSTEM_CALL_HOOKS) - 2} of {len(SYSTEM_CALL_HOOKS)} have a source)" in text
    assert "  dup2               no   no source" in text
    assert "this kernel has no syscalls:sys_exit_dup2 (dup2)" in text
    assert "  - kernelLogs.close of sockets that dup2 replaces" in text
    assert "line 0 of the verifier" in text
    assert "line 49 of the verifier (recvmmsg)" in text
    assert "line 20 of the verifier" not in text


def test_advice_follows_what_is_wrong() -> None:
    findings = [Finding("privileges", good=False, text="user id 1000", advice="run as root")]
    lines = list(render(findings, make_plan(OFFER), can_run=False))
    assert lines[1:3] == ["  privileges         NO   user id 1000", "                          -> run as root"]


@needs_fuse
def test_a_program_on_a_file_system_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NAMES_SHOWN", 1_000)  # other tests may have some, too
    plan = make_plan(OFFER)
    with silent_files(tmp_path, Path(tool("cat"))) as files, running(files.folder / "cat"), files.silence():
        findings = list(doctor.examine(plan))
    (found,) = (finding for finding in findings if finding.name == "file systems")
    assert not found.good
    assert not found.required
    line = f"{files.folder} (fuse.silent, silent): 1 process"
    assert line in found.text.splitlines()
    (told,) = (
        one for one in doctor.describe(findings, plan, can_run=True)["findings"] if one["name"] == "file systems"
    )
    assert told == {
        "name": "file systems",
        "good": False,
        "text": found.text,
        "required": False,
        "advice": found.advice,
    }
    shown = "\n".join(render([found], plan, can_run=True))
    assert "  file systems       no   programs are run from file systems that may not answer:" in shown
    assert "another process" in shown


def test_no_more_file_systems_are_named_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Doubtful(f"/net/{number} (nfs4, server:/{number})", 2000 - number) for number in range(7)]
    monkeypatch.setattr(doctor, "examine_file_systems", lambda: many)
    assert doctor._examine_file_systems().text.splitlines()[1:] == [
        *(f"/net/{number} (nfs4, server:/{number}): {2000 - number:,} processes" for number in range(4)),
        "and 3 more",
    ]
    monkeypatch.setattr(doctor, "examine_file_systems", lambda: many[:4])
    assert "more" not in doctor._examine_file_systems().text
