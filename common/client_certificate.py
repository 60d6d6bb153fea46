"""Certificates by which a client shows who it is, from memory."""

import os
import ssl


def load_client_certificate(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Use a certificate, with those that it leads to, and its key; both as PEM.

    Raises:
        ssl.SSLError: They cannot be used.
    """
    # The library reads them from files only; this one is in memory and has no name. A key that asks for a password
    # would be asked for on the terminal otherwise.
    file = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(file), "wb") as writing:
            writing.write(chain + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}", password=lambda: "")
    finally:
        os.close(file)
