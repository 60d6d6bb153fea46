"""From kernel events to connections and their logs."""
