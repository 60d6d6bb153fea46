"""What a server in TLS is trusted by, and what it trusts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Security:
    """How a server is reached when it is not in plain text."""

    roots: bytes | None = None
    """PEM of the authorities that may vouch for the server; None for the system's."""
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    verified: bool = True
    """Whether the server has to show a certificate that is trusted and that names it."""
