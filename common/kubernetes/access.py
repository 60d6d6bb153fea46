"""Where the API server is, what it is trusted by, and who asks it."""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder in which a pod finds what it needs to ask the API server."""
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80


class AccessError(Exception):
    """The API server cannot be asked; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where an API server listens."""

    host: str
    port: int
    secure: bool
    prefix: str = ""
    """What comes before the path of each request, without a slash at its end."""
    name: str = ""
    """Name that its certificate must have; empty for `host`."""


def _no_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _nobody() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Access:
    """How an API server is asked.

    Both functions are called again and again, since tokens and certificates are replaced while programs run. They may
    raise AccessError.
    """

    server: Server
    context: Callable[[], ssl.SSLContext] = _no_context
    """Makes what a connection is secured with."""
    authorization: Callable[[], str] = _nobody
    """The value of the Authorization header of a request; empty for none."""


def parse_server(url: str, name: str = "") -> Server:
    """Where a URL such as "https://10.0.0.1:6443" leads.

    Raises:
        AccessError: it is none.
    """
    advice = f"the address of an API server must look like 'https://10.0.0.1:6443', not {url!r}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AccessError(f"{advice}: {error}") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise AccessError(advice)
    secure = parts.scheme == "https"
    return Server(parts.hostname, port or (_HTTPS_PORT if secure else _HTTP_PORT), secure, parts.path.rstrip("/"), name)


def in_cluster(environment: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT) -> Access:
    """As the service account of the pod that this program runs in.

    Raises:
        AccessError: it runs in none.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise AccessError(
            "this is no pod of a Kubernetes cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; "
            "name a kubeconfig file to ask a cluster from outside"
        )
    if not port.isdecimal():
        raise AccessError(f"KUBERNETES_SERVICE_PORT must be a number, not {port!r}")
    authorities, token = folder / "ca.crt", folder / "token"
    access = Access(
        Server(host, int(port), secure=True),
        lambda: trusting(read_file(authorities).decode(errors="replace"), str(authorities)),
        lambda: bearer(token),
    )
    access.context()  # so that what is missing is told now
    access.authorization()
    return access


def bearer(path: Path) -> str:
    """The Authorization header of the token in a file.

    Raises:
        AccessError: there is no usable token in it.
    """
    return bearer_of(read_file(path).decode(errors="replace"), str(path))


def bearer_of(token: str, source: str) -> str:
    """The Authorization header of a token; `source` says where it came from, for the error.

    Raises:
        AccessError: it cannot be sent in a header.
    """
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise AccessError(f"{source}: must hold a token: one word of ASCII characters")
    return f"Bearer {stripped}"


def trusting(authorities: str | None, source: str) -> ssl.SSLContext:
    """What secures connections to a server that these authorities vouch for, as PEM; None for those of the system.

    Raises:
        AccessError: there are none in it.
    """
    try:
        if authorities is not None and not authorities.strip():
            raise ValueError("it is empty")  # noqa: TRY301 - said as everything else that is wrong with it
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(f"{source}: must hold certificates of authorities as PEM: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_file(path: Path) -> bytes:
    """What a file holds.

    Raises:
        AccessError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise AccessError(f"{path}: cannot be read: {error.strerror}") from error
