"""Command-line arguments that several commands share."""

import argparse
from pathlib import Path

from agent import config_level
from agent.config import Configuration
from agent.config_durations import Duration
from agent.config_loading import load_configuration


def duration(text: str) -> Duration:
    """A duration for argparse."""
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `configuration` reads and every command has."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration in YAML; see docs/agent-configuration.md"
    )
    parser.add_argument(
        "--flush-period",
        type=duration,
        metavar="TIME",
        help="make and send logs this often, such as 500ms (default: 5s)",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Declare where logs go."""
    parser.add_argument(
        "--backend",
        metavar="HOST:PORT[,...]",
        help="where access logs go; of several the first one, and after a failure the next (default: localhost:11800)",
    )


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """Declare how events are captured."""
    parser.add_argument(
        "--attach",
        choices=("auto", "fentry", "kprobe", "tracepoint"),
        help="kind of kernel hooks (default: auto, the best that this kernel offers)",
    )
    parser.add_argument(
        "--ring-bytes",
        type=int,
        metavar="BYTES",
        help="size of the kernel's ring of events, a power of two (default: 4194304)",
    )


def configuration(arguments: argparse.Namespace) -> Configuration:
    """The configuration of file, environment and command line; its level of messages counts from now on.

    Raises:
        ConfigurationError: something in it cannot be used.
    """
    flags = {
        "core.backend.addr": "backend",
        "access_log.flush.period": "flush_period",
        "kernel.attach": "attach",
        "logger.format": "log_format",
        "kernel.ring_bytes": "ring_bytes",
    }
    values = {key: getattr(arguments, name, None) for key, name in flags.items()}
    loaded = load_configuration(arguments.config, flags=values)
    config_level.apply(loaded.logger.level)
    return loaded
