"""Remote read of Prometheus."""
