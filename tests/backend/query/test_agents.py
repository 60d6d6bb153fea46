"""backend/query/agents.py: the agents as the API gives them."""

import httpx
from starlette.applications import Starlette

from backend.agents.book import SILENT_AFTER, AgentBook
from backend.ingest.batch import Node
from backend.query.routes import routes
from backend.storage.memory import MemoryStorage
from tests.backend.agents.reports import serialised

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z


async def test_agents_with_coverage_losses_and_rates() -> None:
    now = NOON
    book = AgentBook(clock=lambda: now)
    book.hear(Node("node-1", "shop", 0, {}), serialised(int(now), 10))
    now += 30
    book.hear(Node("node-1", "shop", 0, {}), serialised(int(now), 25))
    now += SILENT_AFTER
    book.hear(Node("rover", "", 0, {}), None)
    book.hear(Node("rover", "", 0, {}), b"\x1a\x00" * 60_000)
    application = Starlette(routes=routes(MemoryStorage(), [], clock=lambda: now, agents=book))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
        response = await client.get("/api/agents")
        assert (await client.get("/api/agents", params={"start": "-1h"})).status_code == 400
    assert response.status_code == 200
    assert response.json() == {
        "silent_after_seconds": 120,
        "forgotten": 0,
        "lost": {"report_large": 1},
        "agents": [
            {
                "node": "rover",
                "cluster": "",
                "first_heard": "2027-01-15T08:02:30Z",
                "last_heard": "2027-01-15T08:02:30Z",
                "silence_seconds": 0,
                "is_silent": False,
                "report": None,
            },
            {
                "node": "node-1",
                "cluster": "shop",
                "first_heard": "2027-01-15T08:00:00Z",
                "last_heard": "2027-01-15T08:00:30Z",
                "silence_seconds": 120,
                "is_silent": True,
                "report": {
                    "told": "2027-01-15T08:00:30Z",
                    "started": "1970-01-01T00:16:40Z",
                    "version": "1.2.3",
                    "kernel": "6.1.0 x86_64",
                    "attach_mode": "auto",
                    "hooks": {
                        "declared": 57,
                        "attached": 56,
                        "missing": [
                            {
                                "name": "device_queue",
                                "stage": "transmit",
                                "reason": "this kernel has no net:net_dev_queue",
                                "lost": ["time to the queue"],
                            }
                        ],
                    },
                    "logs": {"captured": 100, "delivered": 90, "waiting": 6},
                    "losses": [
                        {"kind": "events", "part": "", "cause": "ring_full", "count": 25, "per_minute": 30.0},
                        {"kind": "logs", "part": "", "cause": "queue_full", "count": 4, "per_minute": 0.0},
                        {
                            "kind": "incomplete",
                            "part": "kernel",
                            "cause": "payload_cut",
                            "count": 5,
                            "per_minute": 0.0,
                        },
                    ],
                    "spool_bytes": 700,
                    "resident_bytes": 50 << 20,
                },
            },
        ],
    }


async def test_nobody_was_heard() -> None:
    transport = httpx.ASGITransport(Starlette(routes=routes(MemoryStorage(), [])))
    async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
        answer = (await client.get("/api/agents")).json()
    assert answer == {"silent_after_seconds": 120, "forgotten": 0, "lost": {}, "agents": []}
