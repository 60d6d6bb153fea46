"""What the bytes of a connection say: the application's calls, read out of captured payload."""
