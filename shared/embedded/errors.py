"""The errors of the embedded servers: each a line that a person can act on."""


class EmbeddedError(RuntimeError):
    """An embedded server cannot be set up, started or stopped; the message is one clear line."""


class RefusedError(EmbeddedError):
    """The stack cannot start as it is set up: a bad setting, a port or folder that is in use."""


class LateError(EmbeddedError):
    """Something did not come about in time."""
