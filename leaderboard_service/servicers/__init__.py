"""The contract's RPCs: messages to domain and back."""
