"""What this host knows about the processes behind the sockets, and the names that follow from it."""
