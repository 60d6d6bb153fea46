/* What is known of packages that arrive, before anybody knows whose they are.
 *
 * What:  times and counts of each package between the driver and L4, per processor.
 * Why per processor: until L4 nobody knows whose package it is. Reception runs to its end in softirq on one processor,
 *        so what is known of a package waits in memory of that processor, and nothing is kept in a map. The socket is
 *        known once, where L4 hands the package to it: there everything is booked.
 * How lists: drivers deliver packages in lists (up to 64 of one NAPI poll). Each passes netif_receive_skb before the
 *        first one goes on, and they go on in the same order, so a ring of the last 128 finds each at once. Functions
 *        that take a whole list leave one time for all of it.
 * Lost without it: nothing by itself.
 */
#ifndef PYROVER_STAGES_ARRIVALS_H
#define PYROVER_STAGES_ARRIVALS_H

#define ARRIVALS 128
#define LIST_LENGTH 64

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

#endif
