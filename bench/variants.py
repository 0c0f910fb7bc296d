"""What is measured: the built functions, and the rivals with their libraries in folders like Lambda's."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.aws import Aws
from tests.kit.runtime.artefacts import REFRESH, ROOT, RUNTIME_CLIENT_MODULES, VEND
from tests.kit.runtime.function import lambda_variables
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import ACCOUNT_ID

RIVALS = Path(__file__).parent / "rivals"
PREPARED = ROOT / ".build" / "benchmarks"
LIBRARIES = (
    "annotated_types",
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "pydantic",
    "pydantic_core",
    "s3transfer",
    "six",
    "typing_extensions",
    "typing_inspection",
    "urllib3",
    "wrapt",
)
AWS_ROOTS = Path("token_vending", "adapters", "aws-roots.pem")
REFRESH_ARN = "arn:aws:lambda:eu-west-1:111122223333:function:refresh:live"

HTTP_EVENT: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/token",
    "rawQueryString": "",
    "headers": {"host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws", "accept": "*/*"},
    "requestContext": {
        "accountId": ACCOUNT_ID,
        "apiId": "abcdefghijklmnopqrstuvwxyz012345",
        "authorizer": {"iam": {"accountId": ACCOUNT_ID, "userArn": CALLER.user_arn}},
        "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws",
        "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
        "http": {
            "method": "GET",
            "path": "/token",
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "",
        },
        "requestId": "3f1d6a5e-0f3c-4a43-9d6f-9c6f0b0a7c11",
        "routeKey": "$default",
        "stage": "$default",
        "time": "24/Nov/2026:02:00:00 +0000",
        "timeEpoch": 1795485600000,
    },
    "isBase64Encoded": False,
}


@dataclass(frozen=True)
class Variant:
    """One function under the clock. `label` is its row in the report."""

    name: str
    label: str
    task_root: Path
    import_paths: tuple[Path, ...]
    event: Any = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Variants:
    """Everything that is measured, ready to be started."""

    def __init__(self, build: Path, aws: Aws) -> None:
        self._aws = aws
        self.build = build
        with_bytecode, without, trimmed, self.runtime_client = _prepare()
        authority = aws.authority.read_text()
        self.layer = trusting(
            build / "TokenVendingLayer" / "python", authority, aws.authority.with_name("layer")
        )
        small, full = self._certificates(with_bytecode)
        self.environment = {
            **lambda_variables("measured"),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "TOKEN_SECRET_ID": aws.addresses["token"],
            "CREDENTIALS_SECRET_ID": aws.addresses["credentials"],
            "REFRESH_FUNCTION_NAME": REFRESH_ARN,
            "PERSONR_BASE_URL": aws.addresses["vendor"],
            "ALLOWED_CALLERS": f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service",
            "STACK_NAME": "benchmark",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.addresses["secrets_manager"],
            "AWS_ENDPOINT_URL_LAMBDA": aws.addresses["lambda"],
            # The vendor's certificate is checked against the system's authorities, of which this is one here.
            "SSL_CERT_FILE": str(full),
        }
        rivals = PREPARED / "rivals"
        all_roots = {"AWS_CA_BUNDLE": str(full)}
        few_roots = {"AWS_CA_BUNDLE": str(small)}
        vend = build / VEND
        refresh = build / REFRESH
        bare = self._without_bytecode(vend, self.layer)
        versioned = aws.addresses["token_version"]

        def rival(name: str, label: str, file: str, libraries: Path, **more: str) -> Variant:
            event = HTTP_EVENT if file == "textbook" else {}
            return Variant(name, label, rivals / file, (libraries,), event, {**all_roots, **more})

        def powertools(name: str, client: str, label: str, libraries: Path, **more: str) -> Variant:
            label = f"Logger, Metrics, {label}"
            return rival(name, label, "powertools", libraries, CLIENT=client, **more)

        textbook = "textbook: Logger, Metrics, Tracer, event handler, `parameters`"
        signed = "urllib3, botocore's signer, small CA file"
        self.all = [
            rival("empty", "an empty function", "empty", with_bytecode),
            rival("textbook", textbook, "textbook", with_bytecode),
            rival(
                "textbook-validation",
                "textbook with validation",
                "textbook",
                with_bytecode,
                VALIDATION="true",
            ),
            powertools("boto3", "boto3", "boto3", with_bytecode),
            powertools("boto3-no-bytecode", "boto3", "boto3, no bytecode (SAM's default build)", without),
            powertools(
                "botocore", "botocore", "botocore with trimmed data, small CA file", trimmed, **few_roots
            ),
            powertools("urllib3", "urllib3", signed, with_bytecode, **few_roots),
            rival("floor", "signer and log lines written by hand", "floor", with_bytecode, **few_roots),
            # The hand-out trusts what its layer ships, and no bundle is named to it.
            Variant("vend", "**vend**, direct invoke", vend, (self.layer,)),
            Variant("vend-http", "**vend**, HTTP", vend, (self.layer,), event=HTTP_EVENT),
            Variant("vend-no-bytecode", "**vend**, its bytecode taken away", bare[0], (bare[1],)),
            Variant("refresh", "**refresh**, nothing due", refresh, (self.layer,), environment=all_roots),
            Variant(
                "refresh-mint",
                "**refresh**, a whole refresh",
                refresh,
                (self.layer,),
                event={"force": True},
                environment=all_roots,
            ),
        ]
        plain = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.addresses["plain_secrets_manager"],
            "TOKEN_SECRET_ID": aws.addresses["plain_token"],
        }
        self.all += [
            replace(
                self[name],
                name=f"{name}-plain",
                label=f"{self[name].label}; AWS over plain HTTP",
                environment={**self[name].environment, **plain},
            )
            for name in ("textbook", "boto3", "vend", "vend-http")
        ]
        self.warm_events: dict[str, Any] = {
            "vend": {},
            "vend-http": HTTP_EVENT,
            "vend-304": {**HTTP_EVENT, "headers": {"if-none-match": f'"{versioned}"'}},
            "vend-rejected": {"rejected_version": "00000000-0000-4000-8000-000000000000"},
        }

    def __getitem__(self, name: str) -> Variant:
        return next(variant for variant in self.all if variant.name == name)

    def environment_of(self, variant: Variant) -> dict[str, str]:
        """The whole environment of its process."""
        return {**self.environment, **variant.environment}

    def _certificates(self, libraries: Path) -> tuple[Path, Path]:
        """(AWS's roots as the layer ships them, all roots as botocore ships them), the stand-in's added to both."""
        authority = self._aws.authority.read_text()
        small = self._aws.authority.with_name("small.pem")
        full = self._aws.authority.with_name("full.pem")
        small.write_text((self.layer / AWS_ROOTS).read_text())
        full.write_text((libraries / "botocore" / "cacert.pem").read_text() + authority)
        return small, full

    def _without_bytecode(self, task_root: Path, layer: Path) -> tuple[Path, Path]:
        folder = self._aws.authority.with_name("without-bytecode")
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(task_root, folder / "task", ignore=ignore)
        shutil.copytree(layer, folder / "layer", ignore=ignore)
        return folder / "task", folder / "layer"


def trusting(layer: Path, authority: str, copy: Path) -> Path:
    """A copy of the built layer whose few authorities include this one, the stand-in's.

    Raises FileNotFoundError if the build has left the file of authorities out: what would be measured then is
    not what is meant.
    """
    shipped = (layer / AWS_ROOTS).read_text()
    shutil.copytree(layer, copy)
    (copy / AWS_ROOTS).write_text(shipped + authority)
    return copy


def _prepare() -> tuple[Path, Path, Path, Path]:
    """(the rivals' libraries with bytecode, the same without, the same with botocore's data trimmed, the runtime
    client); made once per set of versions.
    """
    PREPARED.mkdir(parents=True, exist_ok=True)
    versions = "\n".join(
        sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name)
    )
    contents = "".join(file.read_text() for file in sorted(RIVALS.glob("*.py")))
    wanted = hashlib.sha256(f"{sys.version}{versions}{contents}".encode()).hexdigest()
    stamp = PREPARED / "stamp"
    folders = (
        PREPARED / "libraries",
        PREPARED / "libraries-without-bytecode",
        PREPARED / "libraries-trimmed",
        PREPARED / "runtime-client",
    )
    with (PREPARED.parent / ".benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return folders
        shutil.rmtree(PREPARED)
        with tempfile.TemporaryDirectory(dir=PREPARED.parent) as temporary:
            made = Path(temporary)
            for folder in folders[:3]:
                _copy_modules(LIBRARIES, made / folder.name)
            _trim(made / folders[2].name / "botocore" / "data")
            _copy_modules(RUNTIME_CLIENT_MODULES, made / folders[3].name)
            for file in RIVALS.glob("*.py"):
                (made / "rivals" / file.stem).mkdir(parents=True)
                shutil.copy(file, made / "rivals" / file.stem / "app.py")
            for name in (folders[0].name, folders[2].name, folders[3].name, "rivals"):
                _compile(made / name)
            (made / "stamp").write_text(wanted)
            made.rename(PREPARED)
            made.mkdir()  # for the context manager to remove
    return folders


def _copy_modules(names: tuple[str, ...], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"{name} is not installed in the development environment")
        origin = Path(spec.origin)
        if spec.submodule_search_locations:
            shutil.copytree(
                origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        else:
            shutil.copy(origin, folder / origin.name)


def _trim(data: Path) -> None:
    """Leaves of botocore's data what a client of Secrets Manager in one partition needs."""
    for service in data.iterdir():
        if service.is_dir() and service.name != "secretsmanager":
            shutil.rmtree(service)
    endpoints = json.loads((data / "endpoints.json").read_text())
    endpoints["partitions"] = [part for part in endpoints["partitions"] if part["partition"] == "aws"]
    for part in endpoints["partitions"]:
        part["services"] = {"secretsmanager": part["services"]["secretsmanager"]}
    (data / "endpoints.json").write_text(json.dumps(endpoints))


def _compile(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, str(folder)], env=environment, check=True)
