/* What came together at a socket, handed over to the events of its transfers and of its end.
 *
 * What:  a write's event takes what its own call measured and what was sent outside of any call since the last one; a
 *        read's event what was received since the last one. tcp_destroy_sock sends what is left. Troubles go in an event
 *        of their own, with the first transfer after them.
 * Why:   one event per call stays the rule, and no package is ever reported twice or forgotten.
 * Lost without tcp_destroy_sock: the entries of sockets that are gone, until the map is full and says so.
 */

static __always_inline void describe_round_trip(struct stages *stages, const struct sock *sk)
{
    u32 time = 0;

    bpf_probe_read_kernel(&time, sizeof(time), &((struct tcp_sock *)sk)->srtt_us);
    stages->round_trip_us = time >> 3; /* the kernel keeps eighths */
}

static __always_inline void take_sent(struct stages *stages, struct watched *watched)
{
    struct sent *sent = &watched->sent;
    u32 late = take(&sent->packages);

    stages->packages += late;
    stages->late_packages = late;
    stages->package_bytes += take(&sent->package_bytes);
    stages->retransmits += take(&sent->retransmits);
    stages->neighbours += take(&sent->neighbours);
    stages->netfilters += take(&sent->netfilters);
    stages->queued += take(&sent->queued);
    stages->late_ns = take(&sent->l3_ns);
    stages->l2_ns += take(&sent->l2_ns);
    stages->l2_ready_ns += take(&sent->ready_ns);
    stages->l2_device_ns += take(&sent->device_ns);
    if (!stages->interface)
        stages->interface = sent->interface;
}

/* What was sent within a write that ends without an event, for the next one to tell: one that finds no room may have sent what
 * was there before, and so may one whose thread is killed. */
static __always_inline void give_sent_back(struct transfer *transfer)
{
    const struct stages *stages = &transfer->stages;
    struct watched *watched;
    struct sent *sent;

    *(volatile u32 *)&transfer->is_told = 1;
    watched = transfer->kind == EVENT_WRITE && stages->packages ? watched_of(transfer->sk) : NULL;
    if (!watched)
        return;
    sent = &watched->sent;
    add(&sent->packages, stages->packages);
    add(&sent->package_bytes, stages->package_bytes);
    add(&sent->neighbours, stages->neighbours);
    add(&sent->netfilters, stages->netfilters);
    add(&sent->queued, stages->queued);
    add(&sent->l3_ns, stages->l3_ns);
    add(&sent->l2_ns, stages->l2_ns);
    add(&sent->ready_ns, stages->l2_ready_ns);
    add(&sent->device_ns, stages->l2_device_ns);
    if (stages->interface)
        sent->interface = stages->interface;
}

static __always_inline void take_received(struct stages *stages, struct watched *watched)
{
    struct received *received = &watched->received;

    stages->packages = take(&received->packages);
    stages->package_bytes = take(&received->package_bytes);
    stages->netfilters = take(&received->netfilters);
    stages->netfilter_ns = take(&received->netfilter_ns);
    stages->l4_ns = take(&received->l4_ns);
    stages->l3_ns = take(&received->l3_ns);
    stages->l3_local_ns = take(&received->local_ns);
    stages->l3_output_ns = take(&received->routing_ns);
    stages->l2_ready_ns = take(&received->ready_ns);
    stages->interface = received->interface;
}

/* Up to where the reader has come; whether any of that came while the socket was watched. */
static __always_inline int take_stream(struct event *event, struct watched *watched, const struct sock *sk)
{
    u32 reached = 0;

    bpf_probe_read_kernel(&reached, sizeof(reached), &((struct tcp_sock *)sk)->copied_seq);
    event->stages.l2_device_ns = take_waiting(&watched->waiting, reached, event->end_ns);
    if (watched->has_unseen && (s32)(reached - watched->unseen_end) > 0)
        watched->has_unseen = 0;
    return !watched->has_unseen;
}

/* The event of a read. What came before the watch began is not known: such a read leaves what came since to the next. */
static __always_inline void describe_read(struct event *event, struct watched *watched, struct sock *sk, u32 messages)
{
    if (event->protocol == PROTOCOL_TCP) {
        if (!take_stream(event, watched, sk))
            return;
    } else {
        if ((s32)(watched->datagrams_in - watched->datagrams_read) < (s32)messages)
            return;
        __sync_fetch_and_add(&watched->datagrams_read, messages);
        event->stages.l2_device_ns = take_waiting(&watched->waiting, watched->datagrams_read, event->end_ns);
    }
    take_received(&event->stages, watched);
#ifdef HOOK_hand_over
    event->flags |= FLAG_PACKAGES_COUNTED;
#endif
}

/* Completes the event of a transfer. Of a write it has what its own call did already. */
static __always_inline void describe_stages(struct event *event, struct sock *sk, u32 messages)
{
    struct watched *watched = watched_of(sk);

    if (event->protocol == PROTOCOL_TCP)
        describe_round_trip(&event->stages, sk);
    if (!watched)
        return;
    if (event->kind == EVENT_READ) {
        describe_read(event, watched, sk, messages);
        return;
    }
    take_sent(&event->stages, watched);
#ifdef HOOK_transmit
    event->flags |= FLAG_PACKAGES_COUNTED;
#endif
}

static __always_inline void describe_watched(struct event *event, struct watched *watched, struct sock *sk, u8 kind)
{
    event->start_ns = bpf_ktime_get_ns();
    event->end_ns = event->start_ns;
    event->inode = watched->inode;
    event->bytes = 0;
    event->process = watched->process;
    event->thread = watched->thread;
    event->descriptor = -1;
    event->result = 0;
    event->network_namespace = watched->network_namespace;
    event->kind = kind;
    event->system_call = CALL_NONE;
    event->protocol = watched->protocol;
    event->role = watched->role;
    event->flags = FLAG_PACKAGES_COUNTED;
    describe_addresses(event, sk);
    __builtin_memcpy(event->command, watched->command, sizeof(event->command));
    __builtin_memset(&event->stages, 0, sizeof(event->stages));
}

static __always_inline void describe_quality(struct quality *quality, struct watched *watched, const struct sock *sk)
{
    struct trouble *trouble = &watched->trouble;
    const struct tcp_sock *tcp = (const void *)sk;

    quality->retransmits_timeout = take(&trouble->timeout);
    quality->retransmits_fast = take(&trouble->fast);
    quality->retransmits_probe = take(&trouble->probe);
    quality->retransmits_syn = take(&trouble->syn);
    quality->zero_windows_received = take(&trouble->zero_windows_received);
    quality->zero_windows_sent = take(&trouble->zero_windows_sent);
    quality->drops_other = take(&trouble->drops_other);
    for (int i = 0; i < DROPS; i++) {
        quality->drops[i].reason = trouble->reasons[i];
        quality->drops[i].count = take(&trouble->drops[i]);
    }
    bpf_probe_read_kernel(&quality->round_trip_us, sizeof(u32), &tcp->srtt_us);
    bpf_probe_read_kernel(&quality->round_trip_variation_us, sizeof(u32), &tcp->mdev_us);
    bpf_probe_read_kernel(&quality->round_trip_minimum_us, sizeof(u32), (void *)sk + ROUND_TRIP_MINIMUM_OFFSET);
    bpf_probe_read_kernel(&quality->segments_out, sizeof(u32), &tcp->segs_out);
    bpf_probe_read_kernel(&quality->segments_in, sizeof(u32), &tcp->segs_in);
    quality->round_trip_us >>= 3;           /* the kernel keeps eighths */
    quality->round_trip_variation_us >>= 2; /* and quarters */
}

static __always_inline void report_quality(struct watched *watched, struct sock *sk)
{
    struct event *event = events.ringbuf_reserve(sizeof(struct event));

    if (!event) {
        count(LOST_RING_FULL, 1);
        return;
    }
    describe_watched(event, watched, sk, EVENT_QUALITY);
    describe_quality(&event->quality, watched, sk);
    events.ringbuf_submit(event, wakeup_for(event, 1));
}

/* After the transfer's own event. */
static __always_inline void report_trouble(struct sock *sk)
{
    struct watched *watched = watched_of(sk);

    if (watched && watched->protocol == PROTOCOL_TCP && take(&watched->trouble.happened))
        report_quality(watched, sk);
}

static __always_inline void report_left(struct watched *watched, struct sock *sk, u8 kind)
{
    struct event *event = events.ringbuf_reserve(sizeof(struct event));

    if (!event) {
        count(LOST_RING_FULL, 1);
        return;
    }
    describe_watched(event, watched, sk, kind);
    if (kind == EVENT_LATE_WRITE)
        take_sent(&event->stages, watched);
    else
        take_received(&event->stages, watched);
    events.ringbuf_submit(event, wakeup_for(event, 1));
}

/* Its packages are all sent, and it receives no more. */
static __always_inline int destroy_tcp(struct sock *sk)
{
    struct watched *watched = watched_of(sk);

    if (!watched)
        return 0;
    if (watched->process) {
        if (watched->sent.packages | watched->sent.retransmits)
            report_left(watched, sk, EVENT_LATE_WRITE);
        if (watched->received.packages)
            report_left(watched, sk, EVENT_LATE_READ);
        report_quality(watched, sk);
    }
    forget_socket(sk);
    return 0;
}

static __always_inline int destroy_udp(struct sock *sk)
{
    if (watched_of(sk))
        forget_socket(sk);
    return 0;
}

static __always_inline void describe_listening(struct listening *place, const struct sock *sk)
{
    __be16 port = 0;

    /* Not skc_num, its copy: that is cleared before the end of a listener on a port of the kernel's choice is announced. */
    bpf_probe_read_kernel(&port, sizeof(port), &((struct inet_sock *)sk)->inet_sport);
    place->port = bpf_ntohs(port);
    place->network_namespace = namespace_of(sk);
}

/* A connection that is complete and waits to be accepted, where a watched process listens. */
static __always_inline void establish(struct sock *sk)
{
    struct listening place = {};
    struct watched *watched;

    describe_listening(&place, sk);
    if (!listeners.lookup(&place))
        return;
    watched = enter_socket(sk, 0);
    if (!watched)
        return;
    watched->network_namespace = place.network_namespace;
    watched->protocol = PROTOCOL_TCP;
    watched->role = ROLE_SERVER;
}

/* A watched process listens, or waits for a connection, there. */
static __always_inline void watch_listener(const struct sock *sk)
{
/* Nothing else tells when the listener, and a connection to it, ends. */
#if defined(HOOK_socket_state) && defined(HOOK_tcp_destroy)
    struct listening place = {};
    u8 present = 1;

    describe_listening(&place, sk);
    if (!listeners.lookup(&place) && listeners.update(&place, &present))
        count(INCOMPLETE_STAGES_FULL, 1);
#endif
}

static __always_inline void forget_listener(const struct sock *sk)
{
    struct listening place = {};

    describe_listening(&place, sk);
    listeners.delete(&place);
}

static __always_inline int change_socket_state(struct sock *sk, int old_state, int new_state)
{
    if (old_state == STATE_SYN_RECEIVED && new_state == STATE_ESTABLISHED)
        establish(sk);
    else if (old_state == STATE_LISTEN && new_state == STATE_CLOSE)
        forget_listener(sk);
    return 0;
}
