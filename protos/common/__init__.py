"""Values and commands shared by every service."""
