"""The simulated year, in part: what `make year` shows at length holds in the weeks that matter."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.simulation import CREDENTIALS
from tests.simulation import year as simulated
from token_vending.token import utc_now

QUIET, VENDOR_DOWN, PASSWORD_EXPIRES, FOREIGN_MINTER, NO_CALLS, CONTROL = simulated.SCENARIOS


@pytest.fixture(autouse=True)
def real_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated year sets the telemetry's clock; put it back afterwards."""
    monkeypatch.setattr("token_vending.telemetry.utc_now", utc_now)


def live(scenario: simulated.Scenario, days: int) -> simulated.Year:
    (year,) = simulated.live_through((scenario,), days)
    return year


def symptoms(year: simulated.Year) -> set[str]:
    return {
        name
        for name, alarm in year.alarms.metric_alarms.items()
        if any(state == "ALARM" for _, state in alarm.history)
    }


def test_no_alarm_goes_off_in_quiet_months() -> None:
    year = live(QUIET, 43)
    assert symptoms(year) == set()
    assert year.pages == []
    assert (year.dead, year.counts["failed calls"]) == (timedelta(0), 0)
    assert len(year.mints) == 3, "on day 0, and at each age of 21 days"


def test_five_days_without_the_vendor_page_once_and_cost_callers_nothing() -> None:
    year = live(VENDOR_DOWN, 47)
    assert [name for _, name in year.pages] == ["TokenTroubleAlarm"]
    assert symptoms(year) >= {"RefreshFailedAlarm", "RefreshNotSucceedingAlarm"}
    assert (year.dead, year.counts["failed calls"]) == (timedelta(0), 0)
    assert year.alarms.in_alarm() == set()


def test_an_expired_password_pages_once_and_is_sent_once() -> None:
    year = live(PASSWORD_EXPIRES, 46)
    assert [name for _, name in year.pages] == ["TokenTroubleAlarm"]
    assert "CredentialsLatchedAlarm" in symptoms(year)
    refused = [p for _, p in year.world.personr.sent].count("the first password")
    assert refused == 3, "two mints, and the one refusal"
    assert year.dead == timedelta(0)
    assert year.world.secrets.versions(CREDENTIALS)
    assert year.alarms.in_alarm() == set()


def test_a_weekly_foreign_mint_is_healed_by_the_first_call_that_notices() -> None:
    year = live(FOREIGN_MINTER, 28)
    assert year.counts["rejections"] == 3
    assert year.counts["failed calls"] == 0
    assert year.dead < 3 * (simulated.TICK + timedelta(minutes=1))
    assert year.dead_days == 0


@pytest.mark.parametrize(("scenario", "dead"), [(NO_CALLS, False), (CONTROL, True)])
def test_the_age_bound_keeps_an_idle_token_alive(scenario: simulated.Scenario, *, dead: bool) -> None:
    idle = replace(scenario, calls=lambda elapsed: elapsed < timedelta(days=1))
    assert (live(idle, 33).dead_days > 0) is dead
