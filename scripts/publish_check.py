"""Is this fit to be published in the AWS Serverless Application Repository, and what do the layers ship?

    publish_check.py              check; write the SBOM of each layer to .build/sbom/
    publish_check.py --release    besides, the changelog has a section for this version and nothing unreleased;
                                  if all is well, the commit is tagged
    publish_check.py --write      write docs/evidence/licences.md anew

Limits: https://docs.aws.amazon.com/serverlessrepo/latest/devguide/serverlessrepo-how-to-publish.html
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts import build
from scripts.pages import table
from scripts.template import ROOT, source

LICENCES = ROOT / "docs" / "evidence" / "licences.md"
SBOM = ROOT / ".build" / "sbom"
SEMANTIC_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
ARTEFACTS = {
    "TokenVendingLayer": "TokenVendingLayer/python",
    "RefreshFunction": "RefreshFunction",
    "TokenClientLayer": "TokenClientLayer/python",
    "TokenClientNodeLayer": "TokenClientNodeLayer",
}
"""What ships packages, and the folder of its build that holds them."""
VERSIONS = {
    "layers/token_vending/token_vending/__init__.py": r'^__version__ = "(.+)"$',
    "layers/token_client/token_client/__init__.py": r'^__version__ = "(.+)"$',
    "layers/token_client/token_client/_process.py": r'^VERSION = "([^"]+)"',
    "clients/node/package.json": r'^  "version": "(.+)",$',
    "clients/node/src/version.js": r'^export const VERSION = "(.+)";$',
}
"""Where else than in the template the version is written."""
FREE_LICENCES = frozenset(
    {
        *("Apache-2.0", "Apache Software License", "BSD License", "BSD-2-Clause", "BSD-3-Clause"),
        *("MIT", "MIT License", "MIT-0", "MIT No Attribution License (MIT-0)"),
        *("PSF-2.0", "Python Software Foundation License"),
    }
)
FIELDS = {
    "Name": r"[A-Za-z0-9-]{1,140}",
    "Description": r".{1,256}",
    "Author": r".{1,127}",
    "SpdxLicenseId": r"MIT",
    "LicenseUrl": r".+",
    "ReadmeUrl": r".+",
    "SemanticVersion": SEMANTIC_VERSION.pattern,
}
NOT_ON_THE_LIST = ("AWS::AppConfig::", "AWS::Scheduler::")
"""Missing from https://docs.aws.amazon.com/serverlessrepo/latest/devguide/list-supported-resources.html when it
was last looked at: AWS Support adds types on request. `sam deploy` does not care."""


def application() -> dict[str, Any]:
    """The repository's metadata in the template."""
    found: dict[str, Any] = source()["Metadata"]["AWS::ServerlessRepo::Application"]
    return found


def metadata_faults(found: dict[str, Any]) -> Iterator[str]:
    """What the repository would refuse."""
    for name, pattern in FIELDS.items():
        if not re.fullmatch(pattern, str(found.get(name, ""))):
            yield f"metadata: {name} must match {pattern}"
    for name in ("LicenseUrl", "ReadmeUrl"):
        if not (ROOT / str(found.get(name))).is_file():
            yield f"metadata: {name} names no file"
    labels = found.get("Labels", [])
    if len(labels) > 10 or not all(re.fullmatch(r"[A-Za-z0-9+\-_:/@]{1,127}", label) for label in labels):  # noqa: PLR2004
        yield "metadata: at most ten labels of letters, digits and +-_:/@"


def sections_of(changelog: str) -> dict[str, str]:
    """The text of each second-level section, by its title."""
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL))


def tag_release(repository: Path, version: str, changelog: str) -> str | None:
    """Tags the commit that is checked out as vX.Y.Z, with the changelog's section; or says why it did not."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(repository), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    if git("status", "--porcelain"):
        return "release: something is not committed"
    if git("tag", "--list", f"v{version}"):
        return f"release: the tag v{version} is there already"
    (section,) = (text for title, text in sections_of(changelog).items() if title.startswith(f"{version} "))
    message = f"{version}\n\n{section.strip()}"
    git("tag", "--annotate", "--cleanup=verbatim", f"v{version}", "--message", message)
    return None


def version_faults(version: str, changelog: str, *, release: bool) -> Iterator[str]:
    """Template, layers, clients and changelog have to speak of the same version."""
    for file, pattern in VERSIONS.items():
        found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        if found is None or found[1] != version:
            yield f"version: the template says {version}, {file} {found and found[1]}"
    sections = sections_of(changelog)
    unreleased = sections.pop("Unreleased", None)
    released = []
    for title in sections:
        if re.fullmatch(rf"{SEMANTIC_VERSION.pattern} \(\d{{4}}-\d\d-\d\d\)", title):
            released.append(title.split()[0])
        else:
            yield f"changelog: {title!r} is not of the form '1.2.3 (2026-11-24)'"
    if released != sorted(released, key=lambda text: tuple(map(int, text.split("."))), reverse=True):
        yield "changelog: the newest version comes first"
    if release:
        if version not in released:
            yield f"changelog: there is no section for {version}"
        if unreleased is not None and unreleased.strip():
            yield "changelog: something is still unreleased"
    elif unreleased is None and version not in released:
        yield f"changelog: neither a section for {version} nor one for what is unreleased"


def shipped(artifacts: Path) -> dict[str, list[metadata.Distribution]]:
    """The packages in each artefact, by artefact, in order of their names."""
    found = {n: metadata.distributions(path=[str(artifacts / folder)]) for n, folder in ARTEFACTS.items()}
    return {name: sorted(packages, key=lambda each: each.name.lower()) for name, packages in found.items()}


def licence_of(package: metadata.Distribution) -> str:
    """What the package itself declares."""
    declared = package.metadata
    expression = declared.get("License-Expression")
    classifiers = [
        text.rsplit(" :: ", 1)[1]
        for text in declared.get_all("Classifier") or []
        if text.startswith("License :: OSI Approved :: ")
    ]
    first_line = (declared.get("License") or "").strip().splitlines()[:1]
    return expression or ", ".join(classifiers) or "".join(first_line) or "unknown"


def licences_page(packages: dict[str, list[metadata.Distribution]]) -> str:
    """The text of docs/evidence/licences.md."""
    head = (
        "# What is shipped\n\n"
        "Written by `make publish-check ARGS=--write` from what is built. Each package's licence text lies in its\n"
        "`.dist-info` folder beside it; the SBOMs (CycloneDX) are written to `.build/sbom/`.\n\n"
    )
    rows = []
    for layer, found in packages.items():
        rows += [[layer, p.name, p.version, licence_of(p)] for p in found]
        rows += [] if found else [[layer, "nothing but our own code (MIT)", "", ""]]
    return head + table(("artefact", "package", "version", "licence"), rows)


def licence_faults(packages: dict[str, list[metadata.Distribution]]) -> Iterator[str]:
    """Packages whose licence is unknown, not permissive, or missing from the layer."""
    for layer, found in packages.items():
        for package in found:
            licence = licence_of(package)
            if not FREE_LICENCES.issuperset(re.split(r", | AND | OR ", licence)):
                yield f"{layer}: {package.name} has the licence {licence}"
            folder = f"{package.name.replace('-', '_')}-{package.version}.dist-info"
            about = Path(str(package.locate_file(folder))).rglob("*")
            if not any(re.search("licen|copying", file.name.lower()) for file in about if file.is_file()):
                yield f"{layer}: {package.name} comes without its licence text"


def write_sboms(packages: dict[str, list[metadata.Distribution]]) -> Iterator[str]:
    """Writes one CycloneDX document a layer, from the exact pins that the layer holds."""
    SBOM.mkdir(parents=True, exist_ok=True)
    for layer, found in packages.items():
        pins = SBOM / f"{layer}.txt"
        pins.write_text("".join(f"{p.name}=={p.version}\n" for p in found), encoding="utf-8")
        program = Path(sys.executable).with_name("cyclonedx-py")
        options = ["--of", "JSON", "--output-reproducible", "--mc-type", "library", "-o"]
        command = [str(program), "requirements", str(pins), *options, str(SBOM / f"{layer}.cdx.json")]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            yield f"{layer}: no SBOM: {finished.stderr.strip()}"


def main() -> int:
    """0 if it can be published, 1 with a line for each fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", action="store_true", help="as for a release, and tag it")
    parser.add_argument("--write", action="store_true", help="write docs/evidence/licences.md anew")
    arguments = parser.parse_args()
    artifacts = build.build()
    found = application()
    version = str(found.get("SemanticVersion"))
    packages = shipped(artifacts)
    if arguments.write:
        LICENCES.write_text(licences_page(packages), encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    faults = [
        *metadata_faults(found),
        *version_faults(version, changelog, release=arguments.release),
        *licence_faults(packages),
        *write_sboms(packages),
    ]
    if not LICENCES.is_file() or LICENCES.read_text(encoding="utf-8") != licences_page(packages):
        faults.append(
            "docs/evidence/licences.md is not what the layers hold: make publish-check ARGS=--write"
        )
    types = {resource["Type"] for resource in source()["Resources"].values()}
    unlisted = sorted(name for name in types if name.startswith(NOT_ON_THE_LIST))
    print(f"not on the repository's list of resource types, ask AWS Support: {' '.join(unlisted)}")
    for layer, held in packages.items():
        size = sum(file.stat().st_size for file in (artifacts / layer).rglob("*") if file.is_file())
        print(f"{layer}: {len(held)} packages, {size / 1e6:.1f} MB, SBOM written")
    if arguments.release and not faults:
        fault = tag_release(ROOT, version, changelog)
        faults += [fault] if fault else []
    for fault in faults:
        print(f"FAULT  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
