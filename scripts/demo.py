"""Shows in a terminal what the product does, while it does it on this machine.

The template is built and deployed to a local AWS emulator, and its schedule starts the first refresh. A caller in
another process, with an IAM user's key only, uses a token until it is ended, and gets the next one. The exit status is
0 only if each step had the expected result.

    make demo                                       Personr: a new token ends the one before
    make demo ISSUER=oauth2-client-credentials      an issuer whose old tokens go on working
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from rich.console import Console
from rich.table import Table

from tests.kit.issuer import IssuerServer
from tests.kit.personr import PersonrServer
from tests.kit.stack import Caller, EmbeddedStack, StackError
from token_vending.issuers import PERSONR, load

FIRES_WITHIN_SECONDS = 90.0
HEALED_WITHIN_SECONDS = 30.0
OK = 200
UNAUTHORIZED = 401
HAND_OUTS = 2
SHORT = 8


class DidNotHold(Exception):
    """A step did not have the expected result."""


class Story:
    """Writes the steps with the time since the start and the time each took."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def chapter(self, title: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{title}[/bold]")

    def line(self, text: str, seconds: float | None = None) -> None:
        """One thing that has happened."""
        took = "" if seconds is None else f" [dim]({seconds:.1f} s)[/dim]"
        self.console.print(f"[dim]{self.seconds:6.1f} s[/dim]  {text}{took}")

    @contextmanager
    def waiting(self, for_what: str) -> Iterator[None]:
        """A spinner in a terminal; in a pipe, one line that says what is awaited."""
        if not self.console.is_terminal:
            self.line(f"... {for_what}")
        with self.console.status(for_what) if self.console.is_terminal else nullcontext():
            yield

    def held(self, claim: str, *, is_so: bool, seconds: float | None = None) -> None:
        """Writes the claim if it is so; else raises DidNotHold."""
        if not is_so:
            raise DidNotHold(claim)
        self.line(f"[green]✓[/green] {claim}", seconds)


def main() -> int:
    """Shows all steps. Returns the exit status."""
    story = Story()
    try:
        _tell(story, sys.argv[1] if len(sys.argv) > 1 else PERSONR)
    except (DidNotHold, StackError, RuntimeError) as failure:
        story.line(f"[red]✗ not as expected:[/red] {failure}")
        return 1
    except KeyboardInterrupt:
        story.line("interrupted; all processes of the demo were ended")
        return 130
    story.chapter(f"All steps had the expected result, in {story.seconds:.0f} s. No process is left running.")
    return 0


def _tell(story: Story, issuer: str) -> None:
    server = PersonrServer() if issuer == PERSONR else IssuerServer(load(issuer))
    story.chapter("1. The template, deployed")
    with ExitStack() as closing:
        with story.waiting("building, starting the emulator, deploying"):
            stack = closing.enter_context(
                EmbeddedStack(with_credentials=False, tell=story.line, issuer=server)
            )
        _the_schedule_mints(story, stack)
        _a_caller_heals_a_dead_token(story, stack)
        _a_stranger_is_refused(story, stack)
        _what_is_on_record(story, stack)


def _the_schedule_mints(story: Story, stack: EmbeddedStack) -> None:
    story.chapter("2. The schedule starts a refresh, which mints")
    stack.put_credentials()
    story.line("the service account's credentials are stored in the credentials secret")
    began = time.monotonic()
    with story.waiting("the schedule starts a refresh every minute; there is no other request"):
        stack.wait_for("the schedule fires", lambda: stack.personr.mint_count() > 0, FIRES_WITHIN_SECONDS)
        version = stack.wait_for("the token is stored", stack.current_version, HEALED_WITHIN_SECONDS)
    story.held(
        f"the schedule fired, {_name(stack)} minted once, version {version[:SHORT]} is current",
        is_so=stack.personr.mint_count() == 1,
        seconds=time.monotonic() - began,
    )


def _a_caller_heals_a_dead_token(story: Story, stack: EmbeddedStack) -> None:
    story.chapter("3. A caller uses the token; it is ended, and the caller gets the next one")
    user = stack.create_user("CallerPolicyArn")
    with stack.caller(user) as caller:
        first = caller.ask("get")
        story.held(
            f"{user.name}, another process with the caller policy only, gets {_short(first)}",
            is_so=first.get("version") == stack.current_version(),
            seconds=first["seconds"],
        )
        _is_taken(story, stack, caller)
        if stack.personr.destructive:
            stack.personr.mint_elsewhere()
            story.line(f"somebody else mints with the same account: {_name(stack)} ends our token")
        else:
            stack.personr.kill()
            story.line(f"{_name(stack)} ends our token before its time")
        refused = caller.ask("try")
        story.held(
            f"{_name(stack)} refuses it (401)",
            is_so=refused.get("status") == UNAUTHORIZED,
            seconds=refused["seconds"],
        )
        with story.waiting("the caller reports the version and waits for the next one"):
            healed = caller.ask("heal")
        story.held(
            f"the caller reported {_short(first)} and holds {_short(healed)}",
            is_so="error" not in healed and healed["version"] != first["version"],
            seconds=healed["seconds"],
        )
        _is_taken(story, stack, caller)
        if not stack.personr.destructive:
            _a_renewal_overlaps(story, stack, caller)


def _a_renewal_overlaps(story: Story, stack: EmbeddedStack, caller: Caller) -> None:
    before = stack.current_version()
    stack.refresh({"force": True})
    after = stack.current_version()
    story.held("a person forces a renewal: there is a newer version", is_so=after not in {None, before})
    story.line("the caller does not know of it and uses the token before")
    _is_taken(story, stack, caller)
    alive = [version.alive for version in stack.versions() if version.version_id in {before, after}]
    story.held(
        f"both tokens work at {_name(stack)}: a renewal interrupts no caller", is_so=alive == [True, True]
    )


def _is_taken(story: Story, stack: EmbeddedStack, caller: Caller) -> None:
    tried = caller.ask("try")
    story.held(f"{_name(stack)} accepts it (200)", is_so=tried.get("status") == OK, seconds=tried["seconds"])


def _name(stack: EmbeddedStack) -> str:
    return "the API" if isinstance(stack.personr, IssuerServer) else "Personr"


def _a_stranger_is_refused(story: Story, stack: EmbeddedStack) -> None:
    story.chapter("4. A caller without a grant is refused")
    stranger = stack.create_user()
    with stack.caller(stranger) as caller:
        answer = caller.ask("get")
    story.held(
        f"{stranger.name}, an IAM user without the caller policy, is refused ({answer.get('error')})",
        is_so=answer.get("error") == "CallerNotAllowed",
    )
    status, _ = stack.http("GET", "/token")
    story.held(f"an unsigned request to the URL is refused ({status})", is_so=status in {401, 403})


def _what_is_on_record(story: Story, stack: EmbeddedStack) -> None:
    story.chapter("5. Audit lines, versions and logs")
    audits = [json.loads(line)["audit"] for line in stack.log_lines("vend") if '"audit":{' in line]
    table = Table("outcome", "version", "fingerprint", "rejected", title="audit lines of the vend function")
    for audit in audits:
        cells = (audit.get(name) or "" for name in ("outcome", "version", "fingerprint", "rejected_version"))
        table.add_row(*(cell[:12] for cell in cells))
    story.console.print(table)
    versions = stack.versions()
    table = Table(
        "version", "created", "labels", "holds", f"alive at {_name(stack)}", title="the token secret"
    )
    for version in versions:
        alive = {True: "yes", False: "no"}[version.alive] if version.kind == "token" else ""
        created = f"{version.created:%H:%M:%S}"
        table.add_row(version.version_id[:SHORT], created, " ".join(version.labels), version.kind, alive)
    story.console.print(table)
    handed_out = sum(audit.get("outcome") == "handed_out" for audit in audits)
    story.held(f"the audit lines show all {HAND_OUTS} hand-outs", is_so=handed_out == HAND_OUTS)
    current = [version.alive for version in versions if "AWSCURRENT" in version.labels]
    story.held(f"the current version is the token that {_name(stack)} minted last", is_so=current == [True])
    count = len(stack.log_lines("refresh") + stack.log_lines("vend"))
    story.held(
        f"neither the {count} log lines nor any queue holds a token, the password or a Basic value",
        is_so=stack.leaks() == [],
    )


def _short(answer: dict[str, str]) -> str:
    return str(answer.get("version") or answer.get("error"))[:SHORT]


if __name__ == "__main__":
    sys.exit(main())
