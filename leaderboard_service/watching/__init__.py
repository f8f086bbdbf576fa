"""Boards that are watched: read again when they change, and sent to all who watch them."""
