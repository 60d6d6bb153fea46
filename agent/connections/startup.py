"""Connections that were open before the agent started."""

from agent.connections.registry import ViewRegistry
from agent.discovery.host import SocketScan
from agent.events.layout import Role


def adopt_open_connections(scan: SocketScan, registry: ViewRegistry, now_ns: int) -> int:
    """Make every open connection of a scan a known view; returns how many.

    A process is the server of a connection when something in the same network namespace listens on its local port.
    """
    listening = {
        (socket.network_namespace, socket.protocol, socket.local_port) for socket in scan.sockets if socket.listening
    }
    adopted = 0
    for socket in scan.sockets:
        if socket.listening or socket.remote_port == 0:
            continue
        is_server = (socket.network_namespace, socket.protocol, socket.local_port) in listening
        for pid, descriptor in socket.owners:
            process = registry.processes.adopt(pid)
            if process is not None:
                registry.adopt(socket, process, descriptor, Role.SERVER if is_server else Role.CLIENT, now_ns)
                adopted += 1
    return adopted
