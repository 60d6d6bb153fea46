/* Packages that the kernel drops, by reason.
 *
 * What:  kfree_skb tells of each package that is freed without having done its work, since 5.17 with a reason. A package
 *        on its way out names its socket; one that was handed to its socket is known here; since 6.11 the tracepoint
 *        names the receiving socket.
 * Why:   a reason says who drops: a filter rule, a full queue, a wrong checksum, a socket without room.
 * Lost without it: kernelLogs.write.l4Metrics.lossPackageMetrics.
 * Not told: packages that are dropped before L4 knows their socket; they belong to no connection yet.
 */

static __always_inline struct sock *receiver_of(const struct sk_buff *skb)
{
    struct arriving *arriving = here();

    return arriving && arriving->package == (u64)skb ? (struct sock *)arriving->socket : NULL;
}

static __always_inline void add_drop(struct trouble *trouble, u32 reason)
{
    for (int i = 0; i < DROPS; i++) {
        if (trouble->reasons[i] == reason || !trouble->reasons[i]) {
            trouble->reasons[i] = reason;
            add(&trouble->drops[i], 1);
            return;
        }
    }
    add(&trouble->drops_other, 1);
}

static __always_inline int drop_package(struct sk_buff *skb, u32 reason, struct sock *receiver)
{
    struct watched *watched = watched_of(socket_of_package(skb));

    if (!watched)
        watched = watched_of(receiver);
    if (!watched)
        watched = watched_of(receiver_of(skb));
    if (!watched)
        return 0;
    add_drop(&watched->trouble, reason);
    add(&watched->trouble.happened, 1);
    return 0;
}

static __always_inline int drop_package_of_receiver(struct sk_buff *skb, u32 reason, struct sock *receiver)
{
    return drop_package(skb, reason, receiver);
}

static __always_inline int drop_package_with_reason(struct sk_buff *skb, u32 reason)
{
    return drop_package(skb, reason, NULL);
}
