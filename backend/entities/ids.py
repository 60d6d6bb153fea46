"""Entity ids, as Apache SkyWalking writes them.

Ids are text, made of base64 (RFC 4648, standard alphabet, padded) of UTF-8 names:

    service             b64(service).1                           `.0` for a service that is only conjectured
    instance            <service id>_b64(instance)
    endpoint            <service id>_b64(endpoint)
    service relation    <service id>-<service id>                source, then destination
    instance relation   <instance id>-<instance id>
    endpoint relation   <service id>-b64(endpoint)-<service id>-b64(endpoint)

None of `.`, `_` and `-` is in the alphabet, so every id can be read back. A blank name is written as "_blank".
"""

import base64
import binascii
from typing import NamedTuple

BLANK = "_blank"


class ServiceName(NamedTuple):
    """What a service id says."""

    service: str
    normal: bool
    """Whether the service reports itself; False for one that is only conjectured."""


class InstanceName(NamedTuple):
    """What an instance id says."""

    service: ServiceName
    instance: str


class EndpointName(NamedTuple):
    """What an endpoint id says."""

    service: ServiceName
    endpoint: str


class ServiceRelationName(NamedTuple):
    """What a service relation id says."""

    source: ServiceName
    destination: ServiceName


class InstanceRelationName(NamedTuple):
    """What an instance relation id says."""

    source: InstanceName
    destination: InstanceName


class EndpointRelationName(NamedTuple):
    """What an endpoint relation id says."""

    source: EndpointName
    destination: EndpointName


def service_id(service: str, *, normal: bool = True) -> str:
    """Id of a service."""
    return f"{_encode(service)}.{int(normal)}"


def instance_id(service: str, instance: str) -> str:
    """Id of an instance of the service whose id is `service`."""
    return f"{service}_{_encode(instance)}"


def endpoint_id(service: str, endpoint: str) -> str:
    """Id of an endpoint of the service whose id is `service`."""
    return f"{service}_{_encode(endpoint)}"


def service_relation_id(source: str, destination: str) -> str:
    """Id of the relation between two services, given by their ids."""
    return f"{source}-{destination}"


def instance_relation_id(source: str, destination: str) -> str:
    """Id of the relation between two instances, given by their ids."""
    return f"{source}-{destination}"


def endpoint_relation_id(
    source_service: str, source_endpoint: str, destination_service: str, destination_endpoint: str
) -> str:
    """Id of the relation between two endpoints, given by the ids of their services and their own names."""
    return f"{source_service}-{_encode(source_endpoint)}-{destination_service}-{_encode(destination_endpoint)}"


def decode_service_id(text: str) -> ServiceName:
    """The name in a service id. Raises ValueError."""
    name, dot, kind = text.partition(".")
    if not dot or kind not in {"0", "1"}:
        raise ValueError(f"{text!r} is not a service id: it must be a base64 name, then .1 or .0")
    return ServiceName(_decode(name, text), kind == "1")


def decode_instance_id(text: str) -> InstanceName:
    """The names in an instance id. Raises ValueError."""
    service, name = _halves(text, "_", "an instance id: it must be a service id, _ and a base64 name")
    return InstanceName(decode_service_id(service), _decode(name, text))


def decode_endpoint_id(text: str) -> EndpointName:
    """The names in an endpoint id. Raises ValueError."""
    service, name = _halves(text, "_", "an endpoint id: it must be a service id, _ and a base64 name")
    return EndpointName(decode_service_id(service), _decode(name, text))


def decode_service_relation_id(text: str) -> ServiceRelationName:
    """The names in a service relation id. Raises ValueError."""
    source, destination = _halves(text, "-", "a service relation id: it must be two service ids joined by -")
    return ServiceRelationName(decode_service_id(source), decode_service_id(destination))


def decode_instance_relation_id(text: str) -> InstanceRelationName:
    """The names in an instance relation id. Raises ValueError."""
    source, destination = _halves(text, "-", "an instance relation id: it must be two instance ids joined by -")
    return InstanceRelationName(decode_instance_id(source), decode_instance_id(destination))


def decode_endpoint_relation_id(text: str) -> EndpointRelationName:
    """The names in an endpoint relation id. Raises ValueError."""
    parts = text.split("-")
    if len(parts) != 4:  # noqa: PLR2004 - two services, two endpoints
        raise ValueError(
            f"{text!r} is not an endpoint relation id: it must be two service ids and two base64 names joined by -"
        )
    source, source_endpoint, destination, destination_endpoint = parts
    return EndpointRelationName(
        EndpointName(decode_service_id(source), _decode(source_endpoint, text)),
        EndpointName(decode_service_id(destination), _decode(destination_endpoint, text)),
    )


def _encode(name: str) -> str:
    if not name.strip():
        name = BLANK
    return base64.b64encode(name.encode()).decode("ascii")


def _decode(encoded: str, whole: str) -> str:
    try:
        name = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError(f"{whole!r} is not an entity id: {encoded!r} is not base64 of a UTF-8 name") from None
    if _encode(name) != encoded:
        # Another spelling of the same bytes would be another key for the same entity.
        raise ValueError(f"{whole!r} is not an entity id: {encoded!r} is not how base64 writes {name!r}")
    return name


def _halves(text: str, separator: str, expected: str) -> tuple[str, str]:
    parts = text.split(separator)
    if len(parts) != 2:  # noqa: PLR2004 - the two sides of the separator
        raise ValueError(f"{text!r} is not {expected}")
    return parts[0], parts[1]
