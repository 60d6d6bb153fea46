"""What an agent gives away of what its user may do, before it starts its threads and once it is attached."""

import logging

from agent.config import Configuration
from agent.kernel import privileges
from agent.kernel.capability_sets import forbid_new_privileges, keep_only

_logger = logging.getLogger(__name__)


def limit_to_loading() -> None:
    """Keep what is needed to load programs. Called before there are other threads, which would keep what they have."""
    try:
        forbid_new_privileges()
        keep_only(privileges.of_the_loader())
    except OSError as error:
        _logger.warning("the agent keeps all its privileges: %s", error)


def limit_to_running(configuration: Configuration) -> None:
    """Keep what is needed from now on, as everything is attached."""
    _limit(privileges.of_the_resident(tls=configuration.tls.enabled, conntrack=configuration.conntrack.enabled))


def limit_to_reporting() -> None:
    """Keep what is needed to look for processes; nothing was attached."""
    _limit(privileges.of_the_reporter())


def _limit(needed: frozenset[int]) -> None:
    try:
        keep_only(needed)
    except OSError as error:
        _logger.warning("the agent keeps the privileges that it loaded programs with: %s", error)
