"""Who a connection belongs to: names, ids and resolution of its two ends."""
