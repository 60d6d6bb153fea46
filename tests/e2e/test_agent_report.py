"""What an agent says of itself, from the real kernel to the API of a real backend."""

import platform
from pathlib import Path

import pytest

from agent.kernel.hook import Stage
from agent.kernel.hooks import HOOKS
from agent.kernel.plan import UNAVAILABLE
from tests.e2e.programs import ATTACH, Backend, agent, finish

TAKEN_AWAY = next(hook for hook in HOOKS if hook.stage is Stage.TRANSMIT)
CONFIGURATION = f"""
node: {{name: e2e-report}}
core: {{cluster_name: e2e}}
kernel: {{unavailable_hooks: [{TAKEN_AWAY.name}]}}
"""


@pytest.mark.kernel
def test_the_backend_knows_what_an_agent_sees_and_lost(store: Backend, tmp_path: Path) -> None:
    configuration = tmp_path / "agent.yaml"
    configuration.write_text(CONFIGURATION)
    with agent("--backend", store.grpc, "--config", configuration, "--flush-period", "200ms") as watching:
        store.until("an agent's report", lambda: any(found["report"] for found in store.get("/api/agents")["agents"]))
        (found,) = store.get("/api/agents")["agents"]
        finish(watching)
    assert (found["cluster"], found["node"], found["is_silent"]) == ("e2e", "e2e-report", False)
    report = found["report"]
    assert report["kernel"] == f"{platform.release()} {platform.machine()}"
    assert report["attach_mode"] == ATTACH
    assert report["started"] <= report["told"] <= found["last_heard"]
    hooks = report["hooks"]
    missing = {hook["name"]: hook for hook in hooks["missing"]}
    assert missing[TAKEN_AWAY.name] == {
        "name": TAKEN_AWAY.name,
        "stage": "transmit",
        "reason": UNAVAILABLE,
        "lost": list(TAKEN_AWAY.lost),
    }
    assert (hooks["declared"], hooks["attached"]) == (len(HOOKS), len(HOOKS) - len(missing))
    assert {hook.name for hook in HOOKS if hook.required}.isdisjoint(missing)
    assert report["logs"]["captured"] >= report["logs"]["delivered"] >= 0
    assert 5 << 20 < report["resident_bytes"] < 1 << 30
