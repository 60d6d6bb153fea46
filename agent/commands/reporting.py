"""Reports of processes to the backend, while the agent runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.commands.credentials import Credentials
from agent.config import Configuration
from agent.discovery.host import Host
from agent.discovery.node_addresses import NodeAddresses
from agent.export.heads import address_text
from agent.kernel.capability_sets import call_with_only
from agent.pipeline import Pipeline
from agent.reporting.beats import Beats, Present, present
from agent.reporting.hosts import HostEntities
from agent.reporting.reporter import Reporter


@contextmanager
def open_reporter(configuration: Configuration, run: str, credentials: Credentials) -> Iterator[Reporter | None]:
    """What tells the backend which processes there are, meanwhile; None when the configuration has that off.

    Args:
        configuration: How often, and where to.
        run: An id of this run of the agent.
        credentials: What is shown to the backend.

    Raises:
        ConfigurationError: a certificate cannot be read, or a value cannot be used.
    """
    settings = configuration.process_discovery
    if not (settings.kubernetes.active or configuration.discovery.reported):
        yield None
        return
    beats = Beats(run, settings.properties_report_period)
    reporter = Reporter(credentials.open_client(), beats, settings.heartbeat_period)
    try:
        call_with_only((), reporter.start)  # it reads what the network sends
        yield reporter
    finally:
        reporter.stop()


def reported(configuration: Configuration, pipeline: Pipeline, host: Host) -> Callable[[], list[Present]]:
    """What finds the processes to report: of pods, and of the host where the configuration wants that."""
    return lambda: present(pipeline.processes.told(), host_entities(configuration, host))


def host_entities(configuration: Configuration, host: Host) -> HostEntities | None:
    """What names processes outside of pods in reports; None when the configuration wants none of them."""
    if not configuration.discovery.reported:
        return None
    addresses = NodeAddresses(1).listed(host.addresses())
    return HostEntities(configuration.discovery.layer, address_text(addresses[0]) if addresses else "")
