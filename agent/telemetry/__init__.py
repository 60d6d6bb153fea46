"""What the agent tells of itself: figures, readiness, messages."""
