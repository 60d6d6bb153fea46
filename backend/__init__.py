"""pyrover-backend: receives access logs, works out who calls whom, and keeps per-minute metrics."""
