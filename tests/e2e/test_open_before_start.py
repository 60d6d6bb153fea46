"""Connections that were open before the agent started: found, used, closed, all counted."""

import subprocess
import sys
from pathlib import Path

import pytest

from backend.entities import ids
from tests.e2e.programs import Backend, agent, finish, program, read_line

EARLY = Path(__file__).with_name("early.py")


@pytest.mark.kernel
def test_what_was_open_is_known(store: Backend) -> None:
    with program([sys.executable, EARLY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as early:
        assert early.stdin is not None
        assert early.stdout is not None
        assert read_line(early.stdout.fileno(), "the early program") == "open\n"
        with agent("--backend", store.grpc) as watching:
            early.stdin.write(b"go\n")
            early.stdin.flush()
            assert early.wait(60) == 0
            finish(watching)
    service = ids.service_id("early")
    prefix = "kubernetes_service"
    counts = {"write_cpm": 3, "write_package_size": 41, "read_cpm": 3, "read_package_size": 41, "close_cpm": 4}
    names = [f"{prefix}_{name}" for name in (*counts, "connect_cpm", "accept_cpm")]
    # Neither connect nor accept was seen: absent, not zero.
    assert store.totals(names, service) == {f"{prefix}_{name}": count for name, count in counts.items()}
