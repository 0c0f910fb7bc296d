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
        template = Decided(parameters).template()
        self.resources = template["Resources"]
        self.unknown = {n for n, found in self.resources.items() if not known(found["Type"])}
        made = {n: found for n, found in self.resources.items() if n not in self.unknown}
        template["Resources"] = self._without_unknown(made)
        template["Outputs"] = self._without_unknown(template["Outputs"])
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", "")
        s3 = self.client("s3")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="bucket", Key="key", Body=archive.getvalue())
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(template))
        (self.stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        found = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}

    def client(self, service: Any) -> Any:
        return boto3.client(service, REGION, aws_access_key_id="test", aws_secret_access_key="test")

    def _without_unknown(self, value: Any) -> Any:
        match value:
            case {"Ref": name} | {"Fn::GetAtt": [name, *_]} if name in self.unknown:
                return f"arn:aws:x:{REGION}:{ACCOUNT}:{name}"
            case {"Fn::Sub": [text, names]}:
                return {"Fn::Sub": [self._without_unknown_in(text), self._without_unknown(names)]}
            case {"Fn::Sub": text}:
                return {"Fn::Sub": self._without_unknown_in(text)}
            case dict():
                return {key: self._without_unknown(inner) for key, inner in value.items()}
            case list():
                return [self._without_unknown(inner) for inner in value]
        return value

    def _without_unknown_in(self, text: str) -> str:
        return re.sub(rf"\$\{{({'|'.join(self.unknown)})(\.\w+)?\}}", r"\1", text)


@pytest.fixture(scope="module", params=[{}, EVERYTHING], ids=["as it comes", "every parameter set"])
def deployed(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    with mock_aws():
        yield Deployed(request.param)


def test_what_moto_knows_is_made(deployed: Deployed) -> None:
    assert deployed.stack["StackStatus"] == "CREATE_COMPLETE"
    assert deployed.ids.keys() == deployed.resources.keys() - deployed.unknown


def test_boundary_and_vpc_arrive_where_the_parameters_name_them(deployed: Deployed) -> None:
    """`Stack` reads the same template; here something else has resolved it."""
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
