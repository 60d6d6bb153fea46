"""A gRPC client over HTTP/2 for streams that go one way: one call at a time, whole batches in large frames.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and RFC 9113.
"""
