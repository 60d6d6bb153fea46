"""Tokens and certificates, read again while the backend runs: with the other files, and when they have changed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from backend.server import tls
from backend.server.reloading import Part, Reloader
from backend.server.serving import Serving
from backend.server.settings import Settings, SettingsError, Tls
from backend.server.tokens import Token
from common.secret_files import CHECK_SECONDS, SecretFileError, SecretFiles, read_tokens

_TOKENS: Final = ("token", "http_token")

_logger = logging.getLogger(__name__)


class Credentials:
    """What peers must know, and what the ports show.

    Args:
        settings: Where it is.

    Attributes:
        token: What agents must know.
        http_token: What those must know who ask over HTTP.

    Raises:
        SettingsError: A token is given in two ways, or its file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = {
            name: SecretFiles([getattr(settings, f"{name}_file")])
            for name in _TOKENS
            if getattr(settings, f"{name}_file")
        }
        self._pairs = {
            name: SecretFiles([pair.certificate, pair.key, pair.authorities])
            for name in ("grpc_tls", "http_tls")
            if (pair := self._tls(name)).enabled
        }
        self._changed: Mapping[str, SecretFiles] = {**self._files, **self._pairs}
        for files in self._changed.values():
            files.changed()
        self._shown = {name: self._contents(name) for name in self._pairs}
        """What the files held that the ports show."""
        for name in self._files:
            if getattr(settings, name):
                raise SettingsError(f"{name} and {name}_file are both set; leave one")
        self.token, self.http_token = (
            Token(*self._read(name)) if name in self._files else Token(getattr(settings, name)) for name in _TOKENS
        )

    def parts(self, ports: Mapping[str, Serving]) -> list[Part[Any]]:
        """What can be replaced.

        Args:
            ports: What is served by each of the settings `grpc_tls` and `http_tls`.
        """
        tokens = {"token": self.token, "http_token": self.http_token}
        return [
            *(self._part(name, self._read, _replacing(tokens[name])) for name in self._files),
            *(self._part(name, self._check, self._renewing(name, ports[name])) for name in self._pairs),
        ]

    @asynccontextmanager
    async def watched(self, reloader: Reloader) -> AsyncIterator[None]:
        """Replace what has changed meanwhile; it is looked at every CHECK_SECONDS."""
        if not self._changed:
            yield
            return
        watching = asyncio.create_task(self._watch(reloader), name="credentials")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, reloader: Reloader) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            changed = [name for name, files in self._changed.items() if await asyncio.to_thread(files.changed)]
            if changed:
                await reloader.reload(changed)

    def _part(self, name: str, load: Callable[[str], Any], replace: Callable[[Any], str | Awaitable[str]]) -> Part[Any]:
        def read() -> Any:  # noqa: ANN401 - of any part
            self._changed[name].changed()
            return load(name)

        return Part(name, read, replace, (SettingsError, ValueError, OSError))

    def _read(self, name: str) -> tuple[str, ...]:
        path = getattr(self._settings, f"{name}_file")
        try:
            return read_tokens(self._files[name].content(path), path)
        except SecretFileError as error:
            raise SettingsError(f"{name}_file: {error}") from error

    def _check(self, name: str) -> tuple[bytes, ...]:
        tls.check(name, self._tls(name))
        return self._contents(name)

    def _contents(self, name: str) -> tuple[bytes, ...]:
        pair, files = self._tls(name), self._pairs[name]
        return tuple(files.content(path) for path in (pair.certificate, pair.key, pair.authorities) if path)

    def _renewing(self, name: str, serving: Serving) -> Callable[[tuple[bytes, ...]], Awaitable[str]]:
        async def renew(contents: tuple[bytes, ...]) -> str:
            if contents == self._shown[name]:
                return "the files are as they were"
            await serving.renew()
            self._shown[name] = contents
            return "new connections are shown the certificate that is there now"

        return renew

    def _tls(self, name: str) -> Tls:
        found: Tls = getattr(self._settings, name)
        return found


def _replacing(token: Token) -> Callable[[tuple[str, ...]], str]:
    def replace(texts: tuple[str, ...]) -> str:
        token.replace(*texts)
        return f"{len(texts)} {'tokens' if len(texts) > 1 else 'token'}"

    return replace
