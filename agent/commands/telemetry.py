"""What tells of the agent while it runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from agent.config import Configuration
from agent.kernel import bpf_programs
from agent.kernel.capability_sets import call_with_only
from agent.kernel.privileges import BPF
from agent.telemetry.http_server import StatusServer
from agent.telemetry.messages import Messages
from agent.telemetry.status import AgentStatus


@contextmanager
def open_status(configuration: Configuration, messages: Messages) -> Iterator[AgentStatus]:
    """Answers to questions about the agent meanwhile, where the configuration says.

    Raises:
        ValueError: the address cannot be had; the message says why and what to do.
    """
    status = AgentStatus(configuration.kernel.attach, messages.repeats)
    address = configuration.telemetry.address
    if not address:
        yield status
        return
    try:
        server = StatusServer(address, status.answers)
    except (OSError, OverflowError) as error:
        # Python adds the address to some of the kernel's words.
        why = str(error.strerror if isinstance(error, OSError) else error).partition(" (")[0]
        raise ValueError(f"telemetry.address: {address} cannot be listened on: {why}; give another port") from error
    status.count_answers_of(server)
    call_with_only([BPF], server.start)  # it reads what anybody sends, and counters of the kernel
    try:
        messages.say(f"figures at http://{server.address}/metrics")
        yield status
    finally:
        server.close()


@contextmanager
def measured_programs(configuration: Configuration) -> Iterator[None]:
    """Let the kernel measure programs meanwhile, if the configuration says so.

    Raises:
        ValueError: the kernel does not; the message says why and what to do.
    """
    if not configuration.telemetry.program_statistics:
        yield
        return
    try:
        descriptor = bpf_programs.enable_statistics()
    except OSError as error:
        raise ValueError(
            f"telemetry.program_statistics: the kernel does not measure programs: {error.strerror};"
            " it takes Linux 5.8 and CAP_SYS_ADMIN, or leave it off"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
