"""Telling the backend which processes there are."""
