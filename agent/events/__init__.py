"""Kernel events as columns: their layout, their sources, their recordings."""
