"""Whether connection tracking can be read here, for `doctor`."""

from dataclasses import dataclass
from pathlib import Path

from agent.conntrack.ctnetlink import CtnetlinkError
from agent.conntrack.watcher import dump, open_sockets


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found out."""

    good: bool
    text: str
    advice: str = ""


def examine_conntrack(proc: str = "/proc") -> Examination:
    """Try what the watcher does, in the agent's own network namespace."""
    settings = Path(proc, "sys", "net", "netfilter")
    if not (settings / "nf_conntrack_count").exists():
        return Examination(good=True, text="not in use on this machine; watched as soon as it is")
    try:
        events, requests = open_sockets()
        with events, requests:
            translated = sum(map(len, dump(requests)))
        tells = (settings / "nf_conntrack_events").read_text().strip() != "0"
    except (OSError, CtnetlinkError) as error:
        return Examination(
            good=False,
            text=f"cannot be read: {error}; far ends behind a service address will be shown as that address",
            advice="give the agent CAP_NET_ADMIN, and the kernel its module nf_conntrack_netlink",
        )
    if not tells:
        return Examination(
            good=False,
            text="tells nothing of new connections; far ends behind a service address will be shown as that address",
            advice="sysctl net.netfilter.nf_conntrack_events=1",
        )
    return Examination(good=True, text=f"readable, {translated} translated connections at the moment")
