"""Builds one artefact of the template into a folder: what `sam build` has each Makefile do.

    build_artifact.py vending-layer FOLDER      python/: token_vending and what both functions run on
    build_artifact.py client-layer FOLDER       python/: token_client
    build_artifact.py node-client-layer FOLDER  nodejs/node_modules/: @token-vending/client
    build_artifact.py function NAME FOLDER      app.py of functions/NAME and the hash of the template; the refresh
                                                function's with boto3

The same sources give the same bytes, whenever and wherever they are built: modification times and
the seed of string hashing are fixed, and the paths in the bytecode are those on Lambda. So `sam
deploy` uploads and publishes only what has changed. The bytecode is there because Lambda's file
system is read-only: without it, every cold start compiles every module again. It is never checked
against its source (PEP 552, unchecked): both come from one build.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
LAYER_LOCK = ROOT / "requirements" / "layer.txt"
LAYER_PLATFORM = "aarch64-manylinux2014"
LAYER_PREFIX = "/opt/python"
UV = ROOT / ".build" / "uv" / "bin" / "uv"
FUNCTION_PREFIX = "/var/task"
# The earliest time a zip file can hold.
FIXED_TIME_SECONDS = 315532800
# https://www.amazontrust.com/repository/: the roots of Amazon Trust Services, and the one that has cross-signed
# theirs. An older one has cross-signed that in turn, and is taken for as long as botocore trusts it.
AWS_ROOTS = {
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
}
OLDER_AWS_ROOTS = {"Starfield Class 2 Certification Authority"}
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# What the refresh function brings itself. botocore stays in the layer of both: two of them would leave it to the order
# of the folders which one is taken.
SDK = {"boto3", "s3transfer"}
# The services that the refresh function has clients of.
SERVICES = {"secretsmanager", "events"}
# Kept of a package's metadata: what scanners recognise a package by, and its licence.
KEPT_METADATA = re.compile(r"^(METADATA|licen[cs]es?|licen[cs]e.*|notice.*|copying.*)$", re.IGNORECASE)
UNWANTED = ("__pycache__", "*.py[co]", "*.egg-info", "Makefile", "pyproject.toml")


def main() -> None:
    """Builds what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    layers = {
        "vending-layer": build_vending_layer,
        "client-layer": build_client_layer,
        "node-client-layer": build_node_client_layer,
    }
    parser.add_argument("kind", choices=(*layers, "function"))
    parser.add_argument("name", nargs="?", help="of the function")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if arguments.kind == "function":
        build_function(str(arguments.name), folder)
    else:
        layers[arguments.kind](folder)


def build_vending_layer(folder: Path) -> None:
    """Afterwards folder/python holds token_vending and the locked packages, and no native code."""
    python = _emptied(folder / "python")
    _install_locked(python, lambda name: name not in SDK)
    prune_botocore(python / "botocore" / "data")
    # A page for browsers, and time zones by name: nothing here asks for them.
    for asset in (python / "aws_lambda_powertools" / "event_handler" / "openapi" / "swagger_ui").glob(
        "*.[!p]*"
    ):
        asset.unlink()
    # It is under the Apache License 2.0 as botocore is, and has left the text out.
    (signers,) = python.glob("aws_sdk_signers-*.dist-info")
    shutil.copy(next(python.glob("botocore-*.dist-info/LICENSE.txt")), signers)
    (python / "dateutil" / "zoneinfo" / "dateutil-zoneinfo.tar.gz").unlink()
    _copy(ROOT / "layers" / "token_vending" / "token_vending", python / "token_vending")
    write_aws_roots(
        python / "botocore" / "cacert.pem", python / "token_vending" / "adapters" / "aws-roots.pem"
    )
    finish(folder, python, LAYER_PREFIX)


def build_client_layer(folder: Path) -> None:
    """Afterwards folder/python holds token_client alone: boto3 and urllib3 are the caller's runtime's."""
    python = _emptied(folder / "python")
    _copy(ROOT / "layers" / "token_client" / "token_client", python / "token_client")
    finish(folder, python, LAYER_PREFIX)


def build_node_client_layer(folder: Path) -> None:
    """Afterwards the layer holds the package as npm would install it: the AWS SDK is the caller's runtime's."""
    source = ROOT / "clients" / "node"
    package = _emptied(folder / "nodejs") / "node_modules" / "@token-vending" / "client"
    _copy(source / "src", package / "src")
    for name in ("package.json", "index.d.ts", "testing.d.ts"):
        shutil.copy(source / name, package)
    finish(folder, package, LAYER_PREFIX)


def build_function(name: str, folder: Path) -> None:
    """Afterwards folder holds the function's own modules, and the SDK if it is the refresh function; everything
    else is in the layer.

    The template's hash is part of the code, since SAM asks for a new version whenever the function's properties
    change, and Lambda refuses one when nothing that a version carries has: tags, reserved concurrency.
    """
    source = ROOT / "functions" / name
    if not (source / "app.py").is_file():
        sys.exit(f"{source / 'app.py'} is missing")
    _emptied(folder)
    if name == "refresh":
        _install_locked(folder, SDK.__contains__)
        # Resources, which are not used, and their examples.
        shutil.rmtree(folder / "boto3" / "data")
        shutil.rmtree(folder / "boto3" / "examples")
    _copy(source, folder)
    (folder / "template.sha256").write_text(
        hashlib.sha256(TEMPLATE.read_bytes()).hexdigest(), encoding="ascii"
    )
    finish(folder, folder, FUNCTION_PREFIX)


def _install_locked(folder: Path, wanted: Callable[[str], bool]) -> None:
    """Installs those of the locked packages that are wanted, and leaves nothing of the installer's."""
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    options += ["--python", sys.executable, "--python-version", "3.13"]
    options += ["--python-platform", LAYER_PLATFORM]
    # A copy, since what is changed here would change uv's cache through a hard link.
    options += ["--link-mode", "copy", "--target", str(folder)]
    pins = re.findall(r"^[a-z0-9-]+==.*(?:\n +.*)*", LAYER_LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lock:
        lock.write("\n".join(pin for pin in pins if wanted(pin.partition("==")[0])))
        lock.flush()
        _run([str(UV), "pip", "install", *options, "--requirement", lock.name])
    _prune_metadata(folder)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    _refuse_native_code(folder)


def prune_botocore(data: Path) -> None:
    """Leaves the descriptions of our services, and in the older table of endpoints theirs, in every partition.

    The endpoints themselves are made by rules that lie with each service, of partitions.json.
    """
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    table = data / "endpoints.json"
    endpoints = json.loads(table.read_text(encoding="utf-8"))
    for partition in endpoints["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in sorted(SERVICES & known.keys())}
    table.write_text(json.dumps(endpoints, separators=(",", ":")), encoding="utf-8")


def write_aws_roots(every: Path, target: Path) -> None:
    """Writes those authorities of `every` that AWS's certificates are from: what adapters/aws_trust.py reads."""
    found: dict[str, str] = {}
    for certificate in CERTIFICATE.findall(every.read_text(encoding="utf-8")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=certificate)
        subject: Any = context.get_ca_certs()[0]["subject"]
        names = dict(pair for pairs in subject for pair in pairs)
        name = names.get("commonName") or names.get("organizationalUnitName", "")
        if name in AWS_ROOTS | OLDER_AWS_ROOTS:
            found[name] = certificate
    if not found.keys() >= AWS_ROOTS:
        sys.exit(f"{every} lacks {', '.join(sorted(AWS_ROOTS - found.keys()))}")
    target.write_text("".join(f"# {name}\n{found[name]}\n" for name in sorted(found)), encoding="utf-8")


def _prune_metadata(python: Path) -> None:
    for entry in python.glob("*.dist-info/*"):
        if KEPT_METADATA.match(entry.name):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _refuse_native_code(python: Path) -> None:
    native = [file for pattern in ("*.so", "*.so.*", "*.pyd") for file in python.rglob(pattern)]
    if native:
        names = sorted(str(file.relative_to(python)) for file in native)
        sys.exit(f"the layer must be pure Python, but has {', '.join(names)}")


def finish(folder: Path, code: Path, prefix: str) -> None:
    """Compiles the code under its path on Lambda, and fixes modes and times."""
    # In a process of its own: the seed is read when Python starts.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    options = ["-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    paths = ["-s", str(code), "-p", prefix]
    _run([sys.executable, "-m", "compileall", *options, *paths, str(code)], environment)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (FIXED_TIME_SECONDS, FIXED_TIME_SECONDS))


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*UNWANTED), dirs_exist_ok=True)


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    finished = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if finished.returncode:
        sys.exit(f"failed ({finished.returncode}): {' '.join(command)}")


if __name__ == "__main__":
    main()
