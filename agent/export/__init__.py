"""From logs to delivered access-log streams."""
