/* L3 of a write: a package from its socket to the device.
 *
 * What:  __ip_queue_xmit, inet6_csk_xmit, ip_send_skb, ip6_send_skb > ip_output, ip_finish_output2, neighbour, netfilter.
 * Why:   routing, rules and the hardware address of the next hop each take their part of a write.
 * How:   by the frames of stages_frames.h.
 * Lost without it: kernelLogs.write.l3Metrics; see agent/kernel/stage_hooks.py, hook by hook.
 */

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
