"""The hooks at the stages between system call and wire.

Functions and their arguments are those of Linux 6.1, 6.12 and 6.18.
"""

from typing import Final

from agent.kernel.hook import Argument, Attachment, Cost, Hook, Source, SourceKind, Stage
from agent.kernel.stage_fields import STAGE_FIELDS

_SOCKET: Final = "struct sock *"
_PACKAGE: Final = "struct sk_buff *"


def _lost(hook: str, *more: str) -> tuple[str, ...]:
    fields = tuple(
        f"kernelLogs.{field.path}"
        for field in STAGE_FIELDS
        if hook in {field.begin.hook, field.end.hook if field.end else ""}
    )
    return fields + more


def _enters(handler: str, function: str, *arguments: Argument) -> Attachment:
    return Attachment(handler, function, arguments)


def _leaves(handler: str, function: str, *, sleeps: bool = False) -> Attachment:
    return Attachment(handler, function, at_return=True, sleeps=sleeps)


def _probes(*attachments: Attachment) -> tuple[Source, ...]:
    return Source(SourceKind.FENTRY, attachments), Source(SourceKind.KPROBE, attachments)


def _raw(*attachments: Attachment) -> Source:
    return Source(SourceKind.RAW_TRACEPOINT, attachments)


def _socket(position: int) -> Argument:
    return Argument(_SOCKET, position)


def _package(position: int) -> Argument:
    return Argument(_PACKAGE, position)


_TCP_SEND = (_enters("enter_send", "tcp_sendmsg", _socket(0)), _leaves("leave_send", "tcp_sendmsg", sleeps=True))
_PAGE_SEND = (_enters("enter_send", "tcp_sendpage", _socket(0)), _leaves("leave_send", "tcp_sendpage", sleeps=True))
_UDP_SEND = tuple(
    attachment
    for function in ("udp_sendmsg", "udpv6_sendmsg")
    for attachment in (_enters("enter_send", function, _socket(0)), _leaves("leave_send", function, sleeps=True))
)

STAGE_HOOKS: Final = (
    Hook(
        "send",
        Stage.TRANSMIT,
        Cost.TRANSFER,
        # Until 6.4 sendfile and splice have a way of their own.
        (*_probes(*_TCP_SEND, *_UDP_SEND, *_PAGE_SEND), *_probes(*_TCP_SEND, *_UDP_SEND)),
        _lost("send"),
    ),
    Hook(
        "transmit",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        (
            *_probes(_enters("transmit_tcp", "__tcp_transmit_skb", _socket(0), _package(1))),
            _raw(_enters("count_queued_package", "net_dev_queue", _package(0))),
        ),
        _lost("transmit"),
    ),
    Hook(
        "retransmit",
        Stage.TRANSMIT,
        Cost.TROUBLE,
        (
            # Newer kernels tell of failed attempts too, and say so.
            _raw(_enters("retransmit_unless_failed", "tcp_retransmit_skb", _socket(0), Argument("int", 2))),
            _raw(_enters("retransmit", "tcp_retransmit_skb", _socket(0))),
        ),
        _lost("retransmit", "retransmits by cause"),
    ),
    Hook(
        "network_transmit",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        _probes(
            _enters("enter_network_of_socket", "__ip_queue_xmit", _socket(0), _package(1)),
            _leaves("leave_network", "__ip_queue_xmit"),
            _enters("enter_network_and_local_out", "inet6_csk_xmit", _socket(0), _package(1)),
            _leaves("leave_network", "inet6_csk_xmit"),
            _enters("enter_network_of_package", "ip_send_skb", _package(1)),
            _leaves("leave_network", "ip_send_skb"),
            _enters("enter_network_of_package", "ip6_send_skb", _package(0)),
            _leaves("leave_network", "ip6_send_skb"),
        ),
        _lost(
            "network_transmit",
            "all of kernelLogs.write.l3Metrics",
            "kernelLogs.write.l2Metrics of packages inside a call",
            "zero windows sent",
        ),
    ),
    Hook(
        "local_out",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        _probes(
            _enters("enter_local_out", "__ip_local_out", _package(2)),
            _enters("enter_local_out", "__ip6_local_out", _package(2)),
        ),
        _lost("local_out"),
    ),
    Hook(
        "output",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        _probes(_enters("enter_output", "ip_output", _package(2)), _enters("enter_output", "ip6_output", _package(2))),
        _lost("output"),
    ),
    Hook(
        "finish_output",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        _probes(
            _enters("enter_finish_output", "ip_finish_output2", _package(2)),
            _enters("enter_finish_output", "ip6_finish_output2", _package(2)),
        ),
        ("the end of kernelLogs.write.l3Metrics.totalOutputDuration is that of neighbour resolution instead",),
    ),
    Hook(
        "neighbour",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        _probes(
            _enters("enter_neighbour", "neigh_resolve_output", _package(1)),
            _leaves("leave_neighbour", "neigh_resolve_output"),
        ),
        _lost("neighbour"),
    ),
    Hook(
        "netfilter",
        Stage.TRANSMIT,
        Cost.PACKAGE,
        _probes(
            _enters("enter_netfilter", "nf_hook_slow", _package(0), Argument("struct nf_hook_state *", 1)),
            _leaves("leave_netfilter", "nf_hook_slow"),
        ),
        _lost("netfilter"),
    ),
    Hook(
        "device",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        (
            *_probes(
                _enters("enter_device", "__dev_queue_xmit", _package(0)), _leaves("leave_device", "__dev_queue_xmit")
            ),
            _raw(_enters("queue_package", "net_dev_queue", _package(0))),
        ),
        _lost("device"),
    ),
    Hook(
        "driver",
        Stage.TRANSMIT,
        Cost.PACKAGE_SENT,
        (
            _raw(
                _enters("enter_driver", "net_dev_start_xmit", _package(0)),
                _enters("leave_driver", "net_dev_xmit", _package(0)),
            ),
        ),
        _lost("driver"),
    ),
    Hook(
        "drop",
        Stage.TRANSMIT,
        Cost.TROUBLE,
        (
            # Since 6.11 the tracepoint names the receiver.
            _raw(
                Attachment(
                    "drop_package_of_receiver", "kfree_skb", (_package(0), Argument("unsigned int", 2), _socket(3))
                )
            ),
            _raw(Attachment("drop_package_with_reason", "kfree_skb", (_package(0), Argument("unsigned int", 2)))),
        ),
        _lost("drop"),
    ),
    Hook(
        "arrive",
        Stage.RECEIVE,
        Cost.PACKAGE,
        (_raw(_enters("arrive", "netif_receive_skb", _package(0))),),
        _lost("arrive", "all of kernelLogs.read.l3Metrics"),
    ),
    Hook(
        "network_receive",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(
            _enters("enter_network_receive", "ip_rcv", _package(0)),
            _enters("enter_network_receive", "ipv6_rcv", _package(0)),
            Attachment("enter_network_receive_list", "ip_list_rcv"),
            Attachment("enter_network_receive_list", "ipv6_list_rcv"),
        ),
        _lost("network_receive"),
    ),
    Hook(
        "route_receive",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(
            _enters("routed", "ip_rcv_finish", _package(2)),
            _enters("routed", "ip6_rcv_finish", _package(2)),
        ),
        ("kernelLogs.read.l3Metrics.totalRecvDuration ends where delivery begins instead",),
    ),
    Hook(
        "route_receive_list",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(Attachment("routed_list", "ip_sublist_rcv_finish")),
        ("kernelLogs.read.l3Metrics.totalRecvDuration of packages in lists ends where delivery begins instead",),
    ),
    Hook(
        "deliver",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(
            _enters("enter_deliver", "ip_local_deliver", _package(0)),
            _enters("enter_deliver", "ip6_input", _package(0)),
        ),
        _lost("deliver", "kernelLogs.read.l3Metrics.totalRecvDuration and totalDuration of packages in lists"),
    ),
    Hook(
        "finish_deliver",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(
            _enters("finish_deliver", "ip_local_deliver_finish", _package(2)),
            _enters("finish_deliver", "ip6_input_finish", _package(2)),
        ),
        _lost("finish_deliver"),
    ),
    Hook(
        "transport_receive",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        _probes(
            *(
                attachment
                for function in ("tcp_v4_rcv", "tcp_v6_rcv", "udp_rcv", "udpv6_rcv")
                for attachment in (
                    _enters("enter_transport", function, _package(0)),
                    _leaves("leave_transport", function),
                )
            )
        ),
        _lost("transport_receive", "all of kernelLogs.read.l2Metrics and l3Metrics"),
    ),
    Hook(
        "hand_over",
        Stage.RECEIVE,
        Cost.PACKAGE_RECEIVED,
        (
            *_probes(
                *(
                    _enters("hand_over", function, _socket(0), _package(1))
                    for function in ("tcp_v4_do_rcv", "tcp_v6_do_rcv", "tcp_add_backlog", "__udp_enqueue_schedule_skb")
                )
            ),
            _raw(_enters("receive_segment", "tcp_probe", _socket(0), _package(1))),
        ),
        _lost("hand_over", "zero windows received"),
    ),
    Hook(
        "socket_state",
        Stage.SOCKET,
        Cost.CONNECTION,
        (
            _raw(
                Attachment(
                    "change_socket_state", "inet_sock_set_state", (_socket(0), Argument("int", 1), Argument("int", 2))
                )
            ),
        ),
        ("packages of accepted connections before they are accepted",),
    ),
    Hook(
        "tcp_destroy",
        Stage.SOCKET,
        Cost.CONNECTION,
        # One socket's end may be interrupted by another's, and the kernel leaves the inner program out. The second one
        # finds what the first has left, which is nothing otherwise.
        (
            _raw(
                Attachment("destroy_tcp", "tcp_destroy_sock", (_socket(0),)),
                Attachment("destroy_tcp", "tcp_destroy_sock", (_socket(0),), again=True),
            ),
        ),
        (
            "packages after the last write and read of a connection",
            "the quality of connections at their end",
            "protocolLog",
        ),
    ),
    Hook(
        "udp_destroy",
        Stage.SOCKET,
        Cost.CONNECTION,
        _probes(
            _enters("destroy_udp", "udp_destroy_sock", _socket(0)),
            _enters("destroy_udp", "udpv6_destroy_sock", _socket(0)),
        ),
        ("all stages of UDP sockets",),
    ),
)
