"""The `laurel` command; its clients speak only gRPC."""
