"""The template as CloudFormation would see it: SAM's own transform, then conditions and functions resolved.

What only a deployment knows keeps a readable name: `Ref` of a resource becomes `${Name}`, `Fn::GetAtt`
becomes `${Name.Attribute}`. A test then compares whole statements, e.g. `"Resource": "${TokenSecret.Id}"`.
"""

import copy
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

ROOT = Path(__file__).resolve().parents[1]
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
"""What companies ask for first."""
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


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


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
        if unknown:
            raise ValueError(f"no such parameters: {sorted(unknown)}")
        self._parameters |= parameters or {}
        self._numbers = {n for n, s in template["Parameters"].items() if s["Type"] == "Number"}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._reference,
            "Condition": self.holds,
            "Fn::GetAtt": lambda v: "${" + (v if isinstance(v, str) else ".".join(v)) + "}",
            "Fn::If": lambda v: self._resolve(v[1] if self.holds(v[0]) else v[2]),
            "Fn::Not": lambda v: not self._resolve(v[0]),
            "Fn::And": lambda v: all(map(self._resolve, v)),
            "Fn::Or": lambda v: any(map(self._resolve, v)),
            "Fn::Equals": self._equal,
            "Fn::Join": lambda v: v[0].join(map(str, self._resolve(v[1]))),
            "Fn::Split": lambda v: self._resolve(v[1]).split(v[0]),
            "Fn::Select": lambda v: self._resolve(v[1])[int(v[0])],
            "Fn::Sub": self._substitute,
        }
        transformed = _transformed(path, tuple(sorted(self._parameters.items())))
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
        """Of one resource."""
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
        """Whether this condition of the template does."""
        return bool(self._resolve(self._conditions[condition]))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not _ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            # The condition of a policy's statement is a mapping.
            if key == "Ref" or key.startswith("Fn::") or (key == "Condition" and isinstance(inner, str)):
                return self._functions[key](inner)
        resolved = {key: self._resolve(inner) for key, inner in value.items()}
        return {key: inner for key, inner in resolved.items() if inner is not _ABSENT}

    def _equal(self, sides: list[Any]) -> bool:
        return len({str(self._resolve(side)) for side in sides}) == 1

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        if name in self._numbers:
            return int(self._parameters[name])
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
            name: {key: _referring(value) for key, value in resource.items() if key != "Condition"}
            for name, resource in self.resources.items()
        }
        outputs = {name: {"Value": _referring(value)} for name, value in self.outputs.items()}
        return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, "Outputs": outputs}

    def _reference(self, name: str) -> Any:
        # The template cuts a part out of the stack's id.
        if name in self._pseudo and name != "AWS::StackId":
            return "${" + name + "}"
        return super()._reference(name)

    def _equal(self, sides: list[Any]) -> bool:
        match sides:
            case [{"Ref": name}, value] if name in self._pseudo:
                return self._pseudo[name] == str(value)
        return super()._equal(sides)


def _referring(value: Any) -> Any:
    """The functions again in place of the readable names."""
    if isinstance(value, dict):
        return {key: _referring(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_referring(inner) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if found := re.fullmatch(r"\$\{([\w:]+)\}", value):
        return {"Ref": found[1]}
    if found := re.fullmatch(r"\$\{(\w+)\.([\w.]+)\}", value):
        return {"Fn::GetAtt": [found[1], found[2]]}
    return {"Fn::Sub": value}


@functools.cache
def _transformed(path: Path, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    from samtranslator.translator.transform import transform  # noqa: PLC0415  a second to import

    template = source(path)
    for resource in template["Resources"].values():
        # `sam package` has uploaded the code by then.
        for name in ("CodeUri", "ContentUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://bucket/key"
    # The template names no AWS managed policy, so the transform need not ask AWS for their list.
    managed = mock.Mock(load=dict)
    with mock.patch.dict("os.environ", {"AWS_DEFAULT_REGION": REGION}):
        transformed: dict[str, Any] = transform(template, {**_PSEUDO, **dict(parameters)}, managed)
    return transformed
