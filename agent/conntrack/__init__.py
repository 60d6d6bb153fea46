"""Address translation: what the kernel's connection tracking makes of the ends of a connection."""
