"""The edge of the backend: one ASGI application for gRPC and HTTP, and the server that runs it."""
