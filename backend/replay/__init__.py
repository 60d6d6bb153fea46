"""Sends recorded access logs to a backend."""
