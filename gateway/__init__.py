"""The gateway's configuration (data only): envoy.yaml, which shared.embedded.envoy renders."""
