"""The gateway's configuration (data only), which shared.embedded.gateway_config fills in."""
