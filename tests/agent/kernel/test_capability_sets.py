"""agent/kernel/capability_sets.py: what is given away is gone. Each case in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.kernel import capability_sets
from agent.kernel.capability_sets import read_set

ROOT = Path(capability_sets.__file__).parents[2]
NET_BIND, NET_ADMIN, SYS_ADMIN, BPF = 10, 12, 21, 39
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
HEAD = """
import json, os, subprocess, threading
from agent.kernel.capability_sets import call_with_only, forbid_new_privileges, keep_only, read_set
names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
def sets():
    return {name: [bit for bit in range(64) if read_set(name) >> bit & 1] for name in names}
"""

pytestmark = pytest.mark.kernel  # which is what gives them away: other ones do so too

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give away")


def result(program: str, *prefix: str) -> Any:  # noqa: ANN401 - JSON
    command = [*prefix, sys.executable, "-c", HEAD + program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_root
def test_what_is_given_away_is_gone_from_every_set() -> None:
    kept = [NET_ADMIN, BPF]
    expected = {"CapInh": [], "CapPrm": kept, "CapEff": kept, "CapBnd": kept, "CapAmb": []}
    assert result(f"keep_only({kept}); print(json.dumps(sets()))") == expected


@needs_root
def test_it_does_not_come_back() -> None:
    program = f"""
keep_only([{NET_ADMIN}])
keep_only([{NET_ADMIN}, {SYS_ADMIN}])
program = "from agent.kernel.capability_sets import read_set; print(read_set('CapEff'))"
child = subprocess.run([{sys.executable!r}, "-c", program], capture_output=True, text=True, check=True)
print(json.dumps([sets()["CapEff"], int(child.stdout)]))
"""
    assert result(program) == [[NET_ADMIN], 1 << NET_ADMIN]


@needs_root
def test_inheritable_and_ambient_ones_go_too() -> None:
    prefix = ("setpriv", "--inh-caps=+net_admin,+net_bind_service", "--ambient-caps=+net_bind_service")
    found = result(f"before = sets(); keep_only([{NET_ADMIN}]); print(json.dumps([before, sets()]))", *prefix)
    assert found[0]["CapInh"] == [NET_BIND, NET_ADMIN]
    assert found[0]["CapAmb"] == [NET_BIND]
    assert (found[1]["CapInh"], found[1]["CapAmb"], found[1]["CapEff"]) == ([], [], [NET_ADMIN])


@needs_root
def test_what_was_not_there_is_not_taken() -> None:
    prefix = ("setpriv", "--bounding-set=-all,+net_admin,+setpcap")
    found = result(f"keep_only([{NET_ADMIN}, {SYS_ADMIN}]); print(json.dumps(sets()))", *prefix)
    assert (found["CapEff"], found["CapPrm"], found["CapBnd"]) == ([NET_ADMIN], [NET_ADMIN], [NET_ADMIN])


@needs_root
def test_without_setpcap_the_bounding_set_stays() -> None:
    prefix = ("setpriv", "--bounding-set=-all,+net_admin,+sys_admin")
    found = result(f"keep_only([{NET_ADMIN}]); print(json.dumps(sets()))", *prefix)
    assert (found["CapEff"], found["CapPrm"], found["CapBnd"]) == ([NET_ADMIN], [NET_ADMIN], [NET_ADMIN, SYS_ADMIN])


@needs_root
def test_who_has_nothing_gives_nothing_away() -> None:
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    assert result(f"keep_only([{NET_ADMIN}]); print(json.dumps(sets()))", *prefix) == {name: [] for name in SETS}


@needs_root
def test_a_thread_gives_away_for_itself_and_for_those_it_starts() -> None:
    program = f"""
found = []
def start():
    thread = threading.Thread(target=lambda: found.append(sets()["CapEff"]))
    thread.start()
    thread.join()
    return sets()["CapEff"]
own = call_with_only([{NET_ADMIN}], start)
print(json.dumps([own, found, len(sets()["CapEff"]) > 30]))
"""
    assert result(program) == [[NET_ADMIN], [[NET_ADMIN]], True]


def test_what_is_raised_there_is_raised_here() -> None:
    def fail() -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        capability_sets.call_with_only((), fail)


def test_programs_get_nothing_new() -> None:
    line = 'next(line for line in open("/proc/self/status") if line.startswith("NoNewPrivs"))'
    assert result(f"forbid_new_privileges(); print(json.dumps({line}.split()))") == ["NoNewPrivs:", "1"]


def test_sets_are_those_of_the_kernel() -> None:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in SETS:
            assert read_set(name) == int(value, 16)
