/* L2 and L3 of a read: a package from the driver to L4.
 *
 * What:  netif_receive_skb (L2) > ip_rcv, ipv6_rcv (L3) > netfilter, routing, ip_local_deliver.
 * Why:   the device, rules and routing each take their part of a read before its socket hears of it.
 * How:   by the packages of stages_arrivals.h. netfilter has one hook for both ways: which one it is of is told apart here.
 * Lost without it: kernelLogs.read.l2Metrics and l3Metrics; see agent/kernel/stage_hooks.py, hook by hook.
 */

#define NETFILTER_PRE_ROUTING 0 /* enum nf_inet_hooks */
#define NETFILTER_IN 1
#define NETFILTER_OUT 3
#define NETFILTER_POST_ROUTING 4

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
