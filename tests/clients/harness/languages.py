"""The five programs: how each is built and started."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "target/clients"
TOOLS = KEPT / "tools"

# What builds leave beside the sources.
LEFT_BY_BUILDS = {"target", "node_modules", "dist", "build", "__pycache__", ".venv"}


@dataclass(frozen=True)
class Language:
    name: str
    # Each command runs in the language's folder.
    build: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    # What is measured, where that is another build.
    fast: "Language | None" = None

    @property
    def folder(self) -> Path:
        return ROOT / "examples/clients" / self.name

    def made(self) -> Path:
        """Says for which sources the program was built."""
        return KEPT / f"{Path(self.command[-1]).parent.name}-{self.name}.built"

    def need(self) -> None:
        """Builds the program unless that was done already with the same sources."""
        sources = digest(self.folder, ROOT / "proto", ROOT / "examples/clients/service-config.json")
        if self.made().exists() and self.made().read_text() == sources:
            return
        print(f"building {self.name}", file=sys.stderr)
        self.made().unlink(missing_ok=True)
        for command in self.build:
            subprocess.run(command, cwd=self.folder, env=os.environ | self.environment, check=True, stdout=sys.stderr)
        self.made().write_text(sources)


VENV = str(KEPT / "venv")

LANGUAGES = [
    Language(
        "go",
        (
            ("sh", "-c", "! gofmt -l . | grep ."),
            ("go", "vet", "./..."),
            ("go", "test", "./..."),
            ("go", "build", "-o", str(KEPT / "backup-go"), "./cmd/backup"),
        ),
        (str(KEPT / "backup-go"),),
    ),
    Language(
        "java",
        (("mvn", "-q", "-B", "package"),),
        ("java", "-jar", str(ROOT / "examples/clients/java/target/backup.jar")),
    ),
    Language(
        "node",
        (
            ("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"),
            ("npm", "run", "--silent", "build"),
            ("npm", "run", "--silent", "test"),
        ),
        ("node", str(ROOT / "examples/clients/node/dist/main.js")),
    ),
    Language(
        "python",
        (
            ("python3", "-m", "venv", "--clear", VENV),
            (f"{VENV}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt", "."),
        ),
        (f"{VENV}/bin/backup",),
    ),
    Language(
        "rust",
        (("cargo", "build", "--locked", "--quiet"),),
        (str(KEPT / "rust/debug/backup"),),
        {"CARGO_TARGET_DIR": str(KEPT / "rust")},
        Language(
            "rust",
            (("cargo", "build", "--locked", "--quiet", "--release"),),
            (str(KEPT / "rust/release/backup"),),
            {"CARGO_TARGET_DIR": str(KEPT / "rust")},
        ),
    ),
]


def digest(*paths: Path) -> str:
    """What all files below these paths hold, in one word."""
    found = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(sources(path))
        for file in files:
            found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


def sources(folder: Path):
    for directory, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_BY_BUILDS and not name.endswith(".egg-info")]
        yield from (Path(directory) / name for name in files)


def need_tools() -> Path:
    """Python with grpcio for what this harness itself plays, and the stubs that plain grpcio-tools make."""
    requirements = ROOT / "tests/clients/requirements.txt"
    wanted = digest(requirements, ROOT / "proto")
    stamp, stubs, python = TOOLS / "built", TOOLS / "stubs", TOOLS / "bin/python"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print("building the harness' own tools", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(TOOLS)], check=True)
    pip = [str(TOOLS / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir()
    protos = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    generate = [str(python), "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'proto'}"]
    subprocess.run([*generate, f"--python_out={stubs}", f"--grpc_python_out={stubs}", *protos], check=True)
    stamp.write_text(wanted)
    return python


def need_buf() -> Path:
    find = ["bash", "-c", "source .ci/tools; need buf >&2; command -v buf"]
    found = subprocess.run(find, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


def tools_environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(TOOLS / "stubs"), "PYTHONDONTWRITEBYTECODE": "1"}
