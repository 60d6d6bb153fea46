"""C programs that run in the kernel; text files, compiled by the agent at start."""
