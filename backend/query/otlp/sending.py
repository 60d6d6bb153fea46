"""One message to a receiver of OTLP over HTTP."""

import gzip
import http.client
from urllib.parse import SplitResult, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

TIMEOUT = 10.0
"""Seconds for each step of an exchange."""
MAXIMUM_RESPONSE = 1024 * 1024
"""Most bytes of an answer that are read."""
PATH = "/v1/metrics"
"""Where receivers take metrics, if the address says nothing else."""
_RETRY = frozenset({429, 502, 503, 504})
"""Statuses after which the specification says to try again."""


class RetryError(Exception):
    """The message was not taken, and may be another time; the text says why."""


class RefusedError(Exception):
    """The message was not taken and never will be; the text says why."""


def endpoint(url: str) -> SplitResult:
    """Where to send to. Raises ValueError."""
    parts = urlsplit(url)
    if parts.username is not None:  # and the error does not show what may be a secret
        raise ValueError("there is a user or a password in the address, which are not sent: leave them out")
    written = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or not written:
        raise ValueError(f"{url!r} is not an address such as http://collector:4318, percent-encoded")
    _ = parts.port  # raises ValueError for one that is no port
    return parts if parts.path.strip("/") else parts._replace(path=PATH)


def send(to: SplitResult, message: ExportMetricsServiceRequest) -> int:
    """Send a message. Blocks.

    Returns:
        How many values the receiver did not want.

    Raises:
        RetryError: try again later.
        RefusedError: do not.
    """
    make = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = make(to.hostname or "", to.port, timeout=TIMEOUT)
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    try:
        connection.request("POST", to.path, gzip.compress(message.SerializeToString(), 1), headers)
        response = connection.getresponse()
        body = response.read(MAXIMUM_RESPONSE)
    except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last one for what no host is called
        raise RetryError(f"{to.netloc} cannot be reached: {error}") from None
    finally:
        connection.close()
    if response.status in _RETRY:
        raise RetryError(f"{to.netloc} answered with status {response.status}")
    if response.status != http.client.OK:
        raise RefusedError(f"{to.netloc} answered with status {response.status}")
    try:
        return int(ExportMetricsServiceResponse.FromString(body).partial_success.rejected_data_points)
    except DecodeError:
        return 0  # it was taken, whatever was said about it
