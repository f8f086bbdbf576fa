"""The secret of all services that tests run."""

from shared.signed_token import Signer

SECRET = "a secret for tests, 32 characters"
SIGNER = Signer(SECRET)
