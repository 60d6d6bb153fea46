"""The HTTP API of Prometheus over stored metrics."""
