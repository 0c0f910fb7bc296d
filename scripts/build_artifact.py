"""Builds one artefact of the template into a folder: what `sam build` has each Makefile do.

    build_artifact.py vending-layer FOLDER      python/: token_vending and what it runs on
    build_artifact.py client-layer FOLDER       python/: token_client
    build_artifact.py function NAME FOLDER      app.py of functions/NAME, and the hash of the template

The same sources give the same bytes, whenever and wherever they are built: modification times and
the seed of string hashing are fixed, and the paths in the bytecode are those on Lambda. So `sam
deploy` uploads and publishes only what has changed. The bytecode is there because Lambda's file
system is read-only: without it, every cold start compiles every module again. It is never checked
against its source (PEP 552, unchecked): both come from one build.
"""

import argparse
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
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
# Kept of a package's metadata: what scanners recognise a package by, and its licence.
KEPT_METADATA = re.compile(r"^(METADATA|licen[cs]es?|licen[cs]e.*|notice.*|copying.*)$", re.IGNORECASE)
UNWANTED = ("__pycache__", "*.py[co]", "*.egg-info", "Makefile", "pyproject.toml")


def main() -> None:
    """Builds what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("vending-layer").add_argument("folder", type=Path)
    kinds.add_parser("client-layer").add_argument("folder", type=Path)
    function_arguments = kinds.add_parser("function")
    function_arguments.add_argument("name")
    function_arguments.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if arguments.kind == "vending-layer":
        build_vending_layer(folder)
    elif arguments.kind == "client-layer":
        build_client_layer(folder)
    else:
        build_function(arguments.name, folder)


def build_vending_layer(folder: Path) -> None:
    """Afterwards folder/python holds token_vending and the locked packages, and no native code."""
    python = _emptied(folder / "python")
    _install_locked(python)
    _prune_botocore(python / "botocore" / "data")
    _prune_metadata(python)
    shutil.rmtree(python / "bin", ignore_errors=True)
    (python / ".lock").unlink(missing_ok=True)
    _refuse_native_code(python)
    _copy(ROOT / "layers" / "token_vending" / "token_vending", python / "token_vending")
    write_aws_roots(
        python / "botocore" / "cacert.pem", python / "token_vending" / "adapters" / "aws-roots.pem"
    )
    _finish(folder, python, LAYER_PREFIX)


def build_client_layer(folder: Path) -> None:
    """Afterwards folder/python holds token_client alone: boto3 and urllib3 are the caller's runtime's."""
    python = _emptied(folder / "python")
    _copy(ROOT / "layers" / "token_client" / "token_client", python / "token_client")
    _finish(folder, python, LAYER_PREFIX)


def build_function(name: str, folder: Path) -> None:
    """Afterwards folder holds the function's own modules; everything else is in the layer.

    The template's hash is part of the code, since SAM asks for a new version whenever the function's properties
    change, and Lambda refuses one when nothing that a version carries has: tags, reserved concurrency.
    """
    source = ROOT / "functions" / name
    if not (source / "app.py").is_file():
        sys.exit(f"{source / 'app.py'} is missing")
    _emptied(folder)
    _copy(source, folder)
    (folder / "template.sha256").write_text(
        hashlib.sha256(TEMPLATE.read_bytes()).hexdigest(), encoding="ascii"
    )
    _finish(folder, folder, FUNCTION_PREFIX)


def _install_locked(python: Path) -> None:
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    options += ["--python", sys.executable, "--python-version", "3.13"]
    options += ["--python-platform", LAYER_PLATFORM]
    # A copy, since what is changed here would change uv's cache through a hard link.
    options += ["--link-mode", "copy", "--target", str(python)]
    _run([str(UV), "pip", "install", *options, "--requirement", str(LAYER_LOCK)])


def _prune_botocore(data: Path) -> None:
    """Takes the descriptions of all services away: the functions make no client, they sign their calls."""
    for service in data.iterdir():
        if service.is_dir():
            shutil.rmtree(service)
    (data / "endpoints.json").unlink()


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
    native = sorted(
        str(file.relative_to(python))
        for pattern in ("*.so", "*.so.*", "*.pyd")
        for file in python.rglob(pattern)
    )
    if native:
        sys.exit(f"the layer must be pure Python, but has {', '.join(native)}")


def _finish(folder: Path, code: Path, prefix: str) -> None:
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
