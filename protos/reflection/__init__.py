"""What a server offers, as gRPC asks for it."""
