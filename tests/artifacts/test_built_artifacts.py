"""What `sam build` makes: complete, pure Python, compiled, and the same bytes every time."""

import json
import marshal
import os
import re
import subprocess
import sys
from email.parser import HeaderParser
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

import boto3
import botocore
import pytest

from scripts import build
from tests.kit.stack.embedded import ROOT

# PEP 552: bit 0, the bytecode names its source by hash; bit 1, the hash is checked at every import.
UNCHECKED_HASH = (1).to_bytes(4, "little")
# Lambda's limit for a function with its layers is 250 MB; this is about what a cold start has to fetch.
LARGEST_LAYER_BYTES = 11_000_000
LARGEST_FUNCTION_BYTES = 1_500_000
BOTOCORE_DATA = Path(botocore.__file__).with_name("data")


@pytest.fixture(scope="module")
def built() -> Path:
    return build.build()


@pytest.fixture(scope="module")
def layer(built: Path) -> Path:
    return built / "TokenVendingLayer" / "python"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def held(folder: Path) -> dict[str, str]:
    """Package → version."""
    described = [HeaderParser().parsestr(path.read_text("utf-8")) for path in folder.glob("*/METADATA")]
    return {re.sub(r"[-_.]+", "-", fields["Name"]).lower(): fields["Version"] for fields in described}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_layer_and_refresh_function_hold_what_the_lock_names_in_those_versions_and_nothing_else(
    built: Path, layer: Path
) -> None:
    lock = (ROOT / "requirements" / "layer.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    in_layer, in_function = held(layer), held(built / "RefreshFunction")
    assert in_function.keys() == {"boto3", "s3transfer"}
    assert not in_layer.keys() & in_function.keys()
    assert in_layer | in_function == pins


def test_everything_is_pure_python_and_the_installer_leaves_nothing_of_its_own(
    built: Path, layer: Path
) -> None:
    assert [path for path in files(built) if path.suffix in {".so", ".pyd", ".dylib"}] == []
    assert [name for name in names(layer) if name.startswith(".") or name == "bin"] == []


def test_the_layer_describes_the_services_of_the_refresh_function_alone(layer: Path) -> None:
    services = {path.name for path in (layer / "botocore" / "data").iterdir() if path.is_dir()}
    assert services == {"secretsmanager", "events"}


# In every partition a region that the SDK knows, and one that it has never heard of.
KNOWN = [
    list(partition["regions"])[-1]
    for partition in json.loads((BOTOCORE_DATA / "partitions.json").read_text())["partitions"]
]
REGIONS = [*KNOWN, *(f"{region}9" for region in KNOWN)]
ENDPOINTS = """
import boto3, itertools, sys
from botocore.config import Config
session = boto3.Session()
for region, service, fips, dual in itertools.product(sys.argv[1:], ("secretsmanager", "events"), (0, 1), (0, 1)):
    config = Config(region_name=region, use_fips_endpoint=bool(fips), use_dualstack_endpoint=bool(dual))
    try:
        client = session.client(service, config=config)
        found = [client.meta.endpoint_url, client.meta.partition, client.meta.service_model.operation_names]
    except Exception as error:
        found = str(error)
    print(region, service, fips, dual, found)
"""


def test_the_functions_own_sdk_finds_the_endpoints_that_the_whole_one_does(built: Path, layer: Path) -> None:
    function = built / "RefreshFunction"
    whole = Path(boto3.__file__).parents[1]
    found, wanted = (
        subprocess.run(
            [sys.executable, "-S", "-c", ENDPOINTS, *REGIONS],
            env={"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout.splitlines()
        for paths in ((function, layer), (whole,))
    )
    assert len(found) == 8 * len(REGIONS) > 60
    assert found == wanted


def test_what_a_cold_start_fetches_stays_small(built: Path, layer: Path) -> None:
    assert sum(path.stat().st_size for path in files(layer)) < LARGEST_LAYER_BYTES
    assert sum(path.stat().st_size for path in files(built / "RefreshFunction")) < LARGEST_FUNCTION_BYTES


@pytest.mark.parametrize(
    ("artefact", "held"),
    [
        ("RefreshFunction", {"app.py", "template.sha256", "__pycache__", "boto3", "s3transfer"}),
        ("VendFunction", {"app.py", "template.sha256", "__pycache__"}),
        ("TokenClientLayer/python", {"token_client"}),
        (
            "TokenClientNodeLayer/nodejs/node_modules/@token-vending/client",
            {"package.json", "src", "index.d.ts", "testing.d.ts"},
        ),
    ],
)
def test_an_artefact_holds_what_lambda_looks_for_there_and_nothing_else(
    built: Path, artefact: str, held: set[str]
) -> None:
    assert {name for name in names(built / artefact) if not name.endswith(".dist-info")} == held


@pytest.mark.parametrize(
    ("artefact", "on_lambda"),
    [
        ("TokenVendingLayer/python", "/opt/python"),
        ("TokenClientLayer/python", "/opt/python"),
        ("RefreshFunction", "/var/task"),
        ("VendFunction", "/var/task"),
    ],
)
def test_the_shipped_bytecode_is_what_the_shipped_sources_compile_to(
    built: Path, artefact: str, on_lambda: str
) -> None:
    """And is never checked against them, and a traceback names the path that the source has on Lambda."""
    folder = built / artefact
    sources = [path for path in files(folder) if path.suffix == ".py"]
    for source in sources:
        shipped = (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").read_bytes()
        text = source.read_bytes()
        there = f"{on_lambda}/{source.relative_to(folder)}"
        assert shipped[:16] == MAGIC_NUMBER + UNCHECKED_HASH + source_hash(text), there
        code = marshal.loads(shipped[16:])  # noqa: S302 - our own build
        assert (code.co_filename, code) == (there, compile(text, there, "exec", dont_inherit=True)), there
    assert len([path for path in files(folder) if path.suffix == ".pyc"]) == len(sources) > 0


@pytest.mark.parametrize(
    "artifact", ["vending-layer", "client-layer", "node-client-layer", "function vend", "function refresh"]
)
def test_the_same_sources_give_the_same_bytes_and_times(tmp_path: Path, artifact: str) -> None:
    trees: list[dict[Path, tuple[bytes, int]]] = []
    for seed, folder in (("1", tmp_path / "one"), ("2", tmp_path / "elsewhere" / "two")):
        subprocess.run(
            [sys.executable, "scripts/build_artifact.py", *artifact.split(), str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        trees.append({p.relative_to(folder): (p.read_bytes(), p.stat().st_mtime_ns) for p in files(folder)})
    assert trees[0] == trees[1] != {}
