"""Certificates for tests, made by openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = "DNS:api.test,IP:127.0.0.1"


@dataclass(frozen=True)
class Identity:
    key: Path
    certificate: Path

    def context(self) -> ssl.SSLContext:
        """For a server that shows it."""
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.load_cert_chain(self.certificate, self.key)
        return made


def make_identity(folder: Path, name: str, names: str = NAMES) -> Identity:
    """One that vouches for itself."""
    made = Identity(folder / f"{name}.key", folder / f"{name}.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files = ["-keyout", str(made.key), "-out", str(made.certificate), "-subj", f"/CN={name}"]
    subprocess.run([*command.split(), *files, "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    return made
