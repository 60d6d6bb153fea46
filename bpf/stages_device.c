/* L2 of a write: a package from the device's queue to its driver.
 *
 * What:  __dev_queue_xmit > the driver, and what a queueing discipline holds back in between.
 * Why:   a package that waits in a queue, or for its driver, is late for a reason that no other stage shows. One that is held
 *        back leaves in another context: it is found again by its own address.
 * Lost without it: kernelLogs.write.l2Metrics; see agent/kernel/stage_hooks.py, hook by hook.
 */

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
    /* One that was dropped, or cut into several, never came here: its address may be another socket's package by now. */
    if (!held || !driving || held->socket != (u64)socket_of_package(skb))
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
