"""Health of a server, as gRPC asks for it."""
