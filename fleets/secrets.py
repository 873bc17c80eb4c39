"""Encryption at rest for what a stolen database must not give away."""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


@lru_cache(maxsize=4)
def _cipher(secret_key: str) -> Fernet:
    derived = HKDF(SHA256(), 32, salt=None, info=b"gridbalance secrets at rest").derive(
        secret_key.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(secret: str) -> bytes:
    """Return the secret encrypted under this installation's SECRET_KEY."""
    return _cipher(settings.SECRET_KEY).encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """Return the secret; raise cryptography.fernet.InvalidToken under another key."""
    return _cipher(settings.SECRET_KEY).decrypt(bytes(sealed)).decode()
