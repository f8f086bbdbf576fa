"""Opaque texts that clients hand back, signed so that only this deployment can have made them.

A token is base64url, without padding, of 16 bytes of HMAC-SHA256 and a JSON array. The kind is
signed and not sent: a token of one kind is none of another.
"""

import base64
import binascii
import hmac
import json

_TAG_BYTES = 16
MAX_CHARS = 2048
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


class Signer:
    """Makes and opens tokens with a secret that all processes of a deployment share."""

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def sign(self, kind: str, parts: list[object]) -> str:
        """The token of these JSON values; the same for the same.

        Raises ValueError when it would be longer than MAX_CHARS.
        """
        payload = _JSON.encode(parts).encode()
        token = _encoded(self._tag(kind, payload) + payload)
        if len(token) > MAX_CHARS:
            raise ValueError("a token would be too long")
        return token

    def open(self, kind: str, token: str) -> list[object]:
        """What was signed as this kind. Raises ValueError for a text that `sign` did not give."""
        if len(token) > MAX_CHARS or not token.isascii():
            raise ValueError("not a token")
        try:
            signed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except binascii.Error:
            raise ValueError("not a token") from None
        tag, payload = signed[:_TAG_BYTES], signed[_TAG_BYTES:]
        # Base64 has several spellings of the last byte; a token has one.
        if not hmac.compare_digest(tag, self._tag(kind, payload)) or _encoded(signed) != token:
            raise ValueError("not signed here")
        parts: list[object] = json.loads(payload)
        return parts

    def _tag(self, kind: str, payload: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + b"\0" + payload, "sha256")[:_TAG_BYTES]


def _encoded(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
