"""Dashboards: which numbers of a service, an instance or a call are shown, read from files."""
