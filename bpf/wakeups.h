/* Waking the reader of the rings, when it has asked for that: seldom, because a wake-up costs more than an event.
 *
 * What:  user space says what it wants to be woken for, and sleeps. An event wakes it, once, when that much has come into
 *        a ring since, or when it is of a task that was not seen under its name before: what is to be read of it from
 *        /proc is there for as long as it is.
 * Why:   a reader that looks by itself whether there is a reason does so a hundred times a second, mostly in vain.
 * Lost without it: nothing at low rates; at high ones, what the rings have no room for until the reader looks by itself.
 *
 * The tasks that were seen are kept in places by the last bits of their thread's number. Two that share one are told for
 * new in turn; the reader knows better, and asks less often then. Nothing is locked: of two that write at once one may be
 * told for new again.
 */
#ifndef PYROVER_WAKEUPS_H
#define PYROVER_WAKEUPS_H

#define SEEN_TASKS 4096 /* a power of two */

/* What user space waits for: agent/kernel/wakeups.py writes it. */
struct sleeper {
    u64 sleeps;       /* 0 once it was woken */
    s64 events_left;  /* so many events are not yet a reason to wake it */
    s64 payload_left; /* so many bytes of fragments */
    u64 new_tasks;    /* whether they are */
};

struct seen_task {
    u64 command[COMMAND_BYTES / 8];
    u32 thread;
    u32 unused;
};

BPF_ARRAY(sleeper, struct sleeper, 1);
BPF_ARRAY(seen_tasks, struct seen_task, SEEN_TASKS);

/* The reader, where it sleeps. */
static __always_inline struct sleeper *find_sleeper(void)
{
    u32 only = 0;
    struct sleeper *reader = sleeper.lookup(&only);

    return reader && reader->sleeps ? reader : NULL;
}

/* Notes the task of an event that its process is read for; whether it is new. */
static __always_inline u64 note_task(const struct event *event)
{
    u32 place = event->thread & (SEEN_TASKS - 1);
    struct seen_task *seen = seen_tasks.lookup(&place);
    u64 command[COMMAND_BYTES / 8];

    if (!seen || !(1 << event->kind & NAMING_EVENTS))
        return 0;
    __builtin_memcpy(command, event->command, sizeof(command));
    if (seen->thread == event->thread && seen->command[0] == command[0] && seen->command[1] == command[1])
        return 0;
    seen->thread = event->thread;
    seen->command[0] = command[0];
    seen->command[1] = command[1];
    return 1;
}

/* A thread ends: its number may come back as another one's. */
static __always_inline void forget_task(u32 thread)
{
    u32 place = thread & (SEEN_TASKS - 1);
    struct seen_task *seen = seen_tasks.lookup(&place);

    if (seen && seen->thread == thread)
        seen->thread = 0;
}

/* Notes bytes in the ring of payload: the event that they belong to, which follows, wakes. */
static __always_inline void note_payload(u64 bytes)
{
    struct sleeper *reader = find_sleeper();

    if (reader)
        __sync_fetch_and_add(&reader->payload_left, -bytes);
}

/* The flags that an event is submitted with, or several of the same call. */
static __always_inline u64 wakeup_for(const struct event *event, u64 number)
{
    u64 is_new = note_task(event);
    struct sleeper *reader = find_sleeper();

    if (!reader)
        return BPF_RB_NO_WAKEUP;
    __sync_fetch_and_add(&reader->events_left, -number);
    if (!(is_new & reader->new_tasks) && reader->events_left > 0 && reader->payload_left > 0)
        return BPF_RB_NO_WAKEUP;
    reader->sleeps = 0;
    return BPF_RB_FORCE_WAKEUP;
}

#endif
