"""What Laurel's speed is, in ratios to a bare gRPC echo on the same machine: `make bench`."""
