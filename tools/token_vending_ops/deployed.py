"""A deployed stack as its account shows it: outputs, physical names, clients."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


class NoSuchStackError(Exception):
    """There is no stack of that name in this account and region."""


class MissingPartError(Exception):
    """The stack has no output, resource or parameter of that name: it was not deployed completely."""


class Parts(dict[str, str]):
    """Names of a stack's parts and what they stand for."""

    def __missing__(self, name: str) -> str:
        raise MissingPartError(name)


class DeployedStack:
    """One stack. Raises NoSuchStackError, and botocore's errors when AWS cannot be asked.

    `outputs`, `resources` and `parameters` raise MissingPartError for a name that they do not have.
    """

    def __init__(self, name: str, session: boto3.Session) -> None:
        self.name = name
        self._session = session
        self.client = cache(self._client)
        formation = self.client("cloudformation")
        try:
            described = formation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                raise NoSuchStackError(
                    f"There is no stack {name!r} in the region {session.region_name}."
                ) from error
            raise
        self.region: str = formation.meta.region_name
        self.status: str = described["StackStatus"]
        # A stack whose creation failed, or is under way, has none.
        self.outputs: dict[str, str] = Parts(
            (output["OutputKey"], output["OutputValue"]) for output in described.get("Outputs", [])
        )
        self.parameters: dict[str, str] = Parts(
            (p["ParameterKey"], p.get("ParameterValue", "")) for p in described.get("Parameters", [])
        )
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=name)
        self.resources: dict[str, str] = Parts(
            (resource["LogicalResourceId"], resource["PhysicalResourceId"])
            for page in pages
            for resource in page["StackResourceSummaries"]
            if "PhysicalResourceId" in resource
        )

    @property
    def has_url(self) -> bool:
        """Whether it was deployed with the Function URL."""
        return self.parameters.get("UrlDoor", "true") == "true"

    @property
    def vend_function_arn(self) -> str:
        """Without the alias."""
        return self.outputs["VendFunctionArn"].removesuffix(":live")

    @property
    def account(self) -> str:
        """The id of the account that it stands in."""
        return self.outputs["VendFunctionArn"].split(":")[4]

    @property
    def caller_accounts(self) -> frozenset[str]:
        """The other accounts whose callers may ask."""
        return frozenset(filter(None, self.parameters.get("CallerAccountIds", "").split(",")))

    def _client(self, service: str) -> Any:  # noqa: ANN401  boto3's clients have no common type
        return self._session.client(
            service,  # type: ignore[call-overload]
            config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3}),
        )
