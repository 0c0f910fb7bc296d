"""The two secrets: credentials, token, lock and latch. No finding shows what they hold."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from token_vending.due import lease_over
from token_vending.errors import ConfigurationError
from token_vending.issuers import PERSONR, load
from token_vending.records import read_credentials, read_record
from token_vending.token import Intent, Token
from token_vending_ops import commands
from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import CRITICAL, OK, WARNING, Finding, ago

EXPIRES_SOON = timedelta(days=14)
"""The default of ExpiryAlarmSeconds, with which the alarm token-expires-soon goes off."""


def credentials(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """They are set, can be used, and were not refused."""
    arn = stack.outputs["CredentialsSecretArn"]
    command = f"aws secretsmanager put-secret-value --secret-id {arn} --secret-string file://credentials.json"
    answer = _current(stack, arn)
    if answer is None:
        yield Finding("credentials", CRITICAL, "not set", command)
        return
    fault = credentials_fault(answer.get("SecretString"), stack.parameters.get("Issuer") or PERSONR)
    if fault:
        yield Finding("credentials", CRITICAL, fault, command)
        return
    labels = labels_of(stack, stack.outputs["TokenSecretArn"])
    if f"REFUSED-{answer['VersionId']}" in labels:
        yield Finding("credentials", CRITICAL, "the vendor refused them; they are not sent again", command)
        return
    yield Finding("credentials", OK, "set and well-formed, not refused")


def _current(stack: DeployedStack, arn: str) -> Mapping[str, Any] | None:
    """The current version; None if there is none. Raises if it is the secret itself that is not there."""
    manager = stack.client("secretsmanager")
    try:
        found: Mapping[str, Any] = manager.get_secret_value(SecretId=arn)
    except manager.exceptions.ResourceNotFoundException:
        labels_of(stack, arn)
        return None
    return found


def credentials_fault(text: str | None, issuer: str = PERSONR) -> str:
    """Why the refresh function cannot use the credentials, in its own words; empty if it can."""
    try:
        read_credentials("", text, wanted=load(issuer).fields)
    except ConfigurationError as error:
        return error.detail.partition(" Store it with:")[0]
    return ""


def token(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    """There is one, and it does not expire soon."""
    arn = stack.outputs["TokenSecretArn"]
    answer = _current(stack, arn)
    if answer is None:
        yield Finding("token", CRITICAL, "there is none yet", commands.tick(stack))
        return
    soon = timedelta(seconds=int(stack.parameters.get("ExpiryAlarmSeconds") or EXPIRES_SOON.total_seconds()))
    yield judge_token(answer.get("SecretString"), now, mend=commands.force(stack), soon=soon)


def judge_token(text: str | None, now: datetime, *, mend: str, soon: timedelta = EXPIRES_SOON) -> Finding:
    """The finding for the current version's content, of which only the times are shown."""
    try:
        token = read_record("AWSCURRENT", text)
    except ConfigurationError:
        return Finding("token", CRITICAL, "the secret was overwritten with something else", mend)
    if token is None:
        return Finding("token", CRITICAL, "there is none yet", mend)
    if isinstance(token, Intent):
        return Finding("token", CRITICAL, "there is none yet, only the intent to mint one", mend)
    left = token.remaining(now)
    saw = f"minted {ago(token.age(now))} ago because of {token.reason}, expires in {ago(left)}"
    if token.expired(now):
        return Finding("token", CRITICAL, f"expired {ago(-left)} ago", mend)
    if left < soon:
        return Finding("token", CRITICAL, saw, mend)
    return Finding("token", OK, saw)


def lock(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    """No dead run holds it; and which credentials are latched."""
    arn = stack.outputs["TokenSecretArn"]
    labels = labels_of(stack, arn)
    holder = labels.get("MINTING")
    if holder is None:
        yield Finding("lock", OK, "free")
    else:
        yield _judge_lock(stack, arn, holder, labels, now)
    refused = sorted(label.removeprefix("REFUSED-") for label in labels if label.startswith("REFUSED-"))
    latched = f"set for the credentials versions {', '.join(refused)}" if refused else "not set"
    yield Finding("latch", OK, latched)


def _judge_lock(
    stack: DeployedStack, arn: str, holder: str, labels: Mapping[str, str], now: datetime
) -> Finding:
    intent = _record(stack, arn, holder)
    if not isinstance(intent, Intent):
        saw = "is on a version that is no intent of ours; the next tick takes it over"
        return Finding("lock", WARNING, saw, commands.tick(stack))
    current = labels.get("AWSCURRENT")
    token = _record(stack, arn, current) if current is not None else None
    if isinstance(token, Token) and token.run == intent.run:
        return Finding("lock", OK, "left behind by a finished run; the next tick takes it off")
    began = f" {ago(now - intent.started_at)} ago" if intent.started_at else ""
    if not lease_over(intent, now):
        return Finding("lock", OK, f"held by a run that began{began}")
    saw = f"left by a run that died{began} and may have minted; the next tick takes it over"
    return Finding("lock", WARNING, saw, commands.tick(stack))


def _record(stack: DeployedStack, arn: str, version: str) -> Token | Intent | None:
    """None also for what does not read as ours."""
    answer = stack.client("secretsmanager").get_secret_value(SecretId=arn, VersionId=version)
    try:
        return read_record(version, answer.get("SecretString"))
    except ConfigurationError:
        return None


def labels_of(stack: DeployedStack, arn: str) -> dict[str, str]:
    """Which version of a secret each label lies on."""
    described = stack.client("secretsmanager").describe_secret(SecretId=arn)
    return {
        label: version
        for version, labels in described.get("VersionIdsToStages", {}).items()
        for label in labels
    }
