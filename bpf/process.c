/* The end of a process: one event when its last thread leaves.
 *
 * What:  sched_process_exit runs for every thread that ends; only the one that leaves its group without live threads
 *        makes an event. Every thread's own entry in `calls`, `transfers` and others is removed: a thread killed where the
 *        exit of its system call is not traced would leave it behind.
 * Why a raw tracepoint: its first argument, the task, is all that is needed and has not changed since 4.17.
 * Lost without it: the end of connections that a process did not close itself.
 */

static __always_inline int exit_process(struct task_struct *task)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct transfer *transfer = transfers.lookup(&pid_tgid);
    struct signal_struct *group = NULL;
    struct event event = {};
    int live_threads = 0;
    u32 process = pid_tgid >> 32;

    calls.delete(&pid_tgid);
    if (transfer)
        give_sent_back(transfer);
    transfers.delete(&pid_tgid);
    sending_contexts.delete(&pid_tgid);
    forget_tls_thread(pid_tgid);
    forget_task(pid_tgid);
    bpf_probe_read_kernel(&group, sizeof(group), &task->signal);
    bpf_probe_read_kernel(&live_threads, sizeof(live_threads), &group->live);
    if (live_threads)
        return 0;
    if (!is_watched(pid_tgid)) {
        /* The id may come back as another process, which nobody excluded. */
        excluded_processes.delete(&process);
        return 0;
    }
    event.start_ns = bpf_ktime_get_ns();
    event.end_ns = event.start_ns;
    event.kind = EVENT_PROCESS_EXIT;
    event.descriptor = -1;
    describe_task(&event, pid_tgid);
    send_event(&event);
#ifdef ONLY_CHOSEN_PROCESSES
    /* The id may come back as another process, which nobody asked for. */
    chosen_processes.delete(&event.process);
#endif
    return 0;
}
