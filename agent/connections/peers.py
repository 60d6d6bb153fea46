"""Who is at the other end of a connection that stays on this host."""

from agent.connections.state import ViewState
from agent.connections.table import ViewTable
from agent.connections.view import View, endpoint_port
from agent.discovery.owners import SocketOwners
from agent.discovery.processes import Process
from agent.discovery.socket_table import is_loopback
from agent.events.layout import ADDRESS_BYTES


class Peers:
    """Finds the process at the remote end: by its own view of the connection, else by who holds the socket there.

    Who listened there when the connection was made goes before who listens there now.

    A proxy may hold the other end under the address of somebody else (IP_TRANSPARENT, ip(7)), so that the process is to
    see who really calls: as ztunnel does in a pod of an ambient mesh. Then the far end is whose address that is.
    """

    def __init__(self, table: ViewTable, owners: SocketOwners) -> None:
        self._table = table
        self._owners = owners
        self.unresolved = False
        """True after the far end of a connection to this host was asked for and not found."""

    def find(self, view: View) -> Process | None:
        """The process at the remote end, or None when it is not one of this host or not known."""
        local_end, remote_end = view.seen_from_afar
        remote = remote_end[:ADDRESS_BYTES], endpoint_port(remote_end)
        peer = self._reversed(view, same_namespace=is_loopback(remote[0]))
        if peer is not None:
            return peer.process
        if not self._owners.is_own(view.network_namespace, remote[0]):
            return None
        local = local_end[:ADDRESS_BYTES], endpoint_port(local_end)
        process = (
            self._owners.connected(view.network_namespace, view.protocol, remote, local)
            or (view.listener if view.translated is None else None)
            or self._owners.listener(view.network_namespace, view.protocol, *remote)
        )
        self.unresolved |= process is None
        return process

    def _speaks_for_another(self, view: View, other: View) -> bool:
        """True when the other end has an address from elsewhere, within the same namespace.

        A namespace that no scan has seen yet has addresses that are not known; there both ends have the same one unless
        something else is done to them.
        """
        address = other.local[:ADDRESS_BYTES]
        return address != view.local[:ADDRESS_BYTES] and not self._owners.is_of(other.network_namespace, address)

    def _reversed(self, view: View, *, same_namespace: bool) -> View | None:
        """The other end's view: open rather than ended, in the same namespace rather than another, the latest one."""
        best: tuple[bool, bool, int] | None = None
        found = None
        local, remote = view.seen_from_afar
        for other in self._table.between(remote, local):
            near = other.network_namespace == view.network_namespace
            if other is view or other.protocol != view.protocol or (same_namespace and not near):
                continue
            if near and self._speaks_for_another(view, other):
                continue
            rank = (near, other.state is not ViewState.ENDED, other.number)
            if best is None or rank > best:
                best, found = rank, other
        return found
