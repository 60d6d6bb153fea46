"""Metrics as text: the language they are written in, and its compilation to expressions over columns."""
