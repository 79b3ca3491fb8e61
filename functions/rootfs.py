"""`python rootfs.py SITE TARGET`: a root file system that can run Python with the packages in SITE, and nothing else.

Taken from the image it runs in: the interpreter, its standard library, the shared libraries that these and SITE are linked
against, the certificates. No shell, no package manager. What was taken is listed as a CycloneDX 1.6 bill of materials.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

UNUSED = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "site-packages",
    "dist-packages", "__pycache__", "venv", "distutils",
}  # fmt: skip
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SBOM = "usr/share/sbom/image.cdx.json"
NOBODY = 65532


def main(site: Path, target: Path) -> None:
    """Build it."""
    interpreter = Path(sys.executable).resolve()
    copied = [_copy(interpreter, target), *_library(target)]
    loaded = sorted(set(_linked([*copied, *site.rglob("*.so*")])))
    for library in loaded:
        _copy(library, target)
    python = target / "bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.symlink_to(interpreter)
    _etc(target)
    sbom = target / SBOM
    sbom.parent.mkdir(parents=True)
    sbom.write_text(json.dumps(_bill(site, [interpreter, *loaded]), indent=1))


def _copy(source: Path, target: Path) -> Path:
    """Copy a file to where it lies, below `target`."""
    to = target / source.relative_to("/")
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, to)
    return source


def _library(target: Path) -> list[Path]:
    """The standard library; its extension modules."""
    found = Path(sysconfig.get_path("stdlib"))
    to = target / found.relative_to("/")
    shutil.copytree(found, to, ignore=lambda _, names: UNUSED.intersection(names), dirs_exist_ok=True)
    return list((found / "lib-dynload").glob("*.so"))


def _linked(files: list[Path]) -> list[Path]:
    """The shared libraries and the loader that files need, where the loader finds them; not those that lie beside them."""
    own = {file.resolve().parent for file in files}
    found: list[Path] = []
    for file in files:
        shown = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        names = re.findall(r"(?:=> )?(/\S+) \(0x", shown)
        found += [Path(name) for name in names if Path(name).resolve().parent not in own]
    for name in ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2"):  # they are opened by name, while it runs
        found += Path("/").glob(f"lib/*-linux-*/{name}")
    return found


def _etc(target: Path) -> None:
    etc = target / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"nonroot:x:{NOBODY}:{NOBODY}:nonroot:/tmp:/sbin/nologin\n")
    (etc / "group").write_text(f"nonroot:x:{NOBODY}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("/etc/os-release", "/etc/ld.so.cache"):
        if Path(name).exists():
            shutil.copy(Path(name).resolve(), target / name.lstrip("/"))
    if not CERTIFICATES.exists():
        raise SystemExit(f"{CERTIFICATES} is missing in the base image: without it nothing is reached by https")
    _copy(CERTIFICATES, target)
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)


def _bill(site: Path, system: list[Path]) -> dict[str, object]:
    packages = {(dist.metadata["Name"].lower(), dist.version) for dist in distributions(path=[str(site)])}
    parts = [_part(name, version, f"pkg:pypi/{name}@{version}") for name, version in sorted(packages)]
    parts.append(_part("python", version := sys.version.split()[0], f"pkg:generic/python@{version}"))
    parts += [_part(name, version, f"pkg:deb/debian/{name}@{version}") for name, version in sorted(_debian(system))]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": parts}


def _part(name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def _debian(files: list[Path]) -> set[tuple[str, str]]:
    """Name and version of the Debian packages that files come from."""
    if not shutil.which("dpkg-query"):
        return set()
    asked = {str(path) for file in files for path in (file, file.resolve())}
    asked |= {path.removeprefix("/usr") for path in asked}
    shown = subprocess.run(["dpkg-query", "-S", *sorted(asked)], capture_output=True, text=True, check=False).stdout
    names = {line.split(":")[0] for line in shown.splitlines()}
    if not names:
        return set()
    listed = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *sorted(names)]
    lines = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.splitlines()
    return {(name, version) for name, _, version in (line.partition(" ") for line in lines)}


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
