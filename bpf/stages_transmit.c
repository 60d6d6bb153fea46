/* The way of a package from the socket to the wire.
 *
 * What:  tcp_sendmsg (L4) > __tcp_transmit_skb (a package) > __ip_queue_xmit, inet6_csk_xmit, ip_send_skb, ip6_send_skb
 *        (L3) > ip_output, ip_finish_output2, neighbour, netfilter > __dev_queue_xmit (L2) > the driver.
 * Why:   what a write costs is known by stage; packages that leave later, by acknowledgements, timers or in other
 *        threads, are counted for the connection that they belong to.
 * How:   while a package of a watched socket is in L3 there is a frame on a stack of its context: the thread, or the
 *        processor while its idle task is interrupted. Softirq runs on top of whatever it interrupts and is done before
 *        that goes on, so the frames of a context are a stack even then. The exits of functions carry no arguments where
 *        they are kprobes: a function that is entered for another package meanwhile is counted, and its exit too, so the
 *        frame knows its own.
 * Lost without it: kernelLogs.write.l4Metrics, l3Metrics and l2Metrics; see agent/kernel/stage_hooks.py, hook by hook.
 */

#define FRAMES 2
#define FRAME_STALE_NS 1000000000ULL /* an exit that was never seen: no package stays in L3 for a second */

/* A function on the way of a frame's package. */
struct passage {
    u64 enter_ns; /* 0 when the package is not inside */
    u64 foreign;  /* entries by other packages, on top of the frame's own */
};

struct frame {
    u64 socket;
    u64 is_own; /* in a write call of this thread on this socket */
    u64 local_ns;
    u64 output_ns;
    u64 ready_ns;
    u64 driver_ns;
    u64 package;
    struct passage network;
    struct passage neighbour;
    struct passage netfilter;
    struct passage device;
    struct stages stages; /* what has come together */
};

struct sending {
    u64 depth;
    struct frame frames[FRAMES];
};

/* Context -> the packages that it has in L3. Entries stay until the thread ends. */
BPF_HASH(sending_contexts, u64, struct sending, SIZED_AT_LOAD);

BPF_ARRAY(empty_sending, struct sending, 1);

struct held {
    u64 socket;
    u64 enter_ns;
    u64 is_whole; /* the driver's end is the end of L2: nothing else tells */
};

/* struct sk_buff * -> a package that a queueing discipline holds back. */
BPF_TABLE("lru_hash", u64, struct held, held_packages, SIZED_AT_LOAD);

/* The package that this processor's driver has in hand, when it is not one of the context's own frame. */
struct driving {
    u64 package;
    u64 enter_ns;
    struct held held;
};

BPF_PERCPU_ARRAY(drivers, struct driving, 1);

static __always_inline u64 context_key(void)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();

    return pid_tgid ? pid_tgid : 1ULL << 63 | bpf_get_smp_processor_id();
}

static __always_inline struct frame *top_of(struct sending *sending)
{
    u64 depth = sending->depth;

    return depth ? &sending->frames[(depth - 1) & (FRAMES - 1)] : NULL;
}

static __always_inline struct frame *current_frame(void)
{
    u64 key = context_key();
    struct sending *sending;

    if (!is_anything_watched())
        return NULL;
    sending = sending_contexts.lookup(&key);
    return sending ? top_of(sending) : NULL;
}

static __always_inline struct sock *socket_of_package(const struct sk_buff *skb)
{
    struct sock *sk = NULL;

    bpf_probe_read_kernel(&sk, sizeof(sk), &skb->sk);
    return sk;
}

/* The frame of this very package, if it has one. */
static __always_inline struct frame *frame_of(const struct sk_buff *skb)
{
    struct frame *frame = current_frame();

    return frame && (u64)socket_of_package(skb) == frame->socket ? frame : NULL;
}

static __always_inline void enter_passage(struct passage *passage, int is_own)
{
    if (passage->enter_ns)
        passage->foreign++;
    else if (is_own)
        passage->enter_ns = bpf_ktime_get_ns();
}

/* The time inside when this is the exit of the frame's own package, else 0. */
static __always_inline u64 leave_passage(struct passage *passage)
{
    u64 spent = 0;

    if (!passage->enter_ns)
        return 0;
    if (passage->foreign) {
        passage->foreign--;
        return 0;
    }
    spent = bpf_ktime_get_ns() - passage->enter_ns;
    passage->enter_ns = 0;
    return spent;
}

/* The write call that this thread is in, when it is on this socket. */
static __always_inline struct transfer *own_write(const struct sock *sk, u64 pid_tgid)
{
    struct transfer *transfer = transfers.lookup(&pid_tgid);

    if (!transfer || transfer->kind != EVENT_WRITE || transfer->sk != sk)
        return NULL;
#ifdef HOOK_send
    /* Outside of sendmsg a packet of this socket can only be sent by softirq, which happens to run here. */
    if (!transfer->send_depth)
        return NULL;
#endif
    return transfer;
}

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

static __always_inline struct frame *push_frame(u64 key)
{
    struct sending *sending = sending_contexts.lookup(&key);
    u32 zero = 0;

    if (!sending) {
        struct sending *empty = empty_sending.lookup(&zero);

        if (!empty)
            return NULL;
        sending_contexts.update(&key, empty);
        sending = sending_contexts.lookup(&key);
        if (!sending)
            goto full;
    }
    if (sending->depth && bpf_ktime_get_ns() - sending->frames[0].network.enter_ns > FRAME_STALE_NS)
        sending->depth = 0;
    if (sending->depth >= FRAMES)
        goto full;
    sending->depth++;
    return top_of(sending);
full:
    count(INCOMPLETE_SENDING_FULL, 1);
    return NULL;
}

/* A package of this socket enters L3. */
static __always_inline int enter_network(struct sock *sk, struct sk_buff *skb, int is_local_out)
{
    struct watched *watched = watched_of(sk);
    struct frame *frame;
    u64 now;

    if (!watched) {
        frame = current_frame();
        if (frame)
            frame->network.foreign++;
        return 0;
    }
    if (watched->protocol == PROTOCOL_TCP) {
        note_window_sent(watched, skb);
    } else {
        struct udp_header header = {};

        read_transport_header(skb, &header, sizeof(header));
        count_package(sk, bpf_ntohs(header.length) - sizeof(header));
    }
    frame = push_frame(context_key());
    if (!frame)
        return 0;
    now = bpf_ktime_get_ns();
    __builtin_memset(frame, 0, sizeof(*frame));
    frame->socket = (u64)sk;
    frame->is_own = own_write(sk, bpf_get_current_pid_tgid()) != NULL;
    frame->network.enter_ns = now;
    if (is_local_out)
        frame->local_ns = now;
    return 0;
}

static __always_inline int enter_network_of_socket(struct sock *sk, struct sk_buff *skb)
{
    return enter_network(sk, skb, 0);
}

/* inet6_csk_xmit routes and calls ip6_xmit, which does by itself what __ip_local_out does for others. (ip6_xmit has seven
 * arguments: before 6.12 that is one too many for fentry.) */
static __always_inline int enter_network_and_local_out(struct sock *sk, struct sk_buff *skb)
{
    return enter_network(sk, skb, 1);
}

static __always_inline int enter_network_of_package(struct sk_buff *skb)
{
    return enter_network(socket_of_package(skb), skb, 0);
}

/* Inside a call: to the call, which is this thread's own. Else to the socket. */
static __always_inline void book_frame(struct frame *frame, u64 spent)
{
    struct stages *stages = &frame->stages;
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = frame->is_own ? transfers.lookup(&pid_tgid) : NULL;
    struct watched *watched;

    if (transfer) {
        transfer->stages.l3_ns += spent;
        transfer->stages.l3_local_ns += stages->l3_local_ns;
        transfer->stages.l3_output_ns += stages->l3_output_ns;
        transfer->stages.neighbour_ns += stages->neighbour_ns;
        transfer->stages.netfilter_ns += stages->netfilter_ns;
        transfer->stages.l2_ns += stages->l2_ns;
        transfer->stages.l2_ready_ns += stages->l2_ready_ns;
        transfer->stages.l2_device_ns += stages->l2_device_ns;
        transfer->stages.neighbours += stages->neighbours;
        transfer->stages.netfilters += stages->netfilters;
        transfer->stages.queued += stages->queued;
        if (stages->interface)
            transfer->stages.interface = stages->interface;
        return;
    }
    watched = watched_sockets.lookup(&frame->socket);
    if (!watched)
        return;
    add(&watched->sent.l3_ns, spent);
    add(&watched->sent.neighbours, stages->neighbours);
    add(&watched->sent.netfilters, stages->netfilters);
    add(&watched->sent.queued, stages->queued);
    if (stages->interface)
        watched->sent.interface = stages->interface;
}

static __always_inline int leave_network(void)
{
    u64 key = context_key();
    struct sending *sending;
    struct frame *frame;
    u64 spent;

    if (!is_anything_watched())
        return 0;
    sending = sending_contexts.lookup(&key);
    if (!sending)
        return 0;
    frame = top_of(sending);
    if (!frame)
        return 0;
    if (frame->network.foreign) {
        frame->network.foreign--;
        return 0;
    }
    spent = leave_passage(&frame->network);
    sending->depth--;
    book_frame(frame, spent);
    return 0;
}

static __always_inline int enter_local_out(struct sk_buff *skb)
{
    struct frame *frame = frame_of(skb);

    if (frame)
        frame->local_ns = bpf_ktime_get_ns();
    return 0;
}

static __always_inline int enter_output(struct sk_buff *skb)
{
    struct frame *frame = frame_of(skb);

    if (!frame)
        return 0;
    frame->output_ns = bpf_ktime_get_ns();
    if (frame->local_ns)
        frame->stages.l3_local_ns += frame->output_ns - frame->local_ns;
    frame->local_ns = 0;
    return 0;
}

static __always_inline void end_output(struct frame *frame)
{
    if (frame->output_ns)
        frame->stages.l3_output_ns += bpf_ktime_get_ns() - frame->output_ns;
    frame->output_ns = 0;
}

static __always_inline int enter_finish_output(struct sk_buff *skb)
{
    struct frame *frame = frame_of(skb);

    if (frame)
        end_output(frame);
    return 0;
}

static __always_inline int enter_neighbour(struct sk_buff *skb)
{
    struct frame *frame = current_frame();
    int is_own;

    if (!frame)
        return 0;
    is_own = (u64)socket_of_package(skb) == frame->socket;
    /* The answer may come while the package that asked is still inside, and sends it. */
    if (is_own && !frame->neighbour.enter_ns)
        frame->stages.neighbours++;
    enter_passage(&frame->neighbour, is_own);
    return 0;
}

static __always_inline int leave_neighbour(void)
{
    struct frame *frame = current_frame();

    if (frame)
        frame->stages.neighbour_ns += leave_passage(&frame->neighbour);
    return 0;
}

static __always_inline void enter_netfilter_out(struct sk_buff *skb)
{
    struct frame *frame = current_frame();
    int is_own;

    if (!frame)
        return;
    is_own = (u64)socket_of_package(skb) == frame->socket;
    if (is_own)
        frame->stages.netfilters++;
    enter_passage(&frame->netfilter, is_own);
}

/* Another package, on top of the frame's own. */
static __always_inline void enter_netfilter_elsewhere(void)
{
    struct frame *frame = current_frame();

    if (frame)
        enter_passage(&frame->netfilter, 0);
}

static __always_inline void leave_netfilter_out(void)
{
    struct frame *frame = current_frame();

    if (frame)
        frame->stages.netfilter_ns += leave_passage(&frame->netfilter);
}

/* Whether the package is still at the first device it passes: one of its socket's own namespace. */
static __always_inline u32 own_interface(const struct sk_buff *skb, const struct sock *sk)
{
    struct net_device *device = NULL;
    u32 interface = 0;

    bpf_probe_read_kernel(&device, sizeof(device), &skb->dev);
    if (namespace_of_device(device) == namespace_of(sk))
        bpf_probe_read_kernel(&interface, sizeof(interface), &device->ifindex);
    return interface;
}

/* A package that waited for the hardware address of its next hop comes from outside of L3. */
static __always_inline void enter_device_alone(struct sk_buff *skb, struct sock *sk, int is_whole)
{
    struct watched *watched = watched_of(sk);
    u64 package = (u64)skb;
    struct held held = {.socket = (u64)sk, .is_whole = is_whole};
    u32 interface;

    if (!watched)
        return;
    interface = own_interface(skb, sk);
    if (!interface)
        return;
    held.enter_ns = bpf_ktime_get_ns();
    held_packages.update(&package, &held);
    add(&watched->sent.queued, 1);
    watched->sent.interface = interface;
}

static __always_inline int enter_device(struct sk_buff *skb)
{
    struct frame *frame = current_frame();
    struct sock *sk = socket_of_package(skb);
    u32 interface = 0;

    if (!frame || (u64)sk != frame->socket) {
        if (frame)
            enter_passage(&frame->device, 0);
        enter_device_alone(skb, sk, 0);
        return 0;
    }
    if (!frame->device.enter_ns)
        interface = own_interface(skb, sk);
    enter_passage(&frame->device, interface != 0);
    if (interface) {
        end_output(frame);
        frame->stages.queued++;
        frame->stages.interface = interface;
        frame->ready_ns = frame->device.enter_ns;
        frame->package = (u64)skb;
    }
    return 0;
}

/* Where only tracepoints are to be had: net_dev_queue is at the beginning of L2, and the driver's end is its end. */
static __always_inline int queue_package(struct sk_buff *skb)
{
    enter_device_alone(skb, socket_of_package(skb), 1);
    return 0;
}

/* Same: the package has its headers already. */
static __always_inline int count_queued_package(struct sk_buff *skb)
{
    struct sock *sk = socket_of_package(skb);
    struct watched *watched = watched_of(sk);
    struct tcp_header header = {};
    unsigned char *head = NULL, *data = NULL;
    u32 length = 0;
    u16 offset = 0;

    if (!watched || watched->protocol != PROTOCOL_TCP || !own_interface(skb, sk))
        return 0;
    bpf_probe_read_kernel(&head, sizeof(head), &skb->head);
    bpf_probe_read_kernel(&data, sizeof(data), &skb->data);
    bpf_probe_read_kernel(&offset, sizeof(offset), &skb->transport_header);
    bpf_probe_read_kernel(&length, sizeof(length), &skb->len);
    read_transport_header(skb, &header, sizeof(header));
    note_window_sent(watched, skb);
    count_package(sk, length - (offset - (data - head)) - (header.offset >> 4) * 4);
    return 0;
}

static __always_inline int leave_device(void)
{
    struct frame *frame = current_frame();
    u64 spent;

    if (!frame)
        return 0;
    spent = leave_passage(&frame->device);
    if (!spent)
        return 0;
    frame->stages.l2_ns += spent;
    if (frame->ready_ns) {
        /* No driver has had it: a queueing discipline holds it, or has dropped it. */
        struct held held = {.socket = frame->socket, .enter_ns = frame->ready_ns};

        held_packages.update(&frame->package, &held);
        frame->ready_ns = 0;
    }
    return 0;
}

static __always_inline int enter_driver(struct sk_buff *skb)
{
    u64 package = (u64)skb;
    u32 zero = 0;
    struct frame *frame;
    struct held *held;
    struct watched *watched;
    struct driving *driving;
    u64 now;

    if (!is_anything_watched())
        return 0;
    now = bpf_ktime_get_ns();
    frame = frame_of(skb);
    if (frame && frame->device.enter_ns) {
        if (frame->ready_ns)
            frame->stages.l2_ready_ns += now - frame->ready_ns;
        frame->ready_ns = 0;
        /* A device on top of another one hands the package on: the upper one's time contains the lower one's. */
        if (!frame->driver_ns) {
            frame->driver_ns = now;
            frame->package = package;
        }
        return 0;
    }
    held = held_packages.lookup(&package);
    driving = drivers.lookup(&zero);
    if (!held || !driving)
        return 0;
    driving->package = package;
    driving->enter_ns = now;
    driving->held = *held;
    held_packages.delete(&package);
    watched = watched_sockets.lookup(&driving->held.socket);
    if (watched)
        add(&watched->sent.ready_ns, now - driving->held.enter_ns);
    return 0;
}

/* The driver may have freed the package: its address is compared, never followed. */
static __always_inline int leave_driver(struct sk_buff *skb)
{
    u32 zero = 0;
    struct frame *frame = current_frame();
    struct driving *driving;
    struct watched *watched;

    if (frame && frame->driver_ns && frame->package == (u64)skb) {
        frame->stages.l2_device_ns += bpf_ktime_get_ns() - frame->driver_ns;
        frame->driver_ns = 0;
        return 0;
    }
    driving = drivers.lookup(&zero);
    if (!driving || driving->package != (u64)skb)
        return 0;
    driving->package = 0;
    watched = watched_sockets.lookup(&driving->held.socket);
    if (!watched)
        return 0;
    add(&watched->sent.device_ns, bpf_ktime_get_ns() - driving->enter_ns);
    if (driving->held.is_whole)
        add(&watched->sent.l2_ns, bpf_ktime_get_ns() - driving->held.enter_ns);
    return 0;
}
