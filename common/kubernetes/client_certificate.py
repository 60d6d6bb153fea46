"""Certificates by which a client shows who it is."""

import os
import ssl

from common.kubernetes.access import AccessError


def load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes, source: str) -> None:
    """Use a certificate and its key, both as PEM; `source` says where they came from, for the error.

    Raises:
        AccessError: they cannot be used.
    """
    if not certificate or not key:
        raise AccessError(f"{source}: a client's certificate and its key are of use only together: name both")
    # The library reads them from files only; this one is in memory and has no name. A key that asks for a password
    # would be asked for on the terminal otherwise.
    file = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(file), "wb") as writing:
            writing.write(certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}", password=lambda: "")
    except ssl.SSLError as error:
        raise AccessError(f"{source}: the client's certificate and key cannot be used: {error}") from error
    finally:
        os.close(file)
