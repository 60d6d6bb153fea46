"""From batches of logs to stored values, and from stored values to what they mean."""
