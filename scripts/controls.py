"""Holds the transformed template against the controls of others: `make controls`.

    controls.py            check; the table in SECURITY.md says what was found
    controls.py --write    write that table anew

checkov's CloudFormation checks, and by CloudFormation Guard the rules of AWS Control Tower's proactive controls. A
control that does not pass is a fault, unless it is in ACCEPTED with the reason why. So is a reason that nothing
needs. Guard comes through npm; without npm its part is skipped, but not where CI is set.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts import pages
from scripts.template import EVERYTHING, ROOT, Decided

PAGE = ROOT / "SECURITY.md"
CHECKOV = ROOT / ".build" / "checkov" / "bin" / "checkov"
GUARD = ROOT / ".build" / "guard"
RULES = GUARD / "node_modules" / "@cdklabs" / "cdk-validator-cfnguard"
VARIANTS: dict[str, dict[str, str]] = {"as it comes": {}, "every parameter set": EVERYTHING}

ACCEPTED = {
    "CKV_AWS_26": "an alarm's text is no secret; `AlarmTopicArn` takes a topic of yours",
    "CKV_AWS_27": "encrypted by SQS's own key, which this check ignores; by yours with `EncryptLogsAndQueues`",
    "CKV_AWS_111": "Lambda makes network interfaces in the role's name; the code itself is denied `ec2:*`",
    "CKV_AWS_115": "new accounts cannot reserve concurrency; a parameter reserves it",
    "CKV_AWS_116": "the refresh function has an on-failure destination; the hand-out is only invoked synchronously",
    "CKV_AWS_117": "nothing here is in a VPC; `VpcSubnetIds` puts both functions into yours",
    "CKV_AWS_158": "no line of the logs holds a secret; `EncryptLogsAndQueues` takes your key",
    "CKV_AWS_173": "no variable holds a secret; Lambda encrypts them with its own key",
    "CT.CLOUDWATCH.PR.1": "a composite alarm acts for these; with `CompositeAlarm=false` each does by itself",
    "CT.CLOUDWATCH.PR.3": "as CKV_AWS_158",
    "CT.LAMBDA.PR.3": "as CKV_AWS_117",
    "CT.SQS.PR.1": "these are the dead-letter queues",
}
"""Controls that the template does not pass, and why that is so."""


@dataclass
class Result:
    """What one control said of one variant."""

    title: str
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


type Results = dict[str, Result]
"""By control."""


def checkov(template: Path) -> Results:
    """The checks that apply to something in the template."""
    options = ["--framework", "cloudformation", "--skip-download", "-o", "json"]
    # Its home is no home of ours, and it reports to nobody.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(template.parent)}
    said = _json([str(CHECKOV), *options, "-f", str(template)], environment)["results"]
    results: Results = {}
    for entry in (*said["passed_checks"], *said["failed_checks"]):
        result = results.setdefault(entry["check_id"], Result(entry["check_name"]))
        passed = entry["check_result"]["result"] == "PASSED"
        (result.passed if passed else result.failed).add(entry["resource"].rpartition(".")[2])
    return results


def guard(template: Path) -> Results:
    """The rules that apply to something in the template."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = "macos" if sys.platform == "darwin" else "ubuntu"
    program = RULES / "bin" / system / machine / "cfn-guard"
    command = [str(program), "validate", "--data", str(template), "--rules", str(RULES / "rules")]
    (said,) = _json([*command, "--structured", "--output-format", "json", "--show-summary", "none"])
    titles = _rules()
    results = {titles[name][0]: Result(titles[name][1], passed={"all"}) for name in said["compliant"]}
    for entry in said["not_compliant"]:
        control, title = titles[entry["Rule"]["name"]]
        failed = set(re.findall(r"/Resources/(\w+)/", json.dumps(entry)))
        results[control] = Result(title, failed=failed)
    return results


def _rules() -> dict[str, tuple[str, str]]:
    """Control and title, by the name of the rule."""
    found = {}
    for file in (RULES / "rules").rglob("*.guard"):
        text = file.read_text(encoding="utf-8")
        title = re.search(r"^\s*\[(CT\.[\w.]+)\]: (.+)$", text, re.MULTILINE)
        for name in re.findall(r"^rule (\w+) when", text, re.MULTILINE) if title else ():
            found[name] = (title[1], title[2].strip()) if title else ("", "")
    return found


def install_guard() -> bool:
    """Whether the pinned Guard and its rules are there; npm checks their hash."""
    if not (npm := shutil.which("npm")):
        return False
    GUARD.mkdir(parents=True, exist_ok=True)
    pinned = [ROOT / "requirements" / "guard" / file for file in ("package.json", "package-lock.json")]
    held = [GUARD / file.name for file in pinned]
    if not RULES.is_dir() or [f.read_bytes() for f in held] != [f.read_bytes() for f in pinned]:
        for file in pinned:
            shutil.copy(file, GUARD)
        options = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run([npm, "ci", *options], cwd=GUARD, check=True, stdout=subprocess.DEVNULL)
    return True


def faults(results: Mapping[str, Results], *, complete: bool) -> Iterator[str]:
    """What did not pass without a reason, and reasons that nothing needs; these only if every tool has run."""
    failed: dict[str, set[str]] = defaultdict(set)
    for found in results.values():
        for control, result in found.items():
            failed[control] |= result.failed
    for control, names in sorted(failed.items()):
        if names and control not in ACCEPTED:
            title = next(found[control].title for found in results.values() if control in found)
            yield f"{control} ({title}): {', '.join(sorted(names))}"
    for control in sorted(ACCEPTED) if complete else ():
        if not failed.get(control):
            yield f"{control} passes: its reason in scripts/controls.py is not needed"


def table(results: Mapping[str, Results]) -> str:
    """The table of SECURITY.md."""
    titles = {control: found.title for each in results.values() for control, found in each.items()}
    rows = (
        [control, titles[control], *(_cell(control, each.get(control)) for each in results.values())]
        for control in sorted(titles)
    )
    return pages.table(["control", "asks", *results], rows)


def _cell(control: str, result: Result | None) -> str:
    failed = f"no: {ACCEPTED.get(control, 'no reason')}"
    return "nothing to look at" if result is None else failed if result.failed else "passes"


def _json(command: list[str], environment: dict[str, str] | None = None) -> Any:
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not finished.stdout.strip():
        raise RuntimeError(f"{command[0]} said nothing ({finished.returncode}): {finished.stderr[-2000:]}")
    return json.loads(finished.stdout)


def main() -> int:
    """0 if each control passes or has its reason, and the page says so."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table in SECURITY.md anew")
    write = parser.parse_args().write
    tools = [checkov, guard] if install_guard() else [checkov]
    complete = guard in tools
    results: dict[str, Results] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        for name, parameters in VARIANTS.items():
            template = Path(folder) / "template.json"
            template.write_text(json.dumps(Decided(parameters).template()), encoding="utf-8")
            for tool in tools:
                results[name] |= tool(template)
    found = list(faults(results, complete=complete))
    if not complete:
        print("skipped: CloudFormation Guard, which npm brings; no npm on the PATH", file=sys.stderr)
        found += ["CloudFormation Guard did not run"] if os.environ.get("CI") or write else []
    elif write:
        pages.put(PAGE, "controls", f"\n{table(results)}\n")
    elif table(results) not in PAGE.read_text(encoding="utf-8"):
        found.append("the table in SECURITY.md is not what was found: make controls ARGS=--write")
    for fault in found:
        print(f"FAULT  {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
