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

from scripts import build

ROOT = Path(__file__).resolve().parents[3]
REFRESH = "RefreshFunction"
VEND = "VendFunction"
SOURCES = {REFRESH: ROOT / "functions" / "refresh", VEND: ROOT / "functions" / "vend"}
LAYER_SOURCE = ROOT / "layers" / "token_vending"
LIBRARIES = {REFRESH: ("boto3",), VEND: ("aws_sdk_signers", "http.client")}
"""Most of what each function imports, and nothing that reads the environment while it is imported."""
RUNTIME_CLIENT_MODULES = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py", "coverage")


@dataclass(frozen=True)
class Artefact:
    """A function's code and the folders its imports come from, in the order that Lambda searches them."""

    logical_id: str
    task_root: Path
    import_paths: tuple[Path, ...]
    bytecode: Path | None = None
    """Where what is compiled is kept; None for an artefact that brings its own, as Lambda finds it: read-only."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """What its processes find imported."""
        return LIBRARIES.get(self.logical_id, ())

    @classmethod
    def built(cls, logical_id: str) -> Self:
        """What `sam build` made. Everything but the runtime client comes from the layer, as on Lambda with a
        runtime whose own SDK is shadowed. Raises FileNotFoundError if these sources are not built.
        """
        folder = build_of_the_sources()
        if folder is None:
            raise FileNotFoundError("these sources are not built: run `make build`")
        return cls(logical_id, folder / logical_id, (folder / "TokenVendingLayer" / "python",))

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
        return cls.source(logical_id) if build_of_the_sources() is None else cls.built(logical_id)


@functools.cache
def build_of_the_sources() -> Path | None:
    """What `sam build` made of the sources as they stood when this process first asked; None if it has not.

    The folder is named by what it was made of and is not written to again: a build in another shell changes
    nothing for a test run.
    """
    return build.built()


@functools.cache
def runtime_client_folder() -> Path:
    """A folder that holds awslambdaric, what it needs, coverage, and nothing else, so that the environment's boto3
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
