"""Certificates of servers on the loopback interface."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key; both as PEM."""

    key: bytes
    certificate: bytes

    def server(self) -> grpc.ServerCredentials:
        """For a server of grpcio."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)])


def self_signed(folder: Path) -> Certificate:
    """A new certificate for 127.0.0.1, made in a folder."""
    folder.mkdir(exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    outputs = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *outputs], check=True, capture_output=True)
    return Certificate(key.read_bytes(), certificate.read_bytes())
