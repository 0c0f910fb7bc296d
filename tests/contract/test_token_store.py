"""What the refresh protocol relies on, for every Secrets Manager that the tests or the product use (services.py)."""

import json
import uuid
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.services import Service
from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
from token_vending.errors import ConfigurationError, StoreUnavailable
from token_vending.ports import AlreadyAnnounced, LabelHeld
from token_vending.token import History, Intent, Token

NOW = datetime(2026, 11, 24, 2, 15, 0, 123456, tzinfo=UTC)
ABSENT = "no-such-secret"


def version() -> str:
    return str(uuid.uuid4())


def token(**changes: Any) -> Token:
    plain = Token(
        version=version(),
        issued_at=NOW,
        expires_at=NOW + timedelta(days=365),
        credentials_version="standby:" + version(),
        reason="rejected",
        run="run-1/" + version(),
        user_id="1x2",
        suspect_until=NOW + timedelta(minutes=5),
        history=History((NOW - timedelta(minutes=20), NOW), 2, NOW),
        _secret="bus|made-up|tökèn \N{KEY}",
    )
    return replace(plain, **changes)


def intent() -> Intent:
    return Intent(version(), "run-1", NOW, "too_old")


def current(store: SecretsManagerStore) -> Token | Intent | None:
    return store.read_version(store.labels()["AWSCURRENT"])


def put_intent(store: SecretsManagerStore) -> str:
    written = intent()
    store.put_intent(written)
    return written.version


# Versions -----------------------------------------------------------------------------------------------


def test_a_secret_without_a_version_holds_nothing(store: SecretsManagerStore) -> None:
    assert store.labels() == {}
    assert store.versions_kept(NOW) == 0


def test_a_token_comes_back_as_it_was_written(store: SecretsManagerStore) -> None:
    written = token()
    store.put_token(written)
    read = current(store)
    assert read == written
    assert isinstance(read, Token)
    assert read.access_token() == written.access_token()


def test_an_intent_comes_back_as_it_was_written_and_is_current_if_it_is_the_first_version(
    store: SecretsManagerStore,
) -> None:
    written = intent()
    store.put_intent(written)
    assert current(store) == written
    assert store.labels() == dict.fromkeys(("INTENT", "MINTING", "AWSCURRENT"), written.version)


def test_an_intent_takes_label_and_lock_and_leaves_the_current_token_alone(
    store: SecretsManagerStore,
) -> None:
    held = token()
    store.put_token(held)
    for _ in range(2):
        latest = put_intent(store)
        assert current(store) == held
        assert store.labels() == {"AWSCURRENT": held.version, "INTENT": latest, "MINTING": latest}


def test_an_intent_is_created_once_and_another_ones_is_shown(store: SecretsManagerStore) -> None:
    theirs = intent()
    store.put_intent(theirs)
    store.put_intent(theirs)
    put_intent(store)
    before = store.labels()
    with pytest.raises(AlreadyAnnounced) as taken:
        store.put_intent(replace(theirs, attempt="another"))
    assert taken.value.record == theirs
    assert store.labels() == before
    assert store.versions_kept(datetime.now(UTC) + timedelta(days=400)) == 2


def test_a_new_token_is_current_the_old_one_previous_and_neither_is_overwritten(
    store: SecretsManagerStore,
) -> None:
    old, new = token(), token()
    for written in (old, new, new):
        store.put_token(written)
    with pytest.raises(StoreUnavailable):
        store.put_token(replace(new, run="another"))
    assert store.labels() == {"AWSCURRENT": new.version, "AWSPREVIOUS": old.version}
    assert current(store) == new


def test_a_version_that_cannot_be_found_may_come_later(store: SecretsManagerStore) -> None:
    store.put_token(token())
    with pytest.raises(StoreUnavailable, match="cannot be read yet"):
        store.read_version(version())


# Labels -------------------------------------------------------------------------------------------------

HELD = "LabelHeld"
MOVES = {
    "a free label is taken": (None, "mine", None, "mine"),
    "a held label is not taken": ("theirs", "mine", None, HELD),
    "a held label is taken over by naming its holder": ("theirs", "mine", "theirs", "mine"),
    "a held label is not taken over from another than its holder": ("theirs", "mine", "third", HELD),
    "a free label is not taken over": (None, "mine", "theirs", HELD),
    "taking a label again is harmless": ("mine", "mine", None, "mine"),
    "taking a label again from its former holder is harmless": ("mine", "mine", "theirs", "mine"),
    "a label is taken off": ("mine", None, "mine", None),
    "a label is not taken off another version": ("theirs", None, "mine", HELD),
    "taking off a label that lies nowhere is harmless": (None, None, "mine", None),
}


@pytest.mark.parametrize(("lies_on", "to", "expected_on", "then"), MOVES.values(), ids=MOVES)
def test_a_label_leaves_only_the_version_that_it_is_expected_on(
    store: SecretsManagerStore, lies_on: str | None, to: str | None, expected_on: str | None, then: str | None
) -> None:
    versions: dict[str | None, str | None] = {name: put_intent(store) for name in ("third", "theirs", "mine")}
    if lies_on is not None:
        store.move_label("ABANDONED", to=versions[lies_on] or "", expected_on=None)
    with pytest.raises(LabelHeld) if then == HELD else nullcontext():
        if to is not None:
            store.move_label("ABANDONED", to=versions[to] or "", expected_on=versions.get(expected_on))
        else:
            store.remove_label("ABANDONED", expected_on=versions[expected_on] or "")
    assert store.labels().get("ABANDONED") == versions.get(lies_on if then == HELD else then)


def test_labels_of_ours_survive_a_new_token(store: SecretsManagerStore) -> None:
    mine = put_intent(store)
    ours = ("ABANDONED", f"REFUSED-standby:{mine}")
    for label in ours:
        store.move_label(label, to=mine, expected_on=None)
    store.put_token(token())
    assert [store.labels()[label] for label in ours] == [mine, mine]


def test_a_secret_holds_twenty_labels(store: SecretsManagerStore) -> None:
    mine = put_intent(store)
    for number in range(17):
        store.move_label(f"REFUSED-{number}", to=mine, expected_on=None)
    with pytest.raises(StoreUnavailable, match="LimitExceededException"):
        store.move_label("ABANDONED", to=mine, expected_on=None)


# A secret that does not exist ----------------------------------------------------------------------------


def test_an_absent_secret_is_a_configuration_error_to_write_to(service: Service) -> None:
    absent = SecretsManagerStore(service.client, ABSENT)
    for use in (absent.labels, lambda: absent.put_intent(intent()), lambda: absent.put_token(token())):
        with pytest.raises(ConfigurationError, match=ABSENT):
            use()


# Credentials ---------------------------------------------------------------------------------------------


def test_credentials_that_were_never_set_are_a_configuration_error(service: Service) -> None:
    for secret_id in (service.secret_id, ABSENT):
        with pytest.raises(ConfigurationError, match="never set"):
            SecretsManagerCredentials(service.client, secret_id).read()


def test_an_account_knows_the_tokens_it_minted(service: Service) -> None:
    service.put(json.dumps({"username": "b@example.com", "password": "made-up"}))
    primary = SecretsManagerCredentials(service.client, service.secret_id)
    standby = SecretsManagerCredentials(service.client, service.secret_id, account="standby")
    for source, other in ((primary, standby), (standby, primary)):
        assert source.owns(source.read().version)
        assert not other.owns(source.read().version)
