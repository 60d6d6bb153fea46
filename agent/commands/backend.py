"""Clients of the configured backends."""

from collections.abc import Sequence
from pathlib import Path

from agent.config import Backend, ConfigurationError
from agent.export.transport import Security
from common.grpc.failover import FailoverClient


def open_client(backend: Backend) -> tuple[FailoverClient, Sequence[tuple[str, str]]]:
    """A client of the configured backends, and the metadata of each call.

    Raises:
        ConfigurationError: a certificate cannot be read, or a value cannot be used.
    """
    metadata = (("authentication", backend.authentication),) if backend.authentication else ()
    try:
        return FailoverClient(backend.addr, "pyrover-agent", read_security(backend)), metadata
    except ValueError as error:
        raise ConfigurationError(f"core.backend: {error}") from error


def read_security(backend: Backend) -> Security | None:
    """How to use TLS with it; None for plain text.

    Raises:
        ConfigurationError: a certificate cannot be read.
    """
    if not backend.enable_TLS:
        return None
    return Security(
        _pem(backend.ca_pem_path),
        _pem(backend.client_key_path),
        _pem(backend.client_pem_path),
        verified=not backend.insecure_skip_verify,
    )


def _pem(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"core.backend: {path} cannot be read: {error.strerror}") from error
