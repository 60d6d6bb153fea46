"""Which libraries and programs encrypt, and the probes at the functions where their plain text is."""
