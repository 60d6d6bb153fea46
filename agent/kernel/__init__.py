"""The kernel edge: what this kernel offers, the programs attached to it, and the events they send."""
