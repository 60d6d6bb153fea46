/* L4 of a read: a package to its socket, and from the socket to its reader.
 *
 * What:  tcp_v4_rcv, tcp_v6_rcv, udp_rcv (L4) > the socket, whose queue it waits in > a read.
 * Why:   where L4 hands a package to its socket it is known whose it is: what was noted on its way (stages_arrivals.h) is
 *        booked there.
 * Packages that wait for a reader: TCP is a stream, so each group of them has a sequence number behind its last byte; it
 *        is read when the reader has come so far. A bounded number of groups, the last of which grows.
 * Lost without it: kernelLogs.read.l4Metrics, and of l2Metrics and l3Metrics what is booked here; see
 *        agent/kernel/stage_hooks.py, hook by hook.
 * Not counted: the handshake of an accepted connection (SYN and its acknowledgement), which precedes the socket.
 */

static __always_inline int enter_transport(struct sk_buff *skb)
{
    struct arriving *arriving = here();

    if (arriving) {
        arriving->package = (u64)skb;
        arriving->transport_ns = bpf_ktime_get_ns();
        arriving->socket = 0;
    }
    return 0;
}

/* A TCP package: its payload, its window, and whether it brings something to read. */
static __always_inline u32 note_segment(struct watched *watched, struct sock *sk, struct sk_buff *skb, u64 now)
{
    struct tcp_header header = {};
    u32 length = 0, next = 0, end = 0;

    read_transport_header(skb, &header, sizeof(header));
    bpf_probe_read_kernel(&length, sizeof(length), &skb->len);
    length -= (header.offset >> 4) * 4;
    if (!header.window && !(header.flags & TCP_FLAG_RST)) {
        add(&watched->trouble.zero_windows_received, 1);
        add(&watched->trouble.happened, 1);
    }
    bpf_probe_read_kernel(&next, sizeof(next), &((struct tcp_sock *)sk)->rcv_nxt);
    end = bpf_ntohl(header.sequence) + length;
    if (length && (s32)(end - next) > 0)
        queue_received(&watched->waiting, end, now);
    return length;
}

static __always_inline u32 note_datagram(struct watched *watched, struct sk_buff *skb, u64 now)
{
    struct udp_header header = {};

    read_transport_header(skb, &header, sizeof(header));
    __sync_fetch_and_add(&watched->datagrams_in, 1); /* on several processors at once */
    queue_received(&watched->waiting, watched->datagrams_in, now);
    return bpf_ntohs(header.length) - sizeof(header);
}

static __always_inline void book_package(struct watched *watched, struct sock *sk, struct sk_buff *skb)
{
    u64 now = bpf_ktime_get_ns();
    u32 bytes =
        watched->protocol == PROTOCOL_TCP ? note_segment(watched, sk, skb, now) : note_datagram(watched, skb, now);

    add(&watched->received.packages, 1);
    add(&watched->received.package_bytes, bytes);
}

static __always_inline void book_arrival(struct watched *watched, const struct arrival *arrival)
{
    struct received *received = &watched->received;

    if (arrival->network_namespace != watched->network_namespace && watched->process)
        return;
    add(&received->ready_ns, bpf_ktime_get_ns() - arrival->device_ns);
    add(&received->local_ns, arrival->local_ns);
    if (arrival->network_ns && arrival->routed_ns)
        add(&received->routing_ns, arrival->routed_ns - arrival->network_ns);
    add(&received->netfilter_ns, arrival->netfilter_ns);
    add(&received->netfilters, arrival->netfilters);
    received->interface = arrival->interface;
}

/* L4 hands a package to its socket, or to the backlog of a socket that is in use. */
static __always_inline int hand_over(struct sock *sk, struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct watched *watched;
    struct arrival *arrival;

    /* The same package again: an IPv6 socket with an IPv4 peer; or later, from the backlog. */
    if (!arriving || arriving->package != (u64)skb || arriving->socket)
        return 0;
    watched = watched_of(sk);
    if (!watched)
        return 0;
    arriving->socket = (u64)sk;
    book_package(watched, sk, skb);
    arrival = find_arrival(arriving, skb);
    if (arrival) {
        arriving->network_ns = arrival->network_ns;
        book_arrival(watched, arrival);
        arrival->package = 0;
    } else {
        arriving->network_ns = 0;
    }
    return 0;
}

/* Where the way through L4 cannot be seen: tcp_probe tells of each segment that an established connection receives. */
static __always_inline int receive_segment(struct sock *sk, struct sk_buff *skb)
{
    struct watched *watched = watched_of(sk);
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (!watched)
        return 0;
    book_package(watched, sk, skb);
    if (arrival) {
        book_arrival(watched, arrival);
        arrival->package = 0;
    }
    return 0;
}

static __always_inline int leave_transport(void)
{
    struct arriving *arriving = here();
    struct watched *watched;
    u64 now;

    if (!arriving || !arriving->package)
        return 0;
    arriving->package = 0;
    if (!arriving->socket)
        return 0;
    watched = watched_sockets.lookup(&arriving->socket);
    if (!watched)
        return 0;
    now = bpf_ktime_get_ns();
    add(&watched->received.l4_ns, now - arriving->transport_ns);
    if (arriving->network_ns)
        add(&watched->received.l3_ns, now - arriving->network_ns);
    return 0;
}
