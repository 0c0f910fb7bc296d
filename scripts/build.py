"""Builds the template by `sam build` into .build/artifacts/, unless these very sources are built already.

    build.py                  prints the folder that holds the built template.yaml and its artefacts
    build.py --deployable     the same into .aws-sam/build, where `sam deploy` looks for it

A folder under .build/artifacts/ is named by the hash of everything that goes into it and is never
written to again. So tests that run at the same time share it, and a build in between takes nothing
away from them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
ARTIFACTS = BUILD / "artifacts"
DEPLOYABLE = ROOT / ".aws-sam" / "build"
SOURCES = (
    "template.yaml",
    "functions",
    "layers",
    *(f"clients/node/{name}" for name in ("Makefile", "index.d.ts", "package.json", "src", "testing.d.ts")),
    "requirements/layer.txt",
    "scripts/build.py",
    "scripts/build_artifact.py",
)
KEPT_BUILDS = 5
STAMP = ".sources"


def build() -> Path:
    """The folder with the artefacts of the sources as they are now.

    Raises:
        RuntimeError: `sam build` failed; the message holds what it said.
    """
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".artifacts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = ARTIFACTS / fingerprint()
        if folder.exists():
            os.utime(folder)
        else:
            with tempfile.TemporaryDirectory(dir=BUILD, prefix=".building-") as temporary:
                _sam_build(Path(temporary) / "built")
                (Path(temporary) / "built").rename(folder)
        for old in sorted(ARTIFACTS.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_BUILDS]:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def built() -> Path | None:
    """The folder with the artefacts of the sources as they are now, if they are built."""
    folder = ARTIFACTS / fingerprint()
    return folder if folder.exists() else None


def build_deployable() -> Path:
    """Afterwards .aws-sam/build holds the artefacts of the sources as they are now."""
    stamp = DEPLOYABLE / STAMP
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".deployable.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = build()
        # A build by hand removes the stamp with the rest of the folder.
        if not stamp.exists() or stamp.read_text(encoding="ascii") != folder.name:
            copy = DEPLOYABLE.with_name("build.new")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy, symlinks=True)
            (copy / STAMP).write_text(folder.name, encoding="ascii")
            shutil.rmtree(DEPLOYABLE, ignore_errors=True)
            copy.rename(DEPLOYABLE)
    return DEPLOYABLE


def fingerprint() -> str:
    """A hash of the sources: their names, their contents."""
    digest = hashlib.sha256(sys.version.encode())
    for source in SOURCES:
        path = ROOT / source
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _sam_build(folder: Path) -> None:
    sam = BUILD / "sam" / "bin" / "sam"
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ, "SAM_CLI_TELEMETRY": "0"}
    template = ROOT / "template.yaml"
    finished = subprocess.run(
        [str(sam), "build", "--parallel", "--template", str(template), "--build-dir", str(folder)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"sam build failed ({finished.returncode}):\n{finished.stdout}")


if __name__ == "__main__":
    if built() is None:
        print("building the template (sam build) ...", file=sys.stderr, flush=True)
    print(build_deployable() if "--deployable" in sys.argv[1:] else build())
