"""What the agent shows to backends and trusts them by, read again when the files change."""

import logging
import time
from typing import Final

from agent.config import Backend
from agent.config_reading import ConfigurationError
from agent.export.transport import GrpcTransport
from common.grpc.failover import FailoverClient
from common.grpc.security import Security
from common.secret_files import CHECK_SECONDS, SecretFiles, read_tokens

_PROGRAM: Final = "pyrover-agent"

_logger = logging.getLogger(__name__)


class Credentials:
    """Certificates and the token of `core.backend`, for all clients of the agent. For one thread."""

    def __init__(self, backend: Backend) -> None:
        """Read them.

        Raises:
            ConfigurationError: a file cannot be read, or a value cannot be used; the message says which and why.
        """
        self._backend = backend
        paths = (backend.ca_pem_path, backend.client_key_path, backend.client_pem_path) if backend.enable_TLS else ()
        self._files = SecretFiles((*paths, backend.authentication_file))
        self._clients: list[FailoverClient] = []
        self._asked = False
        self._renewals = 0
        self._due = time.monotonic() + CHECK_SECONDS
        try:
            if backend.authentication and backend.authentication_file:
                raise ValueError("authentication and authentication_file are both set; leave one")  # noqa: TRY301 - said as everything else that is wrong
            self._files.changed()
            self._security, self._metadata = self._read()
        except ValueError as error:
            raise ConfigurationError(f"core.backend: {error}") from error

    def open_client(self) -> FailoverClient:
        """A client of the configured backends, which has what is new from then on.

        Raises:
            ConfigurationError: an address, a certificate or a key cannot be used.
        """
        try:
            return self._kept(FailoverClient(self._backend.addr, _PROGRAM, self._security))
        except ValueError as error:
            raise ConfigurationError(f"core.backend: {error}") from error

    def open_transport(self) -> GrpcTransport:
        """A transport to the configured backends, likewise.

        Raises:
            ConfigurationError: as open_client.
        """
        try:
            transport = GrpcTransport(self._backend.addr, self._security)
        except ValueError as error:
            raise ConfigurationError(f"core.backend: {error}") from error
        self._kept(transport.backends)
        return transport

    def ask(self, *_: object) -> None:
        """Look at the files at the next `refresh`, and say what came of it; a handler of signals."""
        self._asked = True

    def refresh(self) -> None:
        """Look at the files when it is time to, or was asked for; what cannot be used is told, and the old stays."""
        now = time.monotonic()
        if not self._asked and (now < self._due or not self._files):
            return
        asked, self._asked, self._due = self._asked, False, now + CHECK_SECONDS
        if not self._files.changed():
            if asked:
                _logger.info("core.backend: the certificates and the token are as they were")
            return
        try:
            security, metadata = self._read()
            for client in self._clients:
                client.renew(security)
        except ValueError as error:
            _logger.error("core.backend: what has changed cannot be used, the old stays: %s", error)  # noqa: TRY400 - no defect
            return
        self._security, self._metadata = security, metadata
        for client in self._clients:
            client.metadata = metadata
        self._renewals += 1  # told, as the same words again would be withheld (RepeatFilter)
        _logger.info("core.backend: certificates and token renewed (%d), for new connections and calls", self._renewals)

    def _kept(self, client: FailoverClient) -> FailoverClient:
        client.metadata = self._metadata
        self._clients.append(client)
        return client

    def _read(self) -> tuple[Security | None, tuple[tuple[str, str], ...]]:
        """How to use TLS, and the metadata of each call.

        Raises:
            ValueError: one of them cannot be used.
        """
        backend = self._backend
        token = backend.authentication
        if path := backend.authentication_file:
            token, *_ = read_tokens(self._files.content(path), path)
        if not (token.isascii() and token.isprintable()) and token:
            raise ValueError("the authentication must be printable ASCII")
        metadata = (("authentication", token),) if token else ()
        if not backend.enable_TLS:
            return None, metadata
        roots, key, chain = (
            self._files.content(path) if path else None
            for path in (backend.ca_pem_path, backend.client_key_path, backend.client_pem_path)
        )
        return Security(roots, key, chain, verified=not backend.insecure_skip_verify), metadata
