"""A fast hash for secrets that are random anyway."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class RandomSecretHasher(PBKDF2PasswordHasher):
    """One round: stretching guards weak passwords, a random secret has no need of it.

    The default's 1,000,000 rounds cost 240 ms of a core for every token a grid system
    asks for.
    """

    algorithm = "random_secret"
    iterations = 1
