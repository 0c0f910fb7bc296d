"""What moto says of the template: the part of it for which moto has CloudFormation models.

docs/evidence/emulators.md says which part that is, and what the embedded stack shows instead.
"""

import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from scripts.template import ACCOUNT, BOUNDARY, COMPANY, EVERYTHING, REGION, ROOT, STACK, Decided

PAGE = ROOT / "docs" / "evidence" / "emulators.md"
SERVICES = ("awslambda", "cloudwatch", "iam", "kms", "logs", "s3", "secretsmanager", "sns", "sqs")


def known(kind: str) -> bool:
    """Whether moto's CloudFormation makes resources of the type."""
    for service in SERVICES:
        # moto finds a model only after its module has been imported.
        importlib.import_module(f"moto.{service}.models")
    parsing = importlib.import_module("moto.cloudformation.parsing")
    # A permission of ours is for an alias, which moto does not make.
    return kind != "AWS::Lambda::Permission" and parsing.resource_class_from_type(kind) is not None


class Deployed:
    """The template in moto; what moto cannot make is named by a made-up ARN."""

    def __init__(self, parameters: dict[str, str]) -> None:
        decided = Decided(parameters)
        self.resources = decided.resources
        self.unknown = {n for n, found in self.resources.items() if not known(found["Type"])}
        reference = re.compile(rf"\$\{{({'|'.join(self.unknown)})(\.[\w.]+)?\}}")

        def named(value: dict[str, Any]) -> Any:
            return json.loads(reference.sub(rf"arn:aws:x:{REGION}:{ACCOUNT}:\1", json.dumps(value)))

        decided.resources = named({n: r for n, r in decided.resources.items() if n not in self.unknown})
        decided.outputs = named(decided.outputs)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", "")
        s3 = self.client("s3")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="bucket", Key="key", Body=archive.getvalue())
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(decided.template()))
        (self.stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        found = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}

    def client(self, service: Any) -> Any:
        return boto3.client(service, REGION, aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture(scope="module", params=[{}, EVERYTHING], ids=["as it comes", "every parameter set"])
def deployed(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    with mock_aws():
        yield Deployed(request.param)


def test_what_moto_knows_is_made(deployed: Deployed) -> None:
    assert deployed.stack["StackStatus"] == "CREATE_COMPLETE"
    assert deployed.ids.keys() == deployed.resources.keys() - deployed.unknown


def test_boundary_and_vpc_arrive_where_the_parameters_name_them(deployed: Deployed) -> None:
    company = "EncryptionKey" not in deployed.ids
    for name in ("RefreshRole", "VendRole", "ScheduleRole"):
        role = deployed.client("iam").get_role(RoleName=deployed.ids[name])["Role"]
        assert role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") == (
            BOUNDARY if company else None
        )
    for name in ("RefreshFunction", "VendFunction"):
        function = deployed.client("lambda").get_function_configuration(FunctionName=deployed.ids[name])
        vpc = function.get("VpcConfig", {})
        wanted = (COMPANY["VpcSubnetIds"].split(","), [COMPANY["VpcSecurityGroupIds"]])
        found = (vpc.get("SubnetIds", []), vpc.get("SecurityGroupIds", []))
        assert found == (wanted if company else ([], []))


def test_the_page_says_of_each_type_whether_moto_makes_it() -> None:
    kinds = {found["Type"] for p in ({}, EVERYTHING) for found in Decided(p).template()["Resources"].values()}
    rows = re.findall(r"^\| `(AWS::[\w:]+)` \| \w+ \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {kind: "yes" if known(kind) else "no" for kind in kinds}
