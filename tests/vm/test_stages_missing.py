"""Hooks taken away one by one: the agent starts, says what is lost, and the rest stays right."""

import os

import pytest

from agent.events.layout import EventKind
from agent.export.metrics import READ_METRICS, WRITE_METRICS
from agent.kernel.plan import AttachMode
from agent.kernel.source import KernelSource
from agent.kernel.stage_fields import STAGE_FIELDS
from agent.kernel.stage_hooks import STAGE_HOOKS
from tests.vm.hosts import Exchange, Host
from tests.vm.watching import RECEIVED, SENT, Story

pytestmark = pytest.mark.kernel

MODE = AttachMode(os.environ.get("PYROVER_ATTACH", "auto"))
MINIMUM = 3

NEED = {
    # Beyond the two points of a field: what must be known of its package before.
    "arrive": ("read.l3Metrics", "read.l2Metrics.totalPackageToQueueDuration", "read.l2Metrics.ifindex"),
    "network_transmit": ("write.l3Metrics", "write.l2Metrics.totalDuration"),
    "transport_receive": ("read.l2Metrics", "read.l3Metrics", "read.l4Metrics"),
    "hand_over": ("read.l2Metrics", "read.l3Metrics", "read.l4Metrics"),
    "device": ("write.l2Metrics",),
    # With tracepoints alone, the driver's end is the end of L2.
    "driver": ("write.l2Metrics.totalDuration",),
    # Of packages in lists it shows when they were routed.
    "deliver": (
        "read.l3Metrics.totalLocalDuration",
        "read.l3Metrics.totalRecvDuration",
        "read.l3Metrics.totalDuration",
    ),
    # Nothing is kept of a socket whose end nobody tells.
    "tcp_destroy": ("write", "read"),
}


ALONE = ("send", "local_out", "neighbour", "netfilter", "device", "finish_deliver")
"""Hooks whose fields nothing else can feed."""


def exchanged(source: KernelSource, hosts: tuple[Host, Host]) -> dict[str, int]:
    """A short exchange; every field of the wire by path, summed over its logs."""
    client, server = hosts
    story = Story(source)
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        for exchange in (sender, receiver):
            source.choose(exchange.process)
        port = receiver.do("listen", host=server.address(4))["port"]
        client.run("ip", "neigh", "flush", "all")
        opened = sender.do("connect", host=server.address(4), port=port)["inode"]
        accepted = receiver.do("accept")["inode"]
        for _ in range(MINIMUM):
            sender.do("write", size=1000)
            receiver.do("read", size=1000)
        sender.do("shut")
        receiver.do("read_to_end")
        receiver.do("close")
        sender.do("read_to_end")
        sender.do("close")
    story.until(lambda: all(len(story.of(inode, EventKind.CLOSE)) for inode in (opened, accepted)), "a close")
    story.collect()
    assert len(story.of(opened, EventKind.WRITE)) == len(story.of(accepted, EventKind.READ)) == MINIMUM
    sent, received = story.sums(opened, *SENT), story.sums(accepted, *RECEIVED)
    return {
        **{f"write.{path}": sent[name] for path, name in WRITE_METRICS.items()},
        **{f"read.{path}": received[name] for path, name in READ_METRICS.items()},
    }


@pytest.fixture(scope="session")
def complete(stages_source: KernelSource) -> dict[str, int]:
    """What every field is with every hook."""
    from tests.vm.hosts import two_hosts  # noqa: PLC0415 # of another scope

    with two_hosts() as hosts:
        rules(hosts)
        return exchanged(stages_source, hosts)


def rules(hosts: tuple[Host, Host]) -> None:
    for host in hosts:
        host.rules(
            "table inet present {"
            + "".join(
                f"\n  chain {hook} {{ type filter hook {hook} priority 0; counter\n  }}"
                for hook in ("prerouting", "input", "output", "postrouting")
            )
            + "\n}"
        )


def fields_of(hook: str) -> set[str]:
    """Paths that this hook feeds."""
    named = {field.path for field in STAGE_FIELDS if hook in {field.begin.hook, field.end.hook if field.end else ""}}
    below = NEED.get(hook, ())
    return named | {field.path for field in STAGE_FIELDS if field.path.startswith(below)} if below else named


@pytest.mark.parametrize("hook", [hook.name for hook in STAGE_HOOKS])
def test_without_one_hook(hook: str, complete: dict[str, int], hosts: tuple[Host, Host]) -> None:
    rules(hosts)
    declared = next(declared for declared in STAGE_HOOKS if declared.name == hook)
    with KernelSource.open(only_processes=(), ring_bytes=4 << 20, attach=MODE, unavailable=(hook,)) as source:
        assert not source.coverage.has(hook)
        assert set(declared.lost) <= set(source.coverage.lost)
        found = exchanged(source, hosts)
        assert sum(source.losses().values()) == 0
    lost = fields_of(hook)
    for field in STAGE_FIELDS:
        if field.path == "write.l4Metrics.lossPackageMetrics":
            continue
        was, name = complete[field.path], field.path
        if field.path in lost:
            continue
        assert (found[name] > 0) == (was > 0), f"{name} without {hook}: {found[name]}, with it {was}"
    if hook in ALONE:
        assert {path: found[path] for path in lost} == dict.fromkeys(lost, 0)
