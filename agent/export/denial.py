"""How long logs are kept for a backend that does not take who the agent says it is."""

import logging

from agent.export.transport import Attempt, Outcome

_logger = logging.getLogger(__name__)


class Denial:
    """Follows attempts, and says whether a batch that was denied is to be sent again.

    A denial says nothing of the batch: a token that is replaced in two places is for a while another one here than
    there, and an operator may have to write it yet. So a batch is given up only when it has waited for `seconds`, and
    denials have lasted for as long: neither one that waited for an outage before, nor one that is new. Not safe for
    several threads.

    Args:
        seconds: For which a batch is kept at least.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def note(self, attempt: Attempt, now: float) -> None:
        """An attempt has ended at this monotonic time, in seconds. What nobody answered changes nothing."""
        if attempt.outcome is Outcome.DENIED:
            if self._since is None:
                self._since = now
                _logger.warning(
                    "the backend does not take this agent's token or certificate (%s): logs are kept for %g s at least;"
                    " set core.backend.authentication_file or client_pem_path to what the backend takes",
                    attempt.detail,
                    self._seconds,
                )
        elif attempt.outcome is not Outcome.RETRY and self._since is not None:
            _logger.warning(
                "the backend takes this agent's token and certificate again, after %.0f s", now - self._since
            )
            self._since = None

    def keeps(self, waiting_since: float, now: float) -> bool:
        """Whether a batch that waits since then is to be sent again."""
        return self._since is None or now - max(self._since, waiting_since) < self._seconds
