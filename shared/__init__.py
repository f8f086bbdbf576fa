"""What both services stand on, and nothing of either's domain."""
