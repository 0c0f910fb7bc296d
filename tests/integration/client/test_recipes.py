"""The recipes under examples/ call the vendor through the real functions, wherever their language is installed."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from moto import mock_aws

from tests.integration.world import MIN_AGE_SECONDS, Stage

from .surroundings import ROOT, break_the_token, needs, run, works

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from token_client.testing import FakeTokenSource

pytest_plugins = ["token_client.pytest_plugin"]

EXAMPLES = ROOT / "examples"
GO_CACHE = ROOT / ".build" / "go"
DEBIANS_GO_PATH = Path("/usr/share/gocode")
GO_SDK = "github.com/aws/aws-sdk-go-v2"

RUBY_CALLS = """
require "./personr"
personr = Personr.new
while gets
  request = Net::HTTP::Post.new(URI(ENV.fetch("PERSONR_ENDPOINT")))
  request.body = "{}"
  answers = Array.new(8) { Thread.new { personr.call(request.clone).code } }.map(&:value)
  puts answers.join(" ")
  $stdout.flush
end
"""
GO_CALLS = """
package main

import ("bufio"; "context"; "fmt"; "net/http"; "os"; "strings"; "sync"; "time"
"github.com/aws/aws-sdk-go-v2/config"
"github.com/aws/aws-sdk-go-v2/service/lambda")

func main() {
	settings, _ := config.LoadDefaultConfig(context.Background())
	url := lambda.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_LAMBDA"))
	client := lambda.NewFromConfig(settings, func(o *lambda.Options) { o.EndpointResolver = url })
	personr := &Personr{Lambda: client, Function: os.Getenv("PERSONR_TOKEN_FUNCTION"), HTTP: &http.Client{}}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var all sync.WaitGroup
		answers := make([]string, 8)
		for i := range answers {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
				defer cancel()
				body := strings.NewReader("{}")
				request, _ := http.NewRequestWithContext(ctx, "POST", os.Getenv("PERSONR_ENDPOINT"), body)
				answer, err := personr.Do(request)
				if err != nil { answers[i] = err.Error(); return }
				answers[i] = fmt.Sprint(answer.StatusCode)
			}(i)
		}
		all.Wait()
		fmt.Println(strings.Join(answers, " "))
	}
}
"""


def ruby(folder: Path, variables: dict[str, str]) -> list[str]:
    """The command that makes eight calls at once for each line of its input."""
    needs("ruby")
    if run(["ruby", "-e", 'require "aws-sdk-core"'], variables).returncode:
        pytest.skip("the gem aws-sdk-core is not on this machine")
    shutil.copy(EXAMPLES / "ruby" / "personr.rb", folder)
    (folder / "calls.rb").write_text(RUBY_CALLS)
    del variables["AWS_ENDPOINT_URL_LAMBDA"]
    return ["ruby", "calls.rb"]


def go(folder: Path, variables: dict[str, str]) -> list[str]:
    """The same of the recipe in Go; its own main gives way to the test's, and is compiled all the same."""
    if shutil.which("go") is None or not (DEBIANS_GO_PATH / "src" / GO_SDK / "service" / "lambda").is_dir():
        pytest.skip("go with the AWS SDK v2 is not on this machine")
    variables |= {"GO111MODULE": "off", "GOPATH": str(DEBIANS_GO_PATH), "GOCACHE": str(GO_CACHE)}
    # The SDK is compiled where no test has done so before; nobody needs it to be fast.
    variables |= {"CGO_ENABLED": "0", "GOFLAGS": f"-gcflags={GO_SDK}/...=-dwarf=false -ldflags=-s"}
    source = (EXAMPLES / "go" / "main.go").read_text()
    (folder / "recipe.go").write_text(source.replace("func main()", "func usedByNobody()"))
    (folder / "calls.go").write_text(GO_CALLS)
    finished = run(["go", "build", "-o", "calls", "recipe.go", "calls.go"], variables, folder)
    assert finished.returncode == 0, finished.stderr
    return [str(folder / "calls")]


@pytest.mark.parametrize("recipe", [ruby, go])
def test_a_recipe_heals_a_killed_token_with_one_mint(
    recipe: Any, world: Stage, environment: dict[str, str], tmp_path: Path
) -> None:
    command = recipe(tmp_path, environment)
    before = world.vendor.mint_count()
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def eight_calls() -> list[str]:
            print(file=stdin, flush=True)
            return stdout.readline().split()

        assert eight_calls() == ["200"] * 8
        world.age_token(MIN_AGE_SECONDS + 60)
        world.vendor.mint_elsewhere()
        assert eight_calls() == ["200"] * 8
        stdin.close()
    assert world.vendor.mint_count() - before == 2, "the foreign one, and one to heal"


def test_the_workflow_heals_a_killed_token_and_masks_both_and_says_why_there_is_none(
    world: Stage, environment: dict[str, str], tmp_path: Path
) -> None:
    needs("aws", "jq", "curl")
    workflow = yaml.safe_load((EXAMPLES / "github-actions" / "personr.yml").read_text())
    (tmp_path / "step.sh").write_text(workflow["jobs"]["call"]["steps"][-1]["run"])
    as_github_does = f"bash --noprofile --norc -eo pipefail {tmp_path}/step.sh".split()
    world.age_token(MIN_AGE_SECONDS + 60)
    killed = world.stored_token
    world.vendor.mint_elsewhere()

    finished = run(as_github_does, environment)

    assert finished.returncode == 0, finished.stderr
    first, second, answer = finished.stdout.split("\n", 2)
    assert [first, second] == [f"::add-mask::{killed}", f"::add-mask::{world.stored_token}"]
    assert works(yaml.safe_load(answer))
    assert str(world.stored_token) not in answer + finished.stderr
    assert world.holds()

    break_the_token(world)
    finished = run(as_github_does, environment)

    assert (finished.returncode, finished.stdout) == (1, "")
    assert "ConfigurationError" in finished.stderr


@pytest.fixture
def connection(personr_tokens: FakeTokenSource, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The function that follows the token, and its connection in a stand-in of EventBridge."""
    monkeypatch.setenv("CONNECTION_NAME", "personr")
    with mock_aws():
        key = {"ApiKeyAuthParameters": {"ApiKeyName": "Authorization", "ApiKeyValue": "Bearer none-yet"}}
        events = boto3.client("events")
        events.create_connection(Name="personr", AuthorizationType="API_KEY", AuthParameters=key)
        yield SimpleNamespace(**runpy.run_path(str(EXAMPLES / "connection" / "src" / "app.py")))


def held(app: Any) -> str:
    """The version that the connection is described by, which the handler returned as well."""
    return str(app.events.describe_connection(Name="personr")["Description"])


def refreshed(ago: timedelta) -> dict[str, Any]:
    """The event of a token of a year, minted so long ago."""
    minted = datetime.now(UTC) - ago
    return {"detail": {"version": "any", "expires_at": (minted + timedelta(days=365)).isoformat()}}


def test_the_connection_follows_the_events_of_newer_tokens_and_reports_no_good_one(
    connection: Any, personr_tokens: FakeTokenSource
) -> None:
    assert connection.handler({}, None) == {"version": "version-1"}
    assert held(connection) == "version-1"
    assert connection.handler(refreshed(ago=timedelta(hours=1)), None) == {"version": "version-1"}, (
        "it came late"
    )
    assert [request.rejected_version for request in personr_tokens.requests] == [None]

    personr_tokens.replace()

    assert connection.handler(refreshed(ago=timedelta(seconds=-1)), None) == {"version": "version-2"}
    assert personr_tokens.version == "version-2", "nothing was minted for it"


def test_a_401_reports_the_version_that_the_connection_holds(
    connection: Any, personr_tokens: FakeTokenSource
) -> None:
    connection.events.update_connection(Name="personr", Description="an-older-version")
    assert connection.handler({"refused": True}, None) == {"version": "version-1"}, "it is replaced already"
    personr_tokens.kill()

    assert connection.handler({"refused": True}, None) == {"version": "version-2"}
    assert connection.handler({"refused": True}, None) == {"version": "version-3"}
    assert held(connection) == "version-3"
