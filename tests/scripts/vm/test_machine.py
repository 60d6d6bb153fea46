"""How long a machine may be silent."""

from agent.kernel import loader_options
from scripts.vm import inside, machine


def test_a_machine_may_be_silent_for_longer_than_the_agent_may_compile() -> None:
    """So that what failed is what is told, and not that nothing was."""
    assert loader_options.SECONDS < machine.SILENCE_SECONDS < inside.HOPELESS_SECONDS < machine.LIMIT_SECONDS
