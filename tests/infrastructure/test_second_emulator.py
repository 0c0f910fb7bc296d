"""What moto says of the template: the part of it for which moto has CloudFormation models.

docs/evidence/emulators.md says which part that is, and what the embedded stack shows instead.
"""

import ast
import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from scripts.template import ACCOUNT, BOUNDARY, COMPANY, EVERYTHING, KEY, REGION, ROOT, STACK, Decided

SUBNETS, GROUP = COMPANY["VpcSubnetIds"], COMPANY["VpcSecurityGroupIds"]
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
        self.ids = {
            resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in found
        }

    def client(self, service: Any) -> Any:
        return boto3.client(service, REGION, aws_access_key_id="test", aws_secret_access_key="test")

    def policy(self, role: str) -> dict[str, Any]:
        """The role's inline policy, with what CloudFormation resolved."""
        iam, name = self.client("iam"), self.ids[role]
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        # moto holds the document of an inline policy as Python writes it.
        found: dict[str, Any] = ast.literal_eval(
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        )
        return found

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


@pytest.mark.parametrize("role", ["RefreshRole", "VendRole", "ScheduleRole"])
def test_iam_takes_the_policy_of_a_role_with_every_reference_resolved(deployed: Deployed, role: str) -> None:
    (written,) = deployed.resources[role]["Properties"]["Policies"]
    held = deployed.policy(role)
    sids = [statement["Sid"] for statement in written["PolicyDocument"]["Statement"]]
    assert [statement["Sid"] for statement in held["Statement"]] == sids
    assert "Fn::" not in json.dumps(held)
    # moto checks the grammar of a managed policy only.
    deployed.client("iam").create_policy(PolicyName=role, PolicyDocument=json.dumps(held))


def test_logs_have_the_life_and_queues_the_key_that_the_parameters_say(deployed: Deployed) -> None:
    groups = deployed.client("logs").describe_log_groups()["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {365}
    queue = deployed.client("sqs").get_queue_attributes(
        QueueUrl=deployed.ids["RefreshFailureQueue"], AttributeNames=["All"]
    )["Attributes"]
    assert queue.get("KmsMasterKeyId") == (None if "EncryptionKey" in deployed.ids else KEY)


def test_a_boundary_reaches_each_role(deployed: Deployed) -> None:
    iam = deployed.client("iam")
    roles = [deployed.ids[name] for name in ("RefreshRole", "VendRole", "ScheduleRole")]
    bounds = {
        iam.get_role(RoleName=role)["Role"].get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        for role in roles
    }
    assert bounds == ({None} if "EncryptionKey" in deployed.ids else {BOUNDARY})


@pytest.mark.parametrize("function", ["RefreshFunction", "VendFunction"])
def test_a_function_is_put_into_the_vpc_that_the_parameters_name(deployed: Deployed, function: str) -> None:
    name = deployed.ids[function]
    vpc = deployed.client("lambda").get_function_configuration(FunctionName=name).get("VpcConfig", {})
    wanted = ([], []) if "EncryptionKey" in deployed.ids else (SUBNETS.split(","), [GROUP])
    assert (vpc.get("SubnetIds", []), vpc.get("SecurityGroupIds", [])) == wanted


def test_moto_refuses_a_policy_that_is_none() -> None:
    """Hence that it takes ours says something."""
    with mock_aws(), pytest.raises(ClientError, match="MalformedPolicyDocument"):
        boto3.client("iam", REGION).create_policy(
            PolicyName="p",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]}),
        )


def test_the_page_says_of_each_type_whether_moto_makes_it() -> None:
    kinds = {found["Type"] for p in ({}, EVERYTHING) for found in Decided(p).template()["Resources"].values()}
    rows = re.findall(r"^\| `(AWS::[\w:]+)` \| \w+ \| (\w+) \|", Path(PAGE).read_text(), re.MULTILINE)
    assert dict(rows) == {kind: "yes" if known(kind) else "no" for kind in kinds}
