"""Everything around the two functions, put together: secrets, vendor, Lambda, and the wire between."""

import contextlib
import datetime as dt
import json
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tests.kit.personr import DEFAULT_PASSWORD, MINT_PATH, PersonrServer
from tests.kit.runtime import REFRESH, VEND, Artefact, LambdaFunction, Result
from tests.kit.secret_texts import secret_texts
from tests.kit.secrets_manager.server import ACCOUNT_ID, SecretsManager
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.wire import Wire

CREDENTIALS = "credentials"
STANDBY = "standby-credentials"
STANDBY_EMAIL = "standby-account@example.com"
STANDBY_PASSWORD = "another:horse and battery"
TOKEN = "token"
MINT = f"POST {MINT_PATH}"
STORE = "secretsmanager"
VENDOR = "vendor"
LAMBDA = "lambda"
LEASE_SECONDS = 55
MIN_AGE_SECONDS = 60
REFRESH_TIMEOUT_SECONDS = 45.0
VEND_TIMEOUT_SECONDS = 10.0
DEBUG = {
    "LOG_LEVEL": "DEBUG",
    "POWERTOOLS_LOG_LEVEL": "DEBUG",
    "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
    "POWERTOOLS_DEBUG": "true",
    "POWERTOOLS_DEV": "true",
    "POWERTOOLS_LOGGER_LOG_EVENT": "true",
    "PYTHONFAULTHANDLER": "1",
}
"""Each switch that makes a function write more than it should."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


class Stage:
    """One service account's stack with everything real but AWS and the vendor, which are stand-ins.

    The functions reach all of them through :class:`Wire` only, so that it counts every call and can break any.
    ``current`` code is run: what `sam build` made if that is up to date, else the sources. `standby` gives the
    stack a second service account. `vendor` may be the stand-in of another issuer than Personr.

    When the block ends, a leak fails it: no secret text may be in what the functions wrote or put into queues.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        artefact: Callable[[str], Artefact] = Artefact.current,
        standby: bool = False,
        vendor: PersonrServer | None = None,
    ) -> None:
        self._standby = standby
        self._stack = contextlib.ExitStack()
        self._environment = dict(environment or {})
        self._artefact = artefact
        self.secrets = SecretsManager()
        self.vendor = vendor or PersonrServer()
        self.lambda_service = LambdaService()
        self._minted: tuple[Mapping[str, Any], float] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in (self.secrets, self.vendor, self.lambda_service):
                stack.enter_context(server)
            self.credentials_arn = self.secrets.create(CREDENTIALS)
            self.secrets.put(CREDENTIALS, self.vendor.secret_value)
            self.token_arn = self.secrets.create(TOKEN)
            self._set_standby()
            upstreams = {
                STORE: self.secrets.url,
                VENDOR: self.vendor.url,
                LAMBDA: self.lambda_service.url,
            }
            self.wire = stack.enter_context(Wire(upstreams))
            self.refresh = stack.enter_context(self._function(REFRESH, "refresh", self._refresh_variables()))
            self.vend = stack.enter_context(self._function(VEND, "vend", self._vend_variables()))
            self.lambda_service.wire("refresh", self.refresh.run)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is None:
            # After the end of the processes: what they wrote last counts, too.
            self.assert_no_leak()

    def assert_no_leak(self) -> None:
        """No line that either function wrote, and no event that was passed on or put aside, holds a secret."""
        passed_on = [*self.lambda_service.invocations, *self.lambda_service.failed_events]
        seen = self.logs + json.dumps([invocation.event for invocation in passed_on], ensure_ascii=False)
        leaked = [number for number, secret in enumerate(self.secret_texts()) if secret in seen]
        # Numbers, for the failure must not print the secrets.
        assert leaked == [], "secret texts of these numbers are in the logs or the queues"

    def _function(self, logical_id: str, name: str, variables: Mapping[str, str]) -> LambdaFunction:
        seconds = REFRESH_TIMEOUT_SECONDS if logical_id == REFRESH else VEND_TIMEOUT_SECONDS
        return LambdaFunction(
            self._artefact(logical_id), {**variables, **self._environment}, name=name, timeout_seconds=seconds
        )

    def _common_variables(self) -> dict[str, str]:
        return {
            "TOKEN_SECRET_ID": self.token_arn,
            "STACK_NAME": "integration",
            "RENEW_BEFORE_DAYS": "30",
            "MAX_AGE_DAYS": "21",
            "MIN_AGE_SECONDS": str(MIN_AGE_SECONDS),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.wire.url(STORE),
            "AWS_ENDPOINT_URL_LAMBDA": self.wire.url(LAMBDA),
        }

    def _refresh_variables(self) -> dict[str, str]:
        return {
            **self._common_variables(),
            **({"STANDBY_CREDENTIALS_SECRET_ID": STANDBY} if self._standby else {}),
            "CREDENTIALS_SECRET_ID": self.credentials_arn,
            **self.vendor.settings(self.wire.url(VENDOR)),
        }

    def _vend_variables(self) -> dict[str, str]:
        return {
            **self._common_variables(),
            "CACHE_SECONDS": "300",
            "ALLOWED_CALLERS": f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service",
            "REFRESH_FUNCTION_NAME": f"arn:aws:lambda:eu-west-1:{ACCOUNT_ID}:function:refresh:live",
        }

    def start_over(self) -> None:
        """Make it as new, but for the refresh function's warm process and the logs: a start less to wait for."""
        self.lambda_service.settle()
        self.lambda_service.allow()
        self.lambda_service.forget()
        self.wire.clear_faults()
        self.secrets.allow()
        self.secrets.empty(TOKEN)
        self.secrets.empty(CREDENTIALS)
        self.secrets.put(CREDENTIALS, self.vendor.secret_value)
        self.vendor.reset_script()
        self.vendor.set_password(DEFAULT_PASSWORD)
        self.vendor.kill()
        self._set_standby()
        # It remembers what it has handed out.
        self.vend.go_cold()
        self.wire.reset_log()

    def _set_standby(self) -> None:
        if not self._standby:
            return
        self.secrets.create(STANDBY, {"email": STANDBY_EMAIL, "password": STANDBY_PASSWORD})
        self.vendor.set_password(STANDBY_PASSWORD, STANDBY_EMAIL)
        self.vendor.kill(STANDBY_EMAIL)

    # --- doing --------------------------------------------------------------------------------------------

    def tick(self, **fields: Any) -> Result:
        """Run the refresh function for an event of these fields; each call is another event unless it has an id."""
        return self.refresh.invoke(fields)

    def ask(self, **fields: Any) -> Result:
        """Invoke the vend function directly."""
        return self.vend.invoke(fields)

    def request(self, event: Any) -> Result:
        """Give the vend function an event as its URL does: through the alias `url`."""
        return self.vend.invoke(event, qualifier="url")

    def mint_first(self) -> str:
        """Mint the first token; return its version. The wire's log starts anew afterwards.

        After another `start_over` no function runs for it: what the first one stored comes back, with a new token.
        """
        secret = self.secrets._rules.secret(TOKEN)
        if self._minted is None or self._standby:
            result = self.tick()
            assert result.ok, result
            assert result.payload["outcome"] == "refreshed"
            self._minted = secret.versions, time.monotonic()
        else:
            secret.versions, minted_at = self._minted
            renewed = {
                "access_token": self.vendor.mint_elsewhere(),
                "credentials_version": self.secrets.version_of(CREDENTIALS),
            }
            self.secrets.rewrite(TOKEN, str(self.version), lambda token: {**token, **renewed})
            self.age_token(minted_at - time.monotonic())
        self.wire.reset_log()
        return str(self.version)

    # --- looking ------------------------------------------------------------------------------------------

    @property
    def stored(self) -> dict[str, Any] | None:
        """What AWSCURRENT holds; None while there is no version."""
        value = self.secrets.value(TOKEN)
        return dict(value) if value is not None else None

    @property
    def stored_token(self) -> str | None:
        """The access token that AWSCURRENT holds."""
        stored = self.stored
        return None if stored is None else stored.get("access_token")

    @property
    def version(self) -> str | None:
        """The version that AWSCURRENT lies on."""
        return self.secrets.version_of(TOKEN)

    def holds(self) -> bool:
        """The invariant: AWSCURRENT is the token that works at the vendor."""
        return self.vendor.is_live(self.stored_token)

    @property
    def store_calls(self) -> int:
        """Calls to Secrets Manager since the wire's log was reset."""
        return self.wire.count(STORE)

    @property
    def vendor_calls(self) -> int:
        """Calls to the vendor since the wire's log was reset."""
        return self.wire.count(VENDOR)

    @property
    def logs(self) -> str:
        """Everything that both functions wrote."""
        return self.refresh.logs + self.vend.logs

    def secret_texts(self) -> list[str]:
        """Every text that must never be seen in a log: each password and token that ever was, the Basic values;
        also as JSON and percent-encoding write them.
        """
        put = self.secrets.ever_put
        credentials = [*put.get(CREDENTIALS, ()), *put.get(STANDBY, ())]
        return secret_texts(credentials, put.get(TOKEN, ()), self.vendor.ever_minted)

    # --- time ---------------------------------------------------------------------------------------------

    def let_lease_pass(self) -> None:
        """Make every intent older than its lease, as a minute does."""
        self.age_intents(LEASE_SECONDS + 5)

    def age_intents(self, seconds: float) -> None:
        """Make every intent this much older, as waiting does."""
        for version, content in self.secrets.versions(TOKEN).items():
            if "intent" in content:
                self.secrets.rewrite(TOKEN, version, lambda intent: _shift(intent, seconds))
        self.secrets.age(TOKEN, seconds)

    def age_token(self, seconds: float) -> None:
        """Make the current token this much older, as waiting does."""
        version = self.version
        assert version is not None
        self.secrets.rewrite(TOKEN, version, lambda token: _shift(token, seconds))
        self.secrets.age(TOKEN, seconds)


def _shift(record: Any, seconds: float) -> Any:
    """Move every time in a stored record into the past."""

    def earlier(found: re.Match[str]) -> str:
        moment = dt.datetime.fromisoformat(found[0]) - dt.timedelta(seconds=seconds)
        return moment.isoformat().replace("+00:00", "Z")

    if isinstance(record, str):
        return _TIME.sub(earlier, record)
    if isinstance(record, list):
        return [_shift(value, seconds) for value in record]
    if isinstance(record, dict):
        return {name: _shift(value, seconds) for name, value in record.items()}
    return record
