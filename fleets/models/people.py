"""Operators, customers, and the customers' accounts at a vehicle provider."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Whoever signs in: operator or customer."""

    class Meta(AbstractUser.Meta):
        pass


class Customer(models.Model):
    """A household that lets its cars pause."""

    user = models.OneToOneField(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="customer"
    )
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class ProviderAccount(models.Model):
    """A customer's account at a vehicle provider, by the provider's own user id."""

    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="provider_accounts"
    )
    provider = models.CharField(max_length=30, default="smartcar")
    external_id = models.CharField(max_length=100)
    connected_at = models.DateTimeField()
    # The owner must sign in at the maker again; told by a failed command, not by a
    # signal (those cry wolf daily).
    reconnect_needed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Every batch of outcomes: who of these had lost access. Mostly nobody.
            models.Index(
                fields=["external_id"],
                condition=models.Q(reconnect_needed_at__isnull=False),
                name="account_to_reconnect",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "external_id"], name="one_account_per_provider_user"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.external_id}"
