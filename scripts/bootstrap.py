"""Makes the project's virtual environments from their lock files, and makes the lock files.

    bootstrap.py setup [NAME ...]   make or update the environments (all of them by default)
    bootstrap.py lock [--upgrade]   resolve requirements/*.in into hash-locked requirements/*.txt
    bootstrap.py check              fail if a lock no longer answers its .in file

Needs nothing but the standard library and the package registry that pip is set up with. The
environments are separate because their contents pin different versions of the same packages.
A stamp holding the hash of what an environment was made from makes a second run a matter of
milliseconds.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
REQUIREMENTS = ROOT / "requirements"
ENVIRONMENTS = {
    "venv": "dev",
    "sam": "sam",
    "ministack": "ministack",
    "awscli": "awscli",
    "checkov": "checkov",
}
# Made by those who use it.
ON_DEMAND = {"checkov"}
LOCKS = ("uv", "dev", "layer", "sam", "ministack", "awscli", "checkov")
UV_ENVIRONMENT = "uv"
SAYS_EVERY_SECONDS = 10.0
LAYER_PLATFORM = "aarch64-manylinux2014"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")


def main() -> int:
    """Does what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    setup_arguments = verbs.add_parser("setup")
    setup_arguments.add_argument("names", nargs="*", metavar="NAME", help=" ".join(ENVIRONMENTS))
    lock_arguments = verbs.add_parser("lock")
    lock_arguments.add_argument("--upgrade", action="store_true", help="take newer versions")
    verbs.add_parser("check")
    arguments = parser.parse_args()
    if arguments.verb == "setup":
        unknown = set(arguments.names) - set(ENVIRONMENTS)
        if unknown:
            parser.error(f"no such environment: {', '.join(sorted(unknown))}")
        for name in arguments.names or (n for n in ENVIRONMENTS if n not in ON_DEMAND):
            make_environment(name)
        return 0
    if arguments.verb == "lock":
        lock(upgrade=arguments.upgrade)
        return 0
    return check()


def make_environment(name: str, *, quiet: bool = False) -> None:
    """Afterwards .build/NAME holds exactly what its lock file names."""
    lock_file = REQUIREMENTS / f"{ENVIRONMENTS[name]}.txt"
    if _is_made_from(name, lock_file):
        return
    uv = make_uv(quiet=quiet)
    with _one_at_a_time(name):
        if _is_made_from(name, lock_file):
            return
        started = time.monotonic()
        if not quiet:
            _say(f".build/{name}: installing {len(_pins(lock_file))} packages ...")
        folder = BUILD / name
        _forget(name)
        if _interpreter_of(folder) != os.path.realpath(_base_interpreter()):
            shutil.rmtree(folder, ignore_errors=True)
            _run(_base_interpreter(), "-m", "venv", "--without-pip", folder)
        # Compiled at once: some machines forbid Python to write bytecode later, and the SAM CLI
        # without bytecode takes seconds longer at every start.
        _run(
            *(uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"),
            *("--python", folder / "bin" / "python", lock_file),
            quiet=quiet,
        )
        _stamp(name, lock_file)
        if not quiet:
            _say(f".build/{name}: ready after {time.monotonic() - started:.0f} s")


def make_uv(*, quiet: bool = False) -> Path:
    """The path of a uv that pip has checked against the hashes in requirements/uv.txt.

    It and whatever this process starts will trust the system's certificates, where there are any: a
    company's own authority is there, and not in uv.
    """
    known = ssl.get_default_verify_paths()
    if known.cafile or known.capath:
        os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    lock_file = REQUIREMENTS / "uv.txt"
    folder = BUILD / UV_ENVIRONMENT
    uv = folder / "bin" / "uv"
    with _one_at_a_time(UV_ENVIRONMENT):
        if not _is_made_from(UV_ENVIRONMENT, lock_file):
            started = time.monotonic()
            if not quiet:
                _say(f".build/{UV_ENVIRONMENT}: installing the installer ...")
            _forget(UV_ENVIRONMENT)
            shutil.rmtree(folder, ignore_errors=True)
            _run(_base_interpreter(), "-m", "venv", folder)
            install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes")
            _run(*install, "--only-binary=:all:", "--disable-pip-version-check", "-r", lock_file, quiet=quiet)
            _stamp(UV_ENVIRONMENT, lock_file)
            if not quiet:
                _say(f".build/{UV_ENVIRONMENT}: ready after {time.monotonic() - started:.0f} s")
    return uv


def lock(*, upgrade: bool) -> None:
    """Afterwards every lock answers its .in file. Without `upgrade`, pins that still fit stay."""
    uv = make_uv()
    for name in LOCKS:
        _compile(uv, name, REQUIREMENTS / f"{name}.txt", upgrade=upgrade)


def check() -> int:
    """0 if resolving each .in file, starting from its lock, gives that lock's pins again.

    Only pins are compared: a newer release, or one more wheel of a pinned one, is no fault of ours.
    """
    uv = make_uv()
    faults = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in LOCKS:
            locked = REQUIREMENTS / f"{name}.txt"
            resolved = Path(temporary) / f"{name}.txt"
            shutil.copy(locked, resolved)
            _compile(uv, name, resolved, upgrade=False)
            faults += [
                f"requirements/{name}.txt: {line}" for line in _differences(_pins(locked), _pins(resolved))
            ]
    dev, layer = _pins(REQUIREMENTS / "dev.txt"), _pins(REQUIREMENTS / "layer.txt")
    faults += [
        f"requirements/layer.txt: {package}=={version}, but requirements/dev.txt has {dev.get(package)}"
        for package, version in layer.items()
        if dev.get(package) != version
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print("Mend: make lock", file=sys.stderr)
        return 1
    print("locks answer their .in files")
    return 0


def _compile(uv: Path, name: str, output: Path, *, upgrade: bool) -> None:
    options = ["--quiet", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
    options += ["--custom-compile-command", "make lock", "--python-version", "3.13"]
    if name == "layer":
        # One resolution: what the layer ships is what the tests have run on.
        options += [
            "--python-platform",
            LAYER_PLATFORM,
            "--constraint",
            "requirements/dev.txt",
            "--no-annotate",
        ]
    else:
        options += ["--universal"]
    if upgrade:
        options.append("--upgrade")
    _run(uv, "pip", "compile", *options, "--output-file", output, f"requirements/{name}.in")


def _pins(lock_file: Path) -> dict[str, str]:
    matches = (PIN.match(line) for line in lock_file.read_text(encoding="utf-8").splitlines())
    return {match["name"].lower(): match["version"] for match in matches if match}


def _differences(locked: dict[str, str], resolved: dict[str, str]) -> list[str]:
    return [
        f"{package} is locked to {locked.get(package)}, its .in file gives {resolved.get(package)}"
        for package in sorted(locked.keys() | resolved.keys())
        if locked.get(package) != resolved.get(package)
    ]


@contextlib.contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Two makes at once must not fill the same environment."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _base_interpreter() -> str:
    # Inside a virtual environment sys.executable would tie the new one to the old one.
    return getattr(sys, "_base_executable", sys.executable)


def _interpreter_of(folder: Path) -> str | None:
    python = folder / "bin" / "python"
    return os.path.realpath(python) if python.exists() else None


def _stamp_path(name: str) -> Path:
    return BUILD / f".{name}.stamp"


def _fingerprint(lock_file: Path) -> str:
    digest = hashlib.sha256(lock_file.read_bytes())
    digest.update(f"{sys.version} {os.path.realpath(_base_interpreter())} {ROOT}".encode())
    return digest.hexdigest()


def _is_made_from(name: str, lock_file: Path) -> bool:
    stamp = _stamp_path(name)
    if not stamp.exists() or not (BUILD / name / "bin" / "python").exists():
        return False
    return stamp.read_text(encoding="ascii") == _fingerprint(lock_file)


def _stamp(name: str, lock_file: Path) -> None:
    _stamp_path(name).write_text(_fingerprint(lock_file), encoding="ascii")


def _forget(name: str) -> None:
    _stamp_path(name).unlink(missing_ok=True)


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def _run(*command: object, quiet: bool = True) -> None:
    """Exits if the command fails. Unless quiet, tells every so often that it is still at work."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment["UV_NO_CONFIG"] = "1"
    started = time.monotonic()
    with subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment) as process:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAYS_EVERY_SECONDS)
            if process.returncode is None and not quiet:
                _say(f"still at work after {time.monotonic() - started:.0f} s")
    if process.returncode:
        sys.exit(f"failed ({process.returncode}): {' '.join(str(part) for part in command)}")


if __name__ == "__main__":
    sys.exit(main())
