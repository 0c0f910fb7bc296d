"""What is measured: the built functions, and the rivals with their libraries in folders like Lambda's."""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import botocore

from bench.aws import serve, served
from scripts.build import build
from scripts.build_artifact import finish, prune_botocore
from tests.kit.runtime.artefacts import REFRESH, ROOT, VEND, interpreter, runtime_client_folder
from tests.kit.runtime.function import lambda_variables
from tests.kit.runtime.function_url import http_event
from tests.kit.secrets_manager.server import ACCOUNT_ID
from tests.kit.stand_ins.loopback import Request

PREPARED = ROOT / ".build" / "benchmarks"
LIBRARIES = (
    *(
        "annotated_types",
        "aws_lambda_powertools",
        "aws_xray_sdk",
        "boto3",
        "botocore",
        "dateutil",
        "jmespath",
    ),
    *(
        "pydantic",
        "pydantic_core",
        "s3transfer",
        "six",
        "typing_extensions",
        "typing_inspection",
        "urllib3",
        "wrapt",
    ),
)
AWS_ROOTS = Path("token_vending", "adapters", "aws-roots.pem")
HTTP_EVENT = http_event(Request("GET", "/token", {"accept": "*/*"}, b"", connection=None))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Variant:
    """One function under the clock. `label` is its row in the report."""

    name: str
    label: str
    task_root: Path
    import_paths: tuple[Path, ...]
    event: Any = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def prepared() -> Iterator["Variants"]:
    """The variants with their stand-ins, ready to be started."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, served(serve) as aws:
        yield Variants(build(), Path(folder), aws)


class Variants:
    """Everything that is measured. `folder` takes what this run alone needs, `aws` is what the stand-ins sent."""

    def __init__(self, build: Path, folder: Path, aws: Mapping[str, str]) -> None:
        self.build = build
        libraries = _libraries()
        with_bytecode = libraries / "compiled"
        layer = trusting(build / "TokenVendingLayer" / "python", aws["authority"], folder / "layer")
        small, full = layer / AWS_ROOTS, folder / "full.pem"
        full.write_text((with_bytecode / "botocore" / "cacert.pem").read_text() + aws["authority"])
        bare = shutil.copytree(build / VEND, folder / "bare", ignore=shutil.ignore_patterns("__pycache__"))
        bare_layer = shutil.copytree(
            layer, folder / "bare-layer", ignore=shutil.ignore_patterns("__pycache__")
        )
        self.environment = {
            **lambda_variables("measured"),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "TOKEN_SECRET_ID": aws["token"],
            "CREDENTIALS_SECRET_ID": aws["credentials"],
            "REFRESH_FUNCTION_NAME": "arn:aws:lambda:eu-west-1:111122223333:function:refresh:live",
            "PERSONR_BASE_URL": aws["vendor"],
            "ALLOWED_CALLERS": f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service",
            "STACK_NAME": "benchmark",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws["secrets_manager"],
            "AWS_ENDPOINT_URL_LAMBDA": aws["lambda"],
            # The vendor's certificate is checked against the system's authorities, of which this is one here.
            "SSL_CERT_FILE": str(full),
        }
        all_roots = {"AWS_CA_BUNDLE": str(full)}
        few_roots = {"AWS_CA_BUNDLE": str(small)}

        def rival(
            name: str, label: str, file: str = "powertools", folder: str = "compiled", **more: str
        ) -> Variant:
            paths = (libraries / folder,)
            event = HTTP_EVENT if file == "textbook" else {}
            return Variant(name, label, libraries / "rivals" / file, paths, event, {**all_roots, **more})

        def ours(name: str, label: str, function: str = VEND, **more: Any) -> Variant:
            return Variant(name, label, build / function, (layer,), **more)

        common = "Logger, Metrics, "
        textbook = "textbook: Logger, Metrics, Tracer, event handler, `parameters`"
        no_bytecode = "boto3, no bytecode (SAM's default build)"
        botocore_only = "botocore with trimmed data, small CA file"
        signed = "urllib3, botocore's signer, small CA file"
        self.all = [
            rival("empty", "an empty function", "empty"),
            rival("textbook", textbook, "textbook"),
            rival("textbook-validation", "textbook with validation", "textbook", VALIDATION="true"),
            rival("boto3", common + "boto3", CLIENT="boto3"),
            rival("boto3-no-bytecode", common + no_bytecode, folder="not-compiled", CLIENT="boto3"),
            rival("botocore", common + botocore_only, folder="trimmed", CLIENT="botocore", **few_roots),
            rival("urllib3", common + signed, CLIENT="urllib3", **few_roots),
            rival("floor", "signer and log lines written by hand", "floor", **few_roots),
            # The hand-out trusts what its layer ships, and no bundle is named to it.
            ours("vend", "**vend**, direct invoke"),
            ours("vend-http", "**vend**, HTTP", event=HTTP_EVENT),
            Variant("vend-no-bytecode", "**vend**, its bytecode taken away", bare, (bare_layer,)),
            ours("refresh", "**refresh**, nothing due", REFRESH, environment=all_roots),
            ours(
                "refresh-mint",
                "**refresh**, a whole refresh",
                REFRESH,
                event={"force": True},
                environment=all_roots,
            ),
        ]
        plain = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws["plain_secrets_manager"],
            "TOKEN_SECRET_ID": aws["plain_token"],
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
        known = {"if-none-match": f'"{aws["token_version"]}"'}
        reported = {"rejected_version": "00000000-0000-4000-8000-000000000000"}
        empty, vend, rivals = (
            self["empty"],
            self["vend"],
            ("textbook", "boto3", "botocore", "urllib3", "floor"),
        )
        rows: tuple[tuple[str, str, Any], ...] = (
            ("vend", "direct, from the copy", {}),
            ("vend-http", "HTTP, from the copy", HTTP_EVENT),
            ("vend-304", "HTTP, 304", {**HTTP_EVENT, "headers": known}),
            ("vend-rejected", "a version reported: asks the store", reported),
        )
        self.warm = [
            empty,
            replace(
                empty, name="empty-http", label="an empty function, given the HTTP event", event=HTTP_EVENT
            ),
            *map(self.__getitem__, rivals),
            *(replace(vend, name=name, label=f"**vend**, {what}", event=event) for name, what, event in rows),
        ]

    def __getitem__(self, name: str) -> Variant:
        return next(variant for variant in self.all if variant.name == name)

    def environment_of(self, variant: Variant) -> dict[str, str]:
        """The whole environment of its process, the runtime client's aside."""
        paths = (variant.task_root, *variant.import_paths, runtime_client_folder())
        return {
            **self.environment,
            **variant.environment,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            # As on Lambda, where the folders are read-only: what has no bytecode gets none.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, variant: Variant, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Python with these arguments, as the variant's process would start."""
        return subprocess.run(
            [interpreter(), "-S", *arguments],
            cwd=variant.task_root,
            env={**self.environment_of(variant), **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )


def trusting(layer: Path, authority: str, copy: Path) -> Path:
    """A copy of the built layer whose few authorities include this one, the stand-in's.

    Raises FileNotFoundError if the build has left the file of authorities out: what would be measured then is
    not what is meant.
    """
    shipped = (layer / AWS_ROOTS).read_text()
    shutil.copytree(layer, copy)
    (copy / AWS_ROOTS).write_text(shipped + authority)
    return copy


def _libraries() -> Path:
    """The rivals, and their libraries compiled, not compiled, and with botocore's data trimmed; made once per set of
    versions.
    """
    versions = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name)
    rivals = sorted(Path(__file__).with_name("rivals").glob("*.py"))
    contents = [sys.version, *versions, *(file.read_text() for file in rivals)]
    folder = PREPARED / hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]
    with (PREPARED.parent / ".benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        shutil.rmtree(PREPARED, ignore_errors=True)
        made = PREPARED / "new"
        installed = Path(botocore.__file__).parents[1]
        for name in LIBRARIES:
            target = made / "compiled" / name
            if (installed / name).is_dir():
                shutil.copytree(installed / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(installed / f"{name}.py", made / "compiled")
        shutil.copytree(made / "compiled", made / "not-compiled")
        shutil.copytree(made / "compiled", made / "trimmed")
        prune_botocore(made / "trimmed" / "botocore" / "data")
        for file in rivals:
            (made / "rivals" / file.stem).mkdir(parents=True)
            shutil.copy(file, made / "rivals" / file.stem / "app.py")
        for name in ("compiled", "trimmed", "rivals"):
            finish(made / name, made / name, str(folder / name))
        made.rename(folder)
    return folder
