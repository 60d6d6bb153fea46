"""Component ids of connections, which say what carries a call (Apache SkyWalking's component-libraries.yml)."""

from backend.ingest.batch import Connection

UNRECOGNIZED = 0
HTTP = 49
TCP = 110
HTTPS = 129
TLS = 130
MUTUAL_TLS = 142
ZTUNNEL = 162

_OF_PROTOCOL = {
    (0, False): (TCP,),
    (0, True): (TLS,),
    (1, False): (HTTP,),
    (1, True): (HTTPS,),
    (2, False): (HTTP,),
    (2, True): (HTTPS,),
}


def component_ids(connection: Connection) -> tuple[int, ...]:
    """The components of a connection: those of the mesh that carries it, else the one of its protocol."""
    if connection.ztunnel is not None:
        return (MUTUAL_TLS, ZTUNNEL) if connection.ztunnel.is_mutual else (ZTUNNEL,)
    return _OF_PROTOCOL.get((connection.protocol, connection.tls), (UNRECOGNIZED,))
