"""docs/agent-metrics.md, made from the declarations: `python -m agent.telemetry.page`.

A test compares the file with what this makes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.telemetry.causes import CAUSES
from agent.telemetry.families import FAMILIES, Family
from agent.telemetry.health import STEP_SECONDS, STUCK_SECONDS
from agent.telemetry.http_server import CONNECTIONS, REQUEST_BYTES, SECONDS
from agent.telemetry.messages import DIFFERENT, KINDS, PERIOD
from agent.telemetry.status import FRESH_SECONDS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "agent-metrics.md"

_HEAD: Final = f"""\
# What the agent tells of itself

<!-- Made by `make agent-metrics`. Do not edit: change what it is made from and make it again. -->

With `telemetry.address` set, as `127.0.0.1:11801` or `:11801` for all addresses, the agent answers by HTTP:

| Path | Answer |
| --- | --- |
| `/metrics` | the figures below, as Prometheus reads them |
| `/healthz` | 200 while the agent is ready, else 503; the lines of the answer say what is and what is not |
| `/livez` | 200, or 503 when the agent has taken no events for {STUCK_SECONDS:.0f} seconds and is best started again |

<!-- not run: it asks an agent that runs; tests/agent/telemetry/test_status.py does -->
```sh
curl http://127.0.0.1:11801/healthz
```

It is ready when it is attached, has taken events within {STEP_SECONDS:.0f} seconds, and its last attempt to deliver did
not fail. Hooks without a source do not make it unready, as waiting would not help; the answer of `/healthz` names them.
The agent answers from its start on, also while programs are loaded. By default there is no such address. The DaemonSet
sets `:11801`, its probes ask `/healthz` and `/livez`, and a PodMonitor or the annotations of the pods lead Prometheus
there. There is no encryption and no password: the figures name causes, hooks and backends, and nothing of what was
captured.

## Figures

Counters begin at 0 when the agent starts. With a spool those of logs captured, delivered, withdrawn and lost go on from
what the agents before have left in it ([delivery.md](delivery.md#the-spool)). At any time

    pyrover_agent_logs_captured_total = pyrover_agent_logs_delivered_total + pyrover_agent_logs_withdrawn_total
        + sum(pyrover_agent_logs_lost_total) + pyrover_agent_queue_logs + pyrover_agent_pending_logs

but for logs that are on their way from one place to the next. Causes are those that the live line and the last line
name: [hooks.md](hooks.md) explains those of `pyrover_agent_events_lost_total` and of the part `kernel`,
[http.md](http.md) those of the part `exchanges`, [agent.md](agent.md) those of `pyrover_agent_logs_lost_total`. A part
has at most {CAUSES} causes; further ones count as `other`.

| Name | Kind | Labels | Meaning |
| --- | --- | --- | --- |
"""

_TAIL: Final = f"""
The kernel measures programs only when it is told to, as that takes two looks at the clock for each run:
`telemetry.program_statistics: true`, or `sysctl kernel.bpf_stats_enabled=1` for all programs of the machine. Without it
run time and runs stay at 0.

## Bounds

| What | Bound | When it is reached |
| --- | --- | --- |
| connections that ask | {CONNECTIONS} at a time | the oldest one goes, `too many` |
| time of a connection | {SECONDS:.0f} seconds | it goes, `too slow` |
| a question | {REQUEST_BYTES:,} bytes | it is answered with status 431 |
| figures | read {1 / FRESH_SECONDS:.0f} times a second at most | the last ones are told again |

It has a thread of its own, which reads from the parts of the agent and waits for none of them, and for nobody who asks.

## Messages

What the agent has to say goes to standard error, as text, or with `logger.format: json` as one object a line, with
`time` (UTC), `level`, `logger` and `message`, and `trace` where an error has one. A message that repeats itself is
written once in {PERIOD:.0f} seconds, and of one kind, where only names and numbers differ, {DIFFERENT} different ones.
The others are counted: in `pyrover_agent_messages_withheld_total`, and the next message of the kind says how many there
were before it (`withheld`). The last {KINDS} kinds are remembered. `--log-format` goes before the setting, and is what
errors in the settings are told in.
"""


def render() -> str:
    """The page."""
    return _HEAD + "".join(line + "\n" for line in _rows()) + _TAIL


def _rows() -> Iterator[str]:
    for family in FAMILIES:
        yield f"| `{family.name}` | {family.kind} | {_labels(family)} | {family.meaning} |"


def _labels(family: Family) -> str:
    return ", ".join(f"`{label}`" for label in family.labels)


if __name__ == "__main__":
    PAGE.write_text(render())
