"""How a grid system gets a token."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from oauth2_provider.models import AccessToken

from dispatch.models import AuditEntry, GridClient
from tests.dispatch.api.conftest import EVENTS
from tests.factories import SECRET

pytestmark = pytest.mark.django_db

TOKEN = "/oauth2/token/"


def basic(client: GridClient, secret: str = SECRET) -> dict[str, str]:
    pair = b64encode(f"{client.client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def test_a_secret_is_stored_under_the_fast_hash(
    make_client: Callable[..., GridClient],
) -> None:
    assert make_client().client_secret.startswith("random_secret$1$")


def test_a_token_is_granted_in_no_time(
    make_client: Callable[..., GridClient], client: Client
) -> None:
    headers = basic(make_client())
    form = {"grant_type": "client_credentials", "scope": "events:read"}
    client.post(TOKEN, form, headers=headers)  # imports what it needs

    began = time.process_time()
    response = client.post(TOKEN, form, headers=headers)
    took = time.process_time() - began

    assert response.status_code == 200
    # The default hash alone takes 240 ms.
    assert took < 0.1
    answer = response.json()
    assert (answer["token_type"], answer["scope"]) == ("Bearer", "events:read")
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert client.get(EVENTS, headers=bearer).status_code == 200


def test_a_wrong_secret_gets_no_token(
    make_client: Callable[..., GridClient], client: Client
) -> None:
    response = client.post(
        TOKEN,
        {"grant_type": "client_credentials"},
        headers=basic(make_client(), "guess"),
    )

    assert response.status_code == 401


def test_a_revoked_token_opens_nothing(
    make_client: Callable[..., GridClient], client: Client
) -> None:
    headers = basic(make_client())
    token = client.post(
        TOKEN, {"grant_type": "client_credentials"}, headers=headers
    ).json()["access_token"]

    client.post("/oauth2/revoke_token/", {"token": token}, headers=headers)

    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get(EVENTS, headers=bearer).status_code == 401


@pytest.mark.parametrize("page", ["authorize/", "applications/", "introspect/"])
def test_the_librarys_other_pages_are_shut(client: Client, page: str) -> None:
    assert client.get(f"/oauth2/{page}").status_code == 404


def test_the_command_prints_a_secret_that_works(client: Client) -> None:
    out = StringIO()

    call_command("grid_client", "north grid", stdout=out)

    printed = dict(line.split("=", 1) for line in out.getvalue().splitlines())
    grid = GridClient.objects.get(client_id=printed["client_id"])
    response = client.post(
        TOKEN,
        {"grant_type": "client_credentials"},
        headers=basic(grid, printed["client_secret"]),
    )
    assert response.status_code == 200
    assert AuditEntry.objects.get().subject == "client north grid"


def test_a_name_is_given_once(make_client: Callable[..., GridClient]) -> None:
    make_client("north grid")

    with pytest.raises(CommandError, match="already"):
        call_command("grid_client", "north grid")


@pytest.mark.parametrize(
    "model", ["accesstoken", "grant", "idtoken", "refreshtoken", "gridclient"]
)
def test_nobody_becomes_a_machine_in_the_back_office(
    make_client: Callable[..., GridClient], admin_client: Client, model: str
) -> None:
    """One person would ask for an event there, and approve it by the own name."""
    app = "dispatch" if model == "gridclient" else "oauth2_provider"
    client = make_client()
    page = reverse("admin:dispatch_gridclient_change", args=[client.pk])

    assert admin_client.get(reverse(f"admin:{app}_{model}_add")).status_code == 403
    admin_client.post(page, {"client_secret": "mine", "name": "mine"})

    before = client.client_secret
    client.refresh_from_db()
    assert (client.client_secret, client.name != "mine") == (before, True)
    assert before not in admin_client.get(page).content.decode()


def test_a_stolen_token_is_taken_away_in_the_back_office(
    make_client: Callable[..., GridClient], client: Client, admin_client: Client
) -> None:
    headers = basic(make_client())
    form = {"grant_type": "client_credentials", "scope": "events:read"}
    token = client.post(TOKEN, form, headers=headers).json()["access_token"]
    row = AccessToken.objects.get()

    shown = admin_client.get(
        reverse("admin:oauth2_provider_accesstoken_change", args=[row.pk])
    )
    admin_client.post(
        reverse("admin:oauth2_provider_accesstoken_delete", args=[row.pk]),
        {"post": "yes"},
    )

    assert token not in shown.content.decode()
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client().get(EVENTS, headers=bearer).status_code == 401
