/* L4 of a write: from the socket to the packages that it makes.
 *
 * What:  the protocol's sendmsg, each package that TCP hands to L3, packages that are sent again with the reason, and closed
 *        windows.
 * Why:   packages that leave later, by acknowledgements, timers or in other threads, are counted for the connection that
 *        they belong to, and only those that leave within a call for that call.
 * Lost without it: kernelLogs.write.l4Metrics and retransmissions; see agent/kernel/stage_hooks.py, hook by hook.
 */

static __always_inline int enter_send(struct sock *sk)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);

    if (transfer && transfer->kind == EVENT_WRITE && transfer->sk == sk && !transfer->send_depth++)
        transfer->send_ns = bpf_ktime_get_ns();
    return 0;
}

/* An IPv6 socket that sends to an IPv4 address enters twice. The transfer is that of this thread's only call, and nothing
 * else of this thread sends on a socket meanwhile. */
static __always_inline int leave_send(void)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);

    if (transfer && transfer->send_depth && !--transfer->send_depth)
        transfer->stages.l4_ns += bpf_ktime_get_ns() - transfer->send_ns;
    return 0;
}

static __always_inline void count_package(struct sock *sk, u64 bytes)
{
    struct watched *watched = watched_of(sk);
    struct transfer *transfer;

    if (!watched)
        return;
    transfer = own_write(sk, bpf_get_current_pid_tgid());
    if (transfer) {
        transfer->stages.packages++;
        transfer->stages.package_bytes += bytes;
    } else {
        add(&watched->sent.packages, 1);
        add(&watched->sent.package_bytes, bytes);
    }
}

/* A TCP package has no headers yet. */
static __always_inline int transmit_tcp(struct sock *sk, struct sk_buff *skb)
{
    u32 length = 0;

    bpf_probe_read_kernel(&length, sizeof(length), &skb->len);
    count_package(sk, length);
    return 0;
}

static __always_inline int retransmit(struct sock *sk)
{
    struct watched *watched = watched_of(sk);
    u8 state = 0, congestion = 0;
    u64 *cause;

    if (!watched)
        return 0;
    add(&watched->sent.retransmits, 1);
    bpf_probe_read_kernel(&state, sizeof(state), &sk->__sk_common.skc_state);
    bpf_probe_read_kernel(&congestion, sizeof(congestion), (void *)sk + CONGESTION_STATE_OFFSET);
    congestion = congestion >> CONGESTION_STATE_SHIFT & CONGESTION_STATE_MASK;
    if (state == STATE_SYN_SENT || state == STATE_SYN_RECEIVED)
        cause = &watched->trouble.syn;
    else if (congestion == CONGESTION_LOSS)
        cause = &watched->trouble.timeout;
    else if (congestion == CONGESTION_RECOVERY)
        cause = &watched->trouble.fast;
    else
        cause = &watched->trouble.probe;
    add(cause, 1);
    add(&watched->trouble.happened, 1);
    return 0;
}

/* Newer kernels tell of attempts too that sent nothing, such as those for a package that still is in the device's queue. */
static __always_inline int retransmit_unless_failed(struct sock *sk, int error)
{
    return error ? 0 : retransmit(sk);
}

/* The header of a TCP package that is on its way down. */
static __always_inline void note_window_sent(struct watched *watched, const struct sk_buff *skb)
{
    struct tcp_header header = {};

    read_transport_header(skb, &header, sizeof(header));
    if (!header.window && !(header.flags & TCP_FLAG_RST)) {
        add(&watched->trouble.zero_windows_sent, 1);
        add(&watched->trouble.happened, 1);
    }
}
