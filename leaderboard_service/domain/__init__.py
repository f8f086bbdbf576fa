"""What a board is and what changes do to it. Pure."""
