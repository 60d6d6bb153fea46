"""TLS of the ports: what they show, and whose certificates they ask for."""

import ssl
from pathlib import Path
from typing import Literal, TypedDict

from backend.server.settings import SettingsError, Tls


class ServerOptions(TypedDict, total=False):
    """Options of h2corn.Config."""

    certfile: Path
    keyfile: Path
    ca_certs: Path
    cert_reqs: Literal["required"]


def options(tls: Tls) -> ServerOptions:
    """What the server is told."""
    if not tls.enabled:
        return {}
    told: ServerOptions = {"certfile": Path(tls.certificate), "keyfile": Path(tls.key)}
    if tls.authorities:
        told["ca_certs"], told["cert_reqs"] = Path(tls.authorities), "required"
    return told


def check(section: str, tls: Tls) -> None:
    """See that a port can be served so.

    Args:
        section: What the settings are in, for the error.
        tls: The settings.

    Raises:
        SettingsError: A file is missing, or cannot be read, or is not what it should be.
    """
    if not tls.enabled:
        if tls.authorities:
            raise SettingsError(
                f"{section}.authorities is set and {section}.enabled is not: nobody would be asked for a certificate;"
                f" switch {section}.enabled on as well"
            )
        return
    for name in ("certificate", "key"):
        if not getattr(tls, name):
            raise SettingsError(f"{section}.enabled is set and {section}.{name} is empty; it must be a file in PEM")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{section}.certificate is {tls.certificate!r} and {section}.key is {tls.key!r}: {_reason(error)};"
            " they must be a chain of certificates and the key of its first, both in PEM, the key without a password"
        ) from error
    if tls.authorities:
        try:
            context.load_verify_locations(tls.authorities)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{section}.authorities is {tls.authorities!r}: {_reason(error)};"
                " it must be a file of certificates in PEM"
            ) from error


def _no_password() -> str:
    return ""


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
