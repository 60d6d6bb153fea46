"""A certificate authority that lasts for one run of the tests, and a certificate for this machine's loopback."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM."""

    authority: str
    certificate: str
    """For localhost and 127.0.0.1."""
    key: str


def make_certificates(folder: Path) -> Certificates:
    """Made by openssl; elliptic curves, since their keys take no time."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request = ["openssl", "req", "-x509", *key, "-days", "2"]
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    _run(*request, "-subj", "/CN=tests of pyrover", "-keyout", authority_key, "-out", authority)
    certificate, certificate_key = folder / "server.pem", folder / "server.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    usage = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]
    signed: list[str | Path] = ["-CA", authority, "-CAkey", authority_key]
    _run(*request, *signed, *names, *usage, "-keyout", certificate_key, "-out", certificate)
    return Certificates(str(authority), str(certificate), str(certificate_key))


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
