"""What the agent and the backend share beside the wire."""
