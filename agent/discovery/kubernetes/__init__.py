"""The pods of this node, and what their processes are called."""
