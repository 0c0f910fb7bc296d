"""What `make template` sees in the transformed template, region by region."""

import json

from cfnlint.helpers import REGIONS

from scripts import regions


def test_a_region_without_function_urls_is_found() -> None:
    findings = regions.lint(json.dumps(regions.decided({})), ["eu-west-1", "ap-east-2"])
    assert [finding for finding in findings["ap-east-2"] if regions.URL in finding]
    assert findings["eu-west-1"] == set()


def test_without_the_url_the_template_has_no_fault_there() -> None:
    template = json.dumps(regions.decided({"UrlDoor": "false"}))
    assert regions.lint(template, ["ap-east-2", "us-gov-west-1"]) == {}


def test_every_region_of_the_linter_is_in_a_partition_and_on_the_page() -> None:
    page = regions.PAGE.read_text()
    listed = {region for found in regions.partitions().values() for region in found}
    assert listed == set(REGIONS)
    assert [region for region in sorted(listed) if region not in page] == []
