/* Packages in a socket's queue that have not been read: when they came, and up to where they reach.
 *
 * What:  groups of packages, in the order in which they came; the oldest leave when the reader has come behind their end.
 *        Where all groups are in use, the last one grows.
 * Why so careful: softirq on several processors adds (UDP), and several threads that read the same socket take, all at the
 *        same time and without a lock. A package may be missed then, or be in a group twice. But no group is told that is
 *        not there, and no time that is below zero or longer than its packages can have waited. So times are kept from the
 *        first arrival of their group on: what is lost of a sum is never the time since the machine has started.
 * Lost without it: kernelLogs.read.l2Metrics.totalRcvPackageFromQueueDuration.
 */
#ifndef PYROVER_STAGES_WAITING_H
#define PYROVER_STAGES_WAITING_H

#define WAITING_GROUPS 8 /* a power of two */

struct waiting {
    u64 first_ns; /* when the first one came */
    u64 later_ns; /* sum of how much later the others did */
    u32 end;      /* TCP: sequence number behind the last byte; UDP: number of the last datagram */
    u32 packages; /* 0 once they are taken */
};

struct waiting_queue {
    struct waiting groups[WAITING_GROUPS];
    u32 first; /* grows with each group that was read; two readers may take it beyond `next` */
    u32 next;  /* grows with each group that came */
};

/* Notes a package. A new group is complete before a reader can see it. */
static __always_inline void queue_received(struct waiting_queue *queue, u32 end, u64 now)
{
    int is_new = (s32)(queue->next - queue->first) < WAITING_GROUPS;
    struct waiting *group = &queue->groups[(queue->next - !is_new) & (WAITING_GROUPS - 1)];

    group->end = end;
    if (is_new || !group->packages) {
        group->first_ns = now;
        group->later_ns = 0;
        group->packages = 1;
    } else {
        __sync_fetch_and_add(&group->later_ns, now - group->first_ns);
        __sync_fetch_and_add(&group->packages, 1);
    }
    asm volatile("" ::: "memory");
    if (is_new)
        queue->next++;
}

/* How long the packages of a group have waited. One that came since `now` was read has not. */
static __always_inline u64 take_group(struct waiting *group, u64 now)
{
    s64 waited = group->packages * (now - group->first_ns) - group->later_ns;

    group->packages = 0;
    return waited > 0 ? waited : 0;
}

/* How long the packages that were read by now have waited: those up to `reached`. */
static __always_inline u64 take_waiting(struct waiting_queue *queue, u32 reached, u64 now)
{
    u64 waited = 0;

    for (u32 i = 0; i < WAITING_GROUPS; i++) {
        struct waiting *group = &queue->groups[queue->first & (WAITING_GROUPS - 1)];

        if ((s32)(queue->next - queue->first) <= 0 || (s32)(reached - group->end) < 0)
            break;
        waited += take_group(group, now);
        queue->first++;
    }
    return waited;
}

#endif
