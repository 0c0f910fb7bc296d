"""Which code a harnessed function runs: what `sam build` made, or the sources as they stand."""

import atexit
import functools
import importlib.util
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".aws-sam" / "build"
REFRESH = "RefreshFunction"
VEND = "VendFunction"
SOURCES = {REFRESH: ROOT / "functions" / "refresh", VEND: ROOT / "functions" / "vend"}
LAYER_SOURCE = ROOT / "layers" / "token_vending"
LAYER_BUILT = BUILD / "TokenVendingLayer" / "python"
RUNTIME_CLIENT_MODULES = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")


@dataclass(frozen=True)
class Artefact:
    """A function's code and the folders its imports come from, in the order that Lambda searches them."""

    logical_id: str
    task_root: Path
    import_paths: tuple[Path, ...]
    bytecode: Path | None = None
    """Where what is compiled is kept; None for an artefact that brings its own, as Lambda finds it: read-only."""

    @classmethod
    def built(cls, logical_id: str) -> Self:
        """What `sam build` made. Everything but the runtime client comes from the layer, as on Lambda with a
        runtime whose own SDK is shadowed. Raises FileNotFoundError if there is no build.
        """
        task_root = BUILD / logical_id
        for needed in (task_root / "app.py", LAYER_BUILT / "token_vending"):
            if not needed.exists():
                raise FileNotFoundError(f"{needed} is missing: run `make build`")
        return cls(logical_id, task_root, (LAYER_BUILT,))

    @classmethod
    def source(cls, logical_id: str) -> Self:
        """The sources, with the development environment's libraries in place of the layer's."""
        libraries = importlib.util.find_spec("botocore")
        if libraries is None or libraries.origin is None:
            raise FileNotFoundError("botocore is not installed in the development environment")
        paths = (LAYER_SOURCE, Path(libraries.origin).parents[1])
        return cls(logical_id, SOURCES[logical_id], paths, ROOT / ".build" / "pycache")

    @classmethod
    def current(cls, logical_id: str) -> Self:
        """The build if it holds the sources as they stand, else the sources."""
        return cls.built(logical_id) if build_is_current(logical_id) else cls.source(logical_id)


def build_is_current(logical_id: str) -> bool:
    """Whether the built function and layer hold byte for byte the sources' Python files."""
    pairs = (
        (SOURCES[logical_id], BUILD / logical_id),
        (LAYER_SOURCE / "token_vending", LAYER_BUILT / "token_vending"),
    )
    return all(_same_python_files(source, built) for source, built in pairs)


def _same_python_files(source: Path, built: Path) -> bool:
    def contents(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}

    return built.is_dir() and contents(source) == contents(built)


@functools.cache
def runtime_client_folder() -> Path:
    """A folder that holds awslambdaric and what it needs and nothing else, so that the environment's boto3
    cannot stand in for something the layer lacks.
    """
    folder = Path(tempfile.mkdtemp(prefix="runtime-client-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in RUNTIME_CLIENT_MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"{name} is not installed in the development environment")
        origin = Path(spec.origin)
        target = origin.parent if spec.submodule_search_locations else origin
        (folder / target.name).symlink_to(target)
    return folder


def interpreter() -> str:
    """The Python beneath the virtual environment: it has no libraries of its own when run with -S."""
    return str(getattr(sys, "_base_executable", sys.executable))
