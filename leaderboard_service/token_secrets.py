"""LAUREL_TOKEN_SECRET, which has to be the same in both services."""

import structlog

from shared.errors import Unavailable
from shared.trouble import Trouble

log = structlog.get_logger(__name__)


class TokenSecrets:
    """Whether both services sign with one secret, as far as their tokens have shown."""

    def __init__(self) -> None:
        self._trouble = Trouble(log)

    @property
    def differ(self) -> bool:
        """Whether the last that was shown is that they differ."""
        return self._trouble.present

    def found_different(self) -> Unavailable:
        """One service has refused a token that the other has signed: an error for the operator's
        log, once; and the caller's, whose token is right.
        """
        error = Unavailable(
            "TOKEN_SECRETS_DIFFER", "The services do not take each other's tokens at present."
        )
        self._trouble.failed("LAUREL_TOKEN_SECRET differs between the services", error)
        return error

    def found_same(self) -> None:
        """One service has taken a token that the other has signed."""
        self._trouble.over("LAUREL_TOKEN_SECRET is the same in both services again")
