/* The way of a package from the wire to the socket, and from the socket to its reader.
 *
 * What:  netif_receive_skb (L2) > ip_rcv, ipv6_rcv (L3) > netfilter, routing, ip_local_deliver > tcp_v4_rcv, tcp_v6_rcv,
 *        udp_rcv (L4) > the socket, whose queue it waits in > a read.
 * Why per processor: until L4 nobody knows whose package it is. Reception runs to its end in softirq on one processor,
 *        so what is known of a package waits in memory of that processor, and nothing is kept in a map. The socket is
 *        known once, where L4 hands the package to it: there everything is booked.
 * How lists: drivers deliver packages in lists (up to 64 of one NAPI poll). Each passes netif_receive_skb before the
 *        first one goes on, and they go on in the same order, so a ring of the last 128 finds each at once. Functions
 *        that take a whole list leave one time for all of it.
 * Packages that wait for a reader: TCP is a stream, so each group of them has a sequence number behind its last byte; it
 *        is read when the reader has come so far. A bounded number of groups, the last of which grows.
 * Lost without it: kernelLogs.read.l2Metrics, l3Metrics and l4Metrics; see agent/kernel/stage_hooks.py, hook by hook.
 * Not counted: the handshake of an accepted connection (SYN and its acknowledgement), which precedes the socket.
 */

#define ARRIVALS 128
#define LIST_LENGTH 64
#define NETFILTER_PRE_ROUTING 0 /* enum nf_inet_hooks */
#define NETFILTER_IN 1
#define NETFILTER_OUT 3
#define NETFILTER_POST_ROUTING 4

struct arrival {
    u64 package; /* struct sk_buff * */
    u64 device_ns;
    u64 network_ns;
    u64 routed_ns;
    u64 deliver_ns;
    u64 netfilter_enter_ns;
    u64 netfilter_ns;
    u64 local_ns;
    u32 netfilters;
    u32 interface;
    u32 network_namespace;
    u32 unused;
};

struct arriving {
    u64 list_ns; /* when the last list entered L3, and when it was routed */
    u64 list_routed_ns;
    u64 package; /* in L4 now */
    u64 transport_ns;
    u64 socket; /* that it was handed to */
    u64 network_ns;
    u32 next;
    u32 last_found;
    struct arrival arrivals[ARRIVALS];
};

BPF_PERCPU_ARRAY(arriving_packages, struct arriving, 1);

static __always_inline struct arriving *here(void)
{
    u32 zero = 0;

    return is_anything_watched() ? arriving_packages.lookup(&zero) : NULL;
}

static __always_inline struct arrival *arrival_at(struct arriving *arriving, u32 index)
{
    return &arriving->arrivals[index & (ARRIVALS - 1)];
}

/* The last one; the one after the last found, since a list goes through each function in order; or one of the last list,
 * the newest first: a package that was forwarded may have been here before. */
static __always_inline struct arrival *find_arrival(struct arriving *arriving, const struct sk_buff *skb)
{
    u64 package = (u64)skb;

    if (arrival_at(arriving, arriving->next - 1)->package == package) {
        arriving->last_found = arriving->next - 1;
        return arrival_at(arriving, arriving->last_found);
    }
    if (arrival_at(arriving, arriving->last_found)->package == package)
        return arrival_at(arriving, arriving->last_found);
    arriving->last_found++;
    if (arrival_at(arriving, arriving->last_found)->package == package)
        return arrival_at(arriving, arriving->last_found);
    for (u32 back = 2; back <= LIST_LENGTH; back++) {
        if (arrival_at(arriving, arriving->next - back)->package == package) {
            arriving->last_found = arriving->next - back;
            return arrival_at(arriving, arriving->last_found);
        }
    }
    return NULL;
}

static __always_inline int arrive(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct net_device *device = NULL;
    void *handler = NULL;
    struct arrival *arrival;

    if (!arriving)
        return 0;
    bpf_probe_read_kernel(&device, sizeof(device), &skb->dev);
    bpf_probe_read_kernel(&handler, sizeof(handler), &device->rx_handler);
    if (handler)
        return 0; /* a port of a bridge, bond or the like: it arrives again at the upper device */
    arrival = arrival_at(arriving, arriving->next);
    __builtin_memset(arrival, 0, sizeof(*arrival));
    arrival->package = (u64)skb;
    arrival->device_ns = bpf_ktime_get_ns();
    arrival->network_namespace = namespace_of_device(device);
    bpf_probe_read_kernel(&arrival->interface, sizeof(arrival->interface), &device->ifindex);
    arriving->next++;
    return 0;
}

static __always_inline int enter_network_receive(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (arrival)
        arrival->network_ns = bpf_ktime_get_ns();
    return 0;
}

static __always_inline int enter_network_receive_list(void)
{
    struct arriving *arriving = here();

    if (arriving) {
        arriving->list_ns = bpf_ktime_get_ns();
        arriving->list_routed_ns = 0;
    }
    return 0;
}

static __always_inline int routed(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (arrival)
        arrival->routed_ns = bpf_ktime_get_ns();
    return 0;
}

static __always_inline int routed_list(void)
{
    struct arriving *arriving = here();

    if (arriving)
        arriving->list_routed_ns = bpf_ktime_get_ns();
    return 0;
}

static __always_inline int enter_deliver(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (!arrival)
        return 0;
    arrival->deliver_ns = bpf_ktime_get_ns();
    if (!arrival->network_ns) {
        arrival->network_ns = arriving->list_ns;
        arrival->routed_ns = arriving->list_routed_ns;
    }
    if (!arrival->routed_ns)
        arrival->routed_ns = arrival->deliver_ns;
    return 0;
}

static __always_inline int finish_deliver(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (arrival && arrival->deliver_ns)
        arrival->local_ns = bpf_ktime_get_ns() - arrival->deliver_ns;
    return 0;
}

static __always_inline int enter_netfilter_in(struct sk_buff *skb)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? find_arrival(arriving, skb) : NULL;

    if (!arrival)
        return 0;
    arrival->netfilters++;
    arrival->netfilter_enter_ns = bpf_ktime_get_ns();
    return 1;
}

/* In reception nothing runs on top: the package that left netfilter is the one found last. */
static __always_inline int leave_netfilter_in(void)
{
    struct arriving *arriving = here();
    struct arrival *arrival = arriving ? arrival_at(arriving, arriving->last_found) : NULL;

    if (!arrival || !arrival->netfilter_enter_ns)
        return 0;
    arrival->netfilter_ns += bpf_ktime_get_ns() - arrival->netfilter_enter_ns;
    arrival->netfilter_enter_ns = 0;
    return 1;
}

static __always_inline int enter_netfilter(struct sk_buff *skb, struct nf_hook_state *state)
{
    u8 hook = 0, family = 0;

    if (!is_anything_watched())
        return 0;
    bpf_probe_read_kernel(&hook, sizeof(hook), &state->hook);
    bpf_probe_read_kernel(&family, sizeof(family), &state->pf);
    if (family != FAMILY_INET && family != FAMILY_INET6)
        enter_netfilter_elsewhere();
    else if (hook == NETFILTER_OUT || hook == NETFILTER_POST_ROUTING)
        enter_netfilter_out(skb);
    else if ((hook != NETFILTER_PRE_ROUTING && hook != NETFILTER_IN) || !enter_netfilter_in(skb))
        enter_netfilter_elsewhere();
    return 0;
}

static __always_inline int leave_netfilter(void)
{
    if (is_anything_watched() && !leave_netfilter_in())
        leave_netfilter_out();
    return 0;
}

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

/* Notes that something waits to be read. The last group takes what finds no place. */
static __always_inline void queue_received(struct watched *watched, u32 end, u64 now)
{
    struct waiting *group;

    if (watched->waiting_next - watched->waiting_first < WAITING_PACKAGES) {
        group = &watched->waiting[watched->waiting_next & (WAITING_PACKAGES - 1)];
        group->sum_ns = 0;
        group->packages = 0;
        watched->waiting_next++;
    } else {
        group = &watched->waiting[(watched->waiting_next - 1) & (WAITING_PACKAGES - 1)];
    }
    group->sum_ns += now;
    group->packages++;
    group->end = end;
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
        queue_received(watched, end, now);
    return length;
}

static __always_inline u32 note_datagram(struct watched *watched, struct sk_buff *skb, u64 now)
{
    struct udp_header header = {};

    read_transport_header(skb, &header, sizeof(header));
    watched->datagrams_in++;
    queue_received(watched, watched->datagrams_in, now);
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
