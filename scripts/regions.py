"""Lints the transformed template for every region and partition that cfn-lint has resource schemas of: `make template`.

    regions.py            check, and that docs/evidence/regions.md says what was found
    regions.py --write    write docs/evidence/regions.md anew

cfn-lint on the SAM source does not see which types the transform makes. Here SAM's own transform has run and the
conditions are decided, once as the template comes, once with every parameter set, once without the URL.
"""

import argparse
import json
import sys
from collections import defaultdict

import cfnlint
from botocore.session import Session
from cfnlint.helpers import REGIONS

from scripts.pages import table
from scripts.template import EVERYTHING, ROOT, Decided

PAGE = ROOT / "docs" / "evidence" / "regions.md"
URL = "AWS::Lambda::Url"
MISSING_TYPE = "E3006"
# What an update replaces may be kept although a deleted stack does not leave it behind.
NOT_ASKED = {"W3011"}
VARIANTS = {"as it comes": {}, "every parameter set": EVERYTHING, "without the URL": {"UrlDoor": "false"}}

type Findings = dict[str, set[str]]
"""By region: what cfn-lint says."""


def partitions() -> dict[str, list[str]]:
    """The regions of each partition."""
    session, found = Session(), defaultdict(list)
    for region in REGIONS:
        found[session.get_partition_for_region(region)].append(region)
    return dict(sorted(found.items()))


def lint(template: str, regions: list[str]) -> Findings:
    """What cfn-lint has to say of a template without conditions."""
    found: Findings = defaultdict(set)
    for match in cfnlint.lint(template, regions=regions):
        if match.rule.id in NOT_ASKED:
            continue
        where = [region for region in regions if f"'{region}'" in match.message] or regions
        for region in where:
            message = match.message.replace(f" in '{region}'", "")
            found[region].add(f"{match.rule.id} {'/'.join(map(str, match.path))}: {message}")
    return found


def faults_and_places_without_url() -> tuple[list[str], set[str]]:
    """What stops a deployment that does without the URL, or with it for another reason; where there is no URL."""
    faults, without = set(), set()
    for name, parameters in VARIANTS.items():
        # Of most partitions the template is the same.
        regions_of: dict[str, list[str]] = defaultdict(list)
        for partition, regions in partitions().items():
            decided = Decided(parameters, pseudo={"AWS::Partition": partition})
            regions_of[json.dumps(decided.template())] += regions
        for template, regions in regions_of.items():
            has_url = f'"{URL}"' in template
            for region, findings in lint(template, regions).items():
                for finding in findings:
                    if has_url and finding.startswith(MISSING_TYPE) and URL in finding:
                        without.add(region)
                    else:
                        faults.add(f"{region}, {name}: {finding}")
    return sorted(faults), without


def page(without_url: set[str]) -> str:
    """The text of docs/evidence/regions.md."""
    head = (
        "# Regions\n\n"
        "Written by `make template ARGS=--write`: the transformed template against cfn-lint's resource schemas, as it\n"
        "comes, with every parameter set and without the URL. In each region listed here it has no other fault than a\n"
        f"missing `{URL}`; where that is missing, deploy with `UrlDoor=false`: callers then invoke the function.\n"
        "A schema says that a type exists. That the service answers is seen by deploying.\n\n"
    )
    rows = []
    for partition, regions in partitions().items():
        parts = (set(regions) - without_url, set(regions) & without_url)
        rows.append([partition, *(", ".join(sorted(part)) for part in parts)])
    heads = ("partition", "regions with both doors", "with direct invoke only (`UrlDoor=false`)")
    return head + table(heads, rows)


def main() -> int:
    """0 if the template can be deployed in every region and the page says where the URL can be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/evidence/regions.md anew")
    write = parser.parse_args().write
    faults, without_url = faults_and_places_without_url()
    if write:
        PAGE.write_text(page(without_url), encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page(without_url):
        faults.append("docs/evidence/regions.md is not what cfn-lint says: make template ARGS=--write")
    for fault in faults:
        print(f"FAULT  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
