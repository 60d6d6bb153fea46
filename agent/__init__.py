"""pyrover-agent: watches the network calls of every process on a Linux node from inside the kernel."""
