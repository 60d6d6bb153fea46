"""Alarms, as a server of gRPC is told of them."""
