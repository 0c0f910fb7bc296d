"""What `sam build` makes: complete, pure Python, compiled, and the same bytes every time."""

import marshal
import os
import re
import subprocess
import sys
from email.parser import HeaderParser
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

import pytest

from scripts import build
from tests.kit.stack.embedded import ROOT

# PEP 552: bit 0, the bytecode names its source by hash; bit 1, the hash is checked at every import.
UNCHECKED_HASH = (1).to_bytes(4, "little")
# Lambda's limit for a function with its layers is 250 MB; this is about what a cold start has to fetch.
LARGEST_LAYER_BYTES = 20_000_000

type Tree = dict[str, tuple[bytes, int]]


@pytest.fixture(scope="module")
def built() -> Path:
    return build.build()


@pytest.fixture(scope="module")
def layer(built: Path) -> Path:
    return built / "TokenVendingLayer" / "python"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def tree(folder: Path) -> Tree:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files(folder)
    }


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_vending_layer_holds_what_the_lock_names_and_nothing_else(layer: Path) -> None:
    lock = (ROOT / "requirements" / "layer.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    described = [HeaderParser().parsestr(path.read_text("utf-8")) for path in layer.glob("*/METADATA")]
    held = {re.sub(r"[-_.]+", "-", fields["Name"]).lower(): fields["Version"] for fields in described}
    assert held == pins


def test_every_package_in_the_layer_keeps_its_licence(layer: Path) -> None:
    without = [
        folder.name
        for folder in layer.glob("*.dist-info")
        if not list(folder.rglob("*[Ll][Ii][Cc][Ee][Nn]*"))
    ]
    assert without == []


def test_the_layer_is_pure_python(layer: Path) -> None:
    assert [path for path in files(layer) if path.suffix in {".so", ".pyd", ".dylib"}] == []


def test_the_layer_brings_no_boto3_and_only_the_services_that_are_spoken_to(layer: Path) -> None:
    assert "boto3" not in names(layer)
    services = {path.name for path in (layer / "botocore" / "data").iterdir() if path.is_dir()}
    assert services <= {"secretsmanager", "lambda"}


def test_the_installer_leaves_nothing_of_its_own(layer: Path) -> None:
    assert {name for name in names(layer) if name.startswith(".")} | (names(layer) & {"bin"}) == set()


def test_the_layer_stays_small(layer: Path) -> None:
    assert sum(path.stat().st_size for path in files(layer)) < LARGEST_LAYER_BYTES


def test_the_client_layer_holds_the_client_alone(built: Path) -> None:
    assert names(built / "TokenClientLayer" / "python") == {"token_client"}


@pytest.mark.parametrize("function", ["RefreshFunction", "VendFunction"])
def test_a_function_holds_its_handler_alone(built: Path, function: str) -> None:
    assert names(built / function) == {"app.py", "template.sha256", "__pycache__"}


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


@pytest.mark.parametrize("artifact", [["vending-layer"], ["client-layer"], ["function", "vend"]])
def test_the_same_sources_give_the_same_bytes_and_times(tmp_path: Path, artifact: list[str]) -> None:
    trees = []
    for seed, folder in (("1", tmp_path / "one"), ("2", tmp_path / "elsewhere" / "two")):
        subprocess.run(
            [sys.executable, "scripts/build_artifact.py", *artifact, str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        trees.append(tree(folder))
    assert trees[0] != {}
    assert trees[0] == trees[1]
