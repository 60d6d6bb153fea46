"""Why logs did not reach a backend, and what to do about it."""

from collections.abc import Iterator, Mapping
from typing import Final

from agent.export.accounting import Loss
from agent.export.transport import Outcome

_NO_ROOM: Final = (Loss.SHUTDOWN, Loss.QUEUE_FULL, Loss.SPOOL_FULL)
"""What becomes of logs that no backend took in time, whatever kept it from that."""


def undelivered(lost: Mapping[str, int], waiting: int, failures: Mapping[Outcome, str], backend: str) -> Iterator[str]:
    """A line for each reason for which logs were not delivered; none where all were.

    Args:
        lost: Logs that were lost, by cause.
        waiting: Logs that are kept for the next start.
        failures: The last words of attempts that failed, by outcome, the latest one last (CountedTransport.failures).
        backend: Where logs were sent, as the user has named it.
    """
    reasons = []
    if lost.get(Loss.REFUSED):
        reasons.append(Outcome.REFUSED if Outcome.REFUSED in failures else Outcome.DOUBTFUL)
    if lost.get(Loss.DENIED):
        reasons.append(Outcome.DENIED)
    if waiting or any(lost.get(cause) for cause in _NO_ROOM):
        reasons.append([Outcome.RETRY, *failures][-1])
    for reason in dict.fromkeys(reasons):
        yield f"not delivered: {_explained(reason, failures.get(reason, 'too late for an attempt'), backend)}"


def _explained(reason: Outcome, words: str, backend: str) -> str:
    match reason:
        case Outcome.DENIED:
            return (
                f"the backend at {backend} does not take this agent's token or certificate ({words}): set"
                " core.backend.authentication_file or client_pem_path to what it takes"
            )
        case Outcome.REFUSED | Outcome.DOUBTFUL:
            return (
                f"the backend at {backend} refused them ({words}): see that this is its port for agents, 11800 by"
                " default; its log says more"
            )
        case _:
            return (
                f"no backend took them at {backend} in time ({words}): see that one runs there, or name another with"
                " --backend"
            )
