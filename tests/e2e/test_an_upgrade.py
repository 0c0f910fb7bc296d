"""A stack of the first release is upgraded to this one, under every rule a company may have, after one failed try.

releases/template-1.0.0.yaml.gz is that release's template, byte by byte: what an upgrade meets are its logical ids,
names and policies, the alarms' and the dashboard's too. The code under it is today's; a version is known by its
description.
"""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts import template as cloudformation
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import BUCKET, PARAMETERS, STACK_NAME

NAME = "upgraded"
FIRST_RELEASE = Path(__file__).parent / "releases" / "template-1.0.0.yaml.gz"
# No tick comes in between, and no mint: the token is one that the first release has stored.
QUIET = {**PARAMETERS, "ScheduleExpression": "rate(30 days)", "AlarmEmail": "night@example.com"}
PAGE = Path(__file__).parents[2] / "docs" / "evidence" / "emulators.md"
pytestmark = pytest.mark.timeout(240)


class Upgrade:
    """The stack, and what it went through, in this order."""

    def __init__(self, stack: EmbeddedStack, folder: Path) -> None:
        self.stack = stack
        self._code = self._uploaded_code(folder)
        first = folder / "first.yaml"
        first.write_bytes(gzip.decompress(FIRST_RELEASE.read_bytes()))
        self.outputs = self._deploy("create_stack", cloudformation.source(first), QUIET)
        self.kinds = self._kinds(STACK_NAME) | self._kinds(NAME)
        self.version = self._store_a_token()
        self.before = self.alias()
        self.company = self._company()
        parameters = {**QUIET, "DashboardEnabled": "false", "EncryptLogsAndQueues": "true", **self.company}
        self.error = self._failing(parameters)
        self.status_after_failure = self.described()["StackStatus"]
        self.after_failure = self.alias()
        self.outputs = self._deploy("update_stack", cloudformation.source(), {**parameters, "Release": "2"})
        self.kinds |= self._kinds(NAME)

    def client(self, service: str) -> Any:
        return self.stack.client(service)

    def alias(self) -> dict[str, Any]:
        """The configuration of the version that callers get."""
        found: dict[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=self.outputs["VendFunctionName"], Qualifier="live"
        )
        return found

    def _kinds(self, stack: str) -> set[str]:
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {resource["ResourceType"] for resource in found}

    def described(self) -> dict[str, Any]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
        return dict(found)

    def _uploaded_code(self, folder: Path) -> dict[str, dict[str, str]]:
        """By resource, where `sam deploy` of the fixture's stack has put the code."""
        deployed = folder / "deployed.yaml"
        found = self.client("cloudformation").get_template(StackName=STACK_NAME, TemplateStage="Original")
        deployed.write_text(found["TemplateBody"])
        return {
            name: {key: properties[key] for key in properties.keys() & {"CodeUri", "ContentUri"}}
            for name, resource in cloudformation.source(deployed)["Resources"].items()
            if (properties := resource.get("Properties", {}))
        }

    def _deploy(self, how: str, template: dict[str, Any], parameters: dict[str, str]) -> dict[str, str]:
        """By CloudFormation's API, where `sam deploy` takes seconds to start."""
        for name, resource in template["Resources"].items():
            resource.get("Properties", {}).update(self._code.get(name, {}))
        key = f"{how}.template"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(template))
        formation = self.client("cloudformation")
        getattr(formation, how)(
            StackName=NAME,
            TemplateURL=f"{self.stack.ministack.url}/{BUCKET}/{key}",
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        self.stack.wait_for(
            "the stack settles", lambda: not self.described()["StackStatus"].endswith("IN_PROGRESS"), 120
        )
        return {output["OutputKey"]: output["OutputValue"] for output in self.described().get("Outputs", ())}

    def _failing(self, parameters: dict[str, str]) -> str:
        """An update that fails when the new versions are published and the aliases moved already."""
        template = cloudformation.source()
        template["Resources"]["SameVersionAgain"] = {
            "Type": "AWS::Lambda::Version",
            "DependsOn": ["VendFunctionAliaslive", "RefreshFunctionAliaslive"],
            "Properties": {"FunctionName": {"Ref": "VendFunction"}},
        }
        self._deploy("update_stack", template, parameters)
        events = self.client("cloudformation").describe_stack_events(StackName=NAME)["StackEvents"]
        failed = (event for event in events if event["LogicalResourceId"] == "SameVersionAgain")
        return " ".join(event.get("ResourceStatusReason", "") for event in failed)

    def _store_a_token(self) -> str:
        now = datetime.now(UTC).replace(microsecond=0)
        record = {
            "access_token": "a-token-of-the-first-release",
            "token_type": "Bearer",
            "issued_at": now.isoformat().replace("+00:00", "Z"),
            "expires_at": (now + timedelta(days=365)).isoformat().replace("+00:00", "Z"),
            "user_id": None,
            "credentials_version": "v1",
            "reason": "no_token",
            "run": "r1",
            "suspect_until": None,
        }
        stored = self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["TokenSecretArn"], SecretString=json.dumps(record)
        )
        return str(stored["VersionId"])

    def _company(self) -> dict[str, str]:
        """What the account has already."""
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="functions", Description="functions", VpcId=vpc)
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        boundary = self.client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)
        return {
            "VpcSubnetIds": subnet,
            "VpcSecurityGroupIds": group["GroupId"],
            "PermissionsBoundaryArn": boundary["Policy"]["Arn"],
            "KmsKeyArn": self.client("kms").create_key()["KeyMetadata"]["Arn"],
            "AlarmTopicArn": self.client("sns").create_topic(Name="alarms")["TopicArn"],
        }


@pytest.fixture(scope="module")
def upgrade(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    try:
        yield Upgrade(stack, tmp_path_factory.mktemp("upgrade"))
    finally:
        client = stack.client("cloudformation")
        client.delete_stack(StackName=NAME)
        client.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})


def test_a_failed_update_leaves_the_alias_where_it_was(upgrade: Upgrade) -> None:
    assert "A version for this Lambda function exists" in upgrade.error
    assert upgrade.status_after_failure == "UPDATE_ROLLBACK_COMPLETE"
    assert upgrade.after_failure["Version"] == upgrade.before["Version"]


def test_repeated_under_another_release_it_publishes_and_moves_the_alias(upgrade: Upgrade) -> None:
    assert upgrade.described()["StackStatus"] == "UPDATE_COMPLETE"
    assert int(upgrade.alias()["Version"]) > int(upgrade.before["Version"])
    assert upgrade.alias()["Description"].endswith("release 2")


def test_the_token_of_the_first_release_is_handed_out_by_this_one(upgrade: Upgrade) -> None:
    answer = upgrade.client("lambda").invoke(FunctionName=upgrade.outputs["VendFunctionArn"], Payload=b"{}")
    assert json.loads(answer["Payload"].read())["version"] == upgrade.version


def test_every_parameter_of_the_company_has_arrived(upgrade: Upgrade) -> None:
    """But for the VPC and the boundary, which MiniStack's CloudFormation leaves out: moto shows them."""
    company = upgrade.company
    policy = upgrade.client("iam").get_role_policy(
        RoleName=upgrade.stack.resource("VendRole", NAME), PolicyName="vend"
    )["PolicyDocument"]
    assert "ConnectToVpc" in [statement["Sid"] for statement in policy["Statement"]]
    secret = upgrade.client("secretsmanager").describe_secret(SecretId=upgrade.outputs["TokenSecretArn"])
    assert secret["KmsKeyId"] == company["KmsKeyArn"]
    alarms = upgrade.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{NAME}-")["MetricAlarms"]
    assert {action for alarm in alarms for action in alarm["AlarmActions"]} == {company["AlarmTopicArn"]}
    assert upgrade.outputs["AlarmTopicArn"] == company["AlarmTopicArn"]
    assert "DashboardUrl" not in upgrade.outputs


def test_the_first_releases_key_stays_for_what_it_has_encrypted(upgrade: Upgrade) -> None:
    keys = upgrade.client("kms").list_keys()["Keys"]
    states = [upgrade.client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in keys]
    ours = [key for key in states if key.get("Description") == f"Secrets of {NAME}"]
    assert [key["KeyState"] for key in ours] == ["Enabled"]


@pytest.mark.parametrize("queue", ["RefreshFailureQueue", "ScheduleFailureQueue"])
def test_a_queue_refuses_plain_http(upgrade: Upgrade, queue: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        upgrade.client("sqs").receive_message(QueueUrl=upgrade.stack.resource(queue, NAME))


def test_the_page_says_of_each_type_whether_the_embedded_stack_makes_it(upgrade: Upgrade) -> None:
    rows = re.findall(r"^\| `(AWS::[\w:]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert {kind for kind, made in rows if made == "yes"} == upgrade.kinds
