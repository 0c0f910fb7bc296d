"""The template as CloudFormation would see it: SAM's own transform, then conditions and functions resolved.

What only a deployment knows keeps a readable name: `Ref` of a resource becomes `${Name}`, `Fn::GetAtt`
becomes `${Name.Attribute}`. A test then compares whole statements, e.g. `"Resource": "${TokenSecret.Id}"`.
"""

import copy
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"

ACCOUNT = "123456789012"
REGION = "eu-west-1"
STACK = "tokens"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d9a3f1e-0000-4000-8000-000000000000"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
EXISTING = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:hr/personr-AbCdEf"
STANDBY = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:hr/standby-GhIjKl"
COMPANY = {
    "KmsKeyArn": KEY,
    "EncryptLogsAndQueues": "true",
    "PermissionsBoundaryArn": BOUNDARY,
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
    "AlarmTopicArn": TOPIC,
    "DashboardEnabled": "false",
}
"""What companies ask for before anything else."""
EVERYTHING = {
    **COMPANY,
    "CredentialsSecretArn": EXISTING,
    "StandbyCredentialsSecretArn": STANDBY,
    "CallerAccountIds": "111111111111,222222222222,333333333333,444444444444,555555555555",
    "AlarmEmail": "night@example.com",
    "ReservedRefreshConcurrency": "1",
    "ReservedVendConcurrency": "20",
    "VendProvisionedConcurrency": "2",
}
"""Every parameter that adds something."""
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/0d9a3f1e-0000-4000-8000-000000000000",
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}
_ABSENT = object()


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short tags."""


def _tag(loader: yaml.CSafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def source(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template as it is written."""
    return copy.deepcopy(_parsed(path))


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    # _Loader is a safe loader.
    document: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506
    return document


class Stack:
    """What a deployment with these parameters would create. Parameters left out keep their defaults.

    `pseudo` replaces pseudo parameters, e.g. {"AWS::Partition": "aws-cn"}.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        path: Path = TEMPLATE,
        *,
        pseudo: Mapping[str, str] | None = None,
    ) -> None:
        template = source(path)
        self._pseudo = _PSEUDO | dict(pseudo or {})
        self._parameters = {
            name: str(spec.get("Default", "")) for name, spec in template["Parameters"].items()
        }
        unknown = set(parameters or {}) - set(self._parameters)
        assert not unknown, f"no such parameters: {sorted(unknown)}"
        self._parameters |= parameters or {}
        self._lists = {n for n, s in template["Parameters"].items() if s["Type"] == "CommaDelimitedList"}
        self._numbers = {n for n, s in template["Parameters"].items() if s["Type"] == "Number"}
        transformed = _transform(path, tuple(sorted(self._parameters.items())))
        self._conditions: dict[str, Any] = transformed.get("Conditions", {})
        self.resources: dict[str, dict[str, Any]] = {
            name: self._resolve(resource)
            for name, resource in transformed["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }
        self.outputs: dict[str, Any] = {
            name: self._resolve(output["Value"])
            for name, output in transformed["Outputs"].items()
            if "Condition" not in output or self.holds(output["Condition"])
        }

    def of_type(self, type_name: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of the type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == type_name
        }

    def properties(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.resources[name]["Properties"]
        return found

    def statements(self, name: str) -> dict[str, dict[str, Any]]:
        """The statements of a role's only inline policy or of a managed policy, by Sid."""
        properties = self.properties(name)
        if "PolicyDocument" in properties:
            document = properties["PolicyDocument"]
        else:
            (policy,) = properties["Policies"]
            document = policy["PolicyDocument"]
        return {statement["Sid"]: statement for statement in document["Statement"]}

    def holds(self, condition: str) -> bool:
        return self._test(self._conditions[condition])

    def _test(self, expression: Any) -> bool:
        ((function, value),) = expression.items()
        match function:
            case "Condition":
                return self.holds(value)
            case "Fn::Not":
                return not self._test(value[0])
            case "Fn::And":
                return all(self._test(part) for part in value)
            case "Fn::Or":
                return any(self._test(part) for part in value)
            case "Fn::Equals":
                left, right = map(self._resolve, value)
                return str(left) == str(right)
        raise AssertionError(f"unknown condition function {function}")

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not _ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key == "Ref" or key.startswith("Fn::"):
                return self._call(key, inner)
        resolved = {key: self._resolve(inner) for key, inner in value.items()}
        return {key: inner for key, inner in resolved.items() if inner is not _ABSENT}

    def _call(self, function: str, value: Any) -> Any:  # noqa: PLR0911  one for each function
        match function:
            case "Ref":
                return self._reference(value)
            case "Fn::GetAtt":
                return "${" + (value if isinstance(value, str) else ".".join(value)) + "}"
            case "Fn::If":
                condition, yes, no = value
                return self._resolve(yes if self.holds(condition) else no)
            case "Fn::Join":
                return value[0].join(map(str, self._resolve(value[1])))
            case "Fn::Split":
                return self._resolve(value[1]).split(value[0])
            case "Fn::Select":
                return self._resolve(value[1])[int(value[0])]
            case "Fn::Sub":
                return self._substitute(value)
        raise AssertionError(f"unknown function {function}")

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        if name in self._lists:
            return self._parameters[name].split(",")
        return self._parameters.get(name, self._pseudo.get(name, "${" + name + "}"))

    def _substitute(self, value: Any) -> str:
        text, names = (value, {}) if isinstance(value, str) else value

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name in names:
                return str(self._resolve(names[name]))
            return "${" + name + "}" if "." in name else str(self._reference(name))

        return re.sub(r"\$\{([^!}]+)\}", replace, text)


class Decided(Stack):
    """The transformed template with parameters and conditions decided, for the tools that read templates.

    What only a deployment knows (resources, the region, the partition) stays a reference.
    """

    def template(self) -> dict[str, Any]:
        """A template without parameters and conditions."""
        resources = {
            name: {key: value for key, value in resource.items() if key != "Condition"}
            for name, resource in self.resources.items()
        }
        outputs = {name: {"Value": value} for name, value in self.outputs.items()}
        return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, "Outputs": outputs}

    def _call(self, function: str, value: Any) -> Any:
        if function in ("Fn::If", "Ref"):
            return super()._call(function, value)
        if function == "Fn::Sub":
            return self._substituted(value)
        known = value if function == "Fn::GetAtt" else self._resolve(value)
        if function == "Fn::GetAtt" or "Fn::" in str(known) or "'Ref'" in str(known):
            return {function: known}
        return super()._call(function, known)

    def _test(self, expression: Any) -> bool:
        # A condition may look at the partition: the one that was named, else that of most regions.
        match expression:
            case {"Fn::Equals": [{"Ref": name}, value]} if name in self._pseudo:
                return self._pseudo[name] == str(value)
        return super()._test(expression)

    def _reference(self, name: str) -> Any:
        if name in self._numbers:
            return int(self._parameters[name])
        if name == "AWS::NoValue" or name in self._parameters:
            return super()._reference(name)
        return {"Ref": name}

    def _substituted(self, value: Any) -> Any:
        text, given = (value, {}) if isinstance(value, str) else value
        names = {name: self._resolve(inner) for name, inner in given.items()}

        def known(match: re.Match[str]) -> str:
            found = names.get(match[1], self._parameters.get(match[1]))
            return found if isinstance(found, str) else match[0]

        text = re.sub(r"\$\{([^!}]+)\}", known, text)
        left = {name: inner for name, inner in names.items() if not isinstance(inner, str)}
        if "${" not in text:
            return text
        return {"Fn::Sub": [text, left] if left else text}


@functools.cache
def _transformed(path: Path, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    from samtranslator.translator.transform import transform  # noqa: PLC0415  a second to import

    template = source(path)
    for resource in template["Resources"].values():
        # `sam package` has uploaded the code by then.
        for name in ("CodeUri", "ContentUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://bucket/key"
    with mock.patch.dict("os.environ", {"AWS_DEFAULT_REGION": REGION}):
        transformed: dict[str, Any] = transform(
            template, {**_PSEUDO, **dict(parameters)}, _NoManagedPolicies()
        )
    return transformed


def _transform(path: Path, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return copy.deepcopy(_transformed(path, parameters))


class _NoManagedPolicies:
    """The template names no AWS managed policy, so the transform need not ask AWS for their list."""

    def load(self) -> dict[str, str]:
        return {}
