"""From bytes of a gRPC body to columns of access logs."""
