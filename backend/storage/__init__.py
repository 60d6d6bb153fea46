"""Where entities and metrics are kept."""
