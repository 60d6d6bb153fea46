"""Access logs, processes and profiling."""
