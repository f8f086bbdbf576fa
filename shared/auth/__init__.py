"""Tokens: who signed them, what they say, and those that this process calls with."""
