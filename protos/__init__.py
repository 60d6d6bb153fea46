"""Messages of the wire: our .proto text and the Python code generated from it."""
