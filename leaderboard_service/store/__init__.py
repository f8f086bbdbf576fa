"""All access to Redis: key names, scripts, reads and writes."""
