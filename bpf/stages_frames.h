/* Packages on their way down: who sends them, and where they are.
 *
 * What:  while a package of a watched socket is in L3 there is a frame for it on a stack of its context: the thread, or the
 *        processor while its idle task is interrupted. What the functions on its way find is kept in the frame, and booked
 *        when the package leaves L3: to the write call that sent it, or else to its socket.
 * Why a stack: softirq runs on top of whatever it interrupts and is done before that goes on, so the frames of a context are
 *        a stack even then. The exits of functions carry no arguments where they are kprobes: a function that is entered for
 *        another package meanwhile is counted, and its exit too, so the frame knows its own.
 * Lost without it: the stages of L3 and L2 of writes.
 */
#ifndef PYROVER_STAGES_FRAMES_H
#define PYROVER_STAGES_FRAMES_H

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

    if (!transfer || transfer->kind != EVENT_WRITE || transfer->sk != sk || transfer->is_told)
        return NULL;
#ifdef HOOK_send
    /* Outside of sendmsg a package of this socket can only be sent by softirq, which happens to run here. */
    if (!transfer->send_depth)
        return NULL;
#endif
    return transfer;
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

static __always_inline void end_output(struct frame *frame)
{
    if (frame->output_ns)
        frame->stages.l3_output_ns += bpf_ktime_get_ns() - frame->output_ns;
    frame->output_ns = 0;
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

#endif
