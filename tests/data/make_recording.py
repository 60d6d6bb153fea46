"""Makes agent_run.events and agent_run.json: a recording of recording_workload.py, and what that says it did.

    sudo .venv/bin/python -m tests.data.make_recording

Only what concerns the workload's two processes is kept; the host's name and interfaces, and where programs are, are
replaced.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from agent.discovery import recorded
from agent.discovery.host import Interface, ProcessFacts, SocketScan
from agent.events.recording import MomentKind, RecordingReader, RecordingWriter

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKLOAD = "tests/data/recording_workload.py"


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, WORKLOAD, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> object:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def record(recording: Path) -> dict[int, tuple[str, object]]:
    """Record a run; what each process was and says it did, by pid."""
    server = _start("server")
    ports = [str(port) for port in _line(server)]  # type: ignore[attr-defined] # a list
    client = _start("client", *ports)
    command = [sys.executable, "-m", "agent.cli", "record", str(recording), "--for", "1m", "--flush-period", "200ms"]
    agent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert agent.stderr is not None
    print(agent.stderr.readline().strip())
    _let_go(server)
    _let_go(client)
    totals: dict[int, tuple[str, object]] = {}
    for name, process in (("client", client), ("server", server)):  # the server ends after the client's exit
        totals[process.pid] = name, _line(process)
        time.sleep(1)  # the agent reads about a process when it takes its first events
        _let_go(process)
        process.wait()
    agent.terminate()
    print(agent.communicate()[1].strip())
    if agent.returncode:
        raise SystemExit(agent.returncode)
    return totals


def _facts(facts: ProcessFacts | None) -> ProcessFacts | None:
    if facts is None:
        return None
    program = f"/usr/bin/{PurePosixPath(facts.executable).name}"
    arguments = [argument for argument in facts.command_line[1:] if not argument.startswith("/")]
    return msgspec.structs.replace(facts, executable=program, command_line=(program, *arguments), cgroups=())


def _keep(answer: recorded.Answer, pids: set[int]) -> recorded.Answer | None:
    match answer:
        case recorded.ProcessAnswer():
            return recorded.ProcessAnswer(answer.pid, _facts(answer.facts)) if answer.pid in pids else None
        case recorded.SocketInodeAnswer() | recorded.SocketDescriptorsAnswer():
            return answer if answer.pid in pids else None
        case recorded.SocketsAnswer():
            kept = tuple(socket for socket in answer.scan.sockets if {pid for pid, _ in socket.owners} & pids)
            return recorded.SocketsAnswer(SocketScan(kept, dict.fromkeys(answer.scan.own_addresses, ())))
        case recorded.InterfacesAnswer():
            return recorded.InterfacesAnswer((Interface(1, 65536, "lo"),))
        case recorded.BootTimeAnswer() | recorded.NetworkNamespaceAnswer() | recorded.DropReasonsAnswer():
            return answer
        case recorded.AddressesAnswer() | recorded.InterfacesOfAnswer() | recorded.TranslationsAnswer():
            return None


def keep_only(source: Path, target: Path, pids: set[int]) -> None:
    """Copy a recording without what does not concern some processes."""
    with source.open("rb") as file, target.open("wb") as output:
        reader = RecordingReader(file)
        writer = RecordingWriter(output, msgspec.structs.replace(reader.header, node="recorded-node", agent_process=1))
        for moment in reader.moments():
            answers = [kept for answer in moment.answers if (kept := _keep(answer, pids)) is not None]
            if moment.kind is MomentKind.BEGIN:
                writer.begin(moment.now_ns, answers)
            elif moment.kind is MomentKind.END:
                writer.end(moment.now_ns, answers)
            else:
                events = moment.events[np.isin(moment.events["process"], list(pids))]
                fragments = [fragment for fragment in moment.fragments if fragment.process in pids]
                if len(events) or fragments or answers:
                    writer.step(moment.now_ns, events, answers, moment.losses, fragments)


def main() -> None:
    """Record, keep what concerns the workload, write what it did beside it."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.events"
        totals = record(whole)
        keep_only(whole, HERE / "agent_run.events", set(totals))
    (HERE / "agent_run.json").write_text(json.dumps(dict(totals.values()), indent=2) + "\n")


if __name__ == "__main__":
    main()
