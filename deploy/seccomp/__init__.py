"""The system calls that an agent may make."""
