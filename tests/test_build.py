"""What is shipped: the wheel, the image's recipe, the deployment examples and the way CI runs.

No engine builds the image here: the recipe is linted (`make check`) and read by these tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cdc_merge import native
from cdc_merge.config import load_config

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
GRACE_SECONDS = 15


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each a word and its arguments on one line."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last(word: str) -> str:
    return [rest for found, rest in instructions() if found == word][-1]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=;! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


# --- the wheel -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != native.SWITCH}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_module_template_and_migration(wheel: list[str]) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "cdc_merge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    migrations = {f"cdc_merge/migrations/{path.name}" for path in (ROOT / "migrations").glob("*.sql")}

    assert migrations
    assert package | migrations <= set(wheel)


def test_the_wheel_holds_the_licence_and_nothing_but_the_package(wheel: list[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel} == {"cdc_merge"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_where_there_is_a_rust_compiler_the_wheel_holds_the_native_program(wheel: list[str]) -> None:
    cargo = shutil.which("cargo")
    # A shim without a toolchain is there, and fails.
    works = cargo is not None and not subprocess.run([cargo, "--version"], capture_output=True, check=False).returncode

    assert any(name.startswith("cdc_merge/native/_native.") for name in wheel) == works


CARGO = {
    "none": None,
    "one that fails": "#!/bin/sh\necho 'error: linker not found' >&2\nexit 101\n",
    "one that makes nothing": "#!/bin/sh\nexit 0\n",
    "one that cannot be started": "#!/no/such/shell\n",
}


@pytest.mark.parametrize("cargo", CARGO)
def test_without_a_compiler_that_works_the_package_is_built_for_any_platform(tmp_path: Path, cargo: str) -> None:
    tree, path = tmp_path / "tree", tmp_path / "bin"
    tree.mkdir()
    path.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py", "migrations", "native", "cdc_merge"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("target"))
        else:
            shutil.copy(ROOT / name, tree / name)
    if script := CARGO[cargo]:
        (path / "cargo").write_text(script)
        (path / "cargo").chmod(0o755)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    environment = os.environ | {"PATH": f"{path}:/usr/bin:/bin" if script else str(path)}

    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "built without the native program" in done.stdout + done.stderr
    (built,) = tmp_path.glob("*.whl")
    assert built.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(built) as archive:
        assert [name for name in archive.namelist() if "_native." in name] == []


def test_the_lock_pins_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["postgres"],
        *(requirement for group in project["dependency-groups"].values() for requirement in group),
    ]
    lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert {name_of(requirement) for requirement in wanted} <= {name_of(pin) for pin in pins}


# --- the image -------------------------------------------------------------------------------------------


def test_the_image_runs_the_command_as_a_numbered_user_that_is_not_root() -> None:
    user, _, group = last("USER").partition(":")

    assert int(user) > 0 and int(group) > 0
    assert f"--uid {user} " in " ".join(rest for word, rest in instructions() if word == "RUN")
    assert json.loads(last("ENTRYPOINT")) == ["cdc-merge"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_images_bases_are_pinned_to_a_minor_version() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]

    assert len(bases) == 2
    assert [base for base in bases if not re.fullmatch(r"python:3\.\d+-slim", base)] == []


def test_the_image_gets_its_files_from_the_checkout_and_keeps_no_cache() -> None:
    words = [word for word, _ in instructions()]
    installs = [rest for word, rest in instructions() if word == "RUN" and " pip " in rest]

    assert "ADD" not in words
    assert installs and all("--no-cache-dir" in rest for rest in installs)


def test_the_build_context_holds_what_the_image_copies() -> None:
    copied = {
        name for word, rest in instructions() if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }
    context = (ROOT / ".dockerignore").read_text().splitlines()

    assert {f"!{name}" for name in copied} == {line for line in context if line.startswith("!")}
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.mark.skipif(not shutil.which("hadolint", path=str(Path(sys.executable).parent)), reason="no hadolint")
def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


# --- the deployment examples -----------------------------------------------------------------------------


def kubernetes(kind: str) -> dict[str, Any]:
    (found,) = (
        document for document in YAML(typ="safe").load_all(DEPLOY / "kubernetes.yaml") if document["kind"] == kind
    )
    return dict(found)


def test_kubernetes_restarts_a_stuck_worker_and_gives_it_time_to_stop() -> None:
    pod = kubernetes("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert pod["terminationGracePeriodSeconds"] == GRACE_SECONDS
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == last("USER")
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_compose_gives_the_worker_time_to_stop() -> None:
    worker = YAML(typ="safe").load(DEPLOY / "docker-compose.yaml")["services"]["cdc-merge"]

    assert worker["stop_grace_period"] == f"{GRACE_SECONDS}s"
    assert worker["read_only"] is True


def test_ecs_restarts_a_stuck_worker_and_gives_it_time_to_stop() -> None:
    (container,) = json.loads((DEPLOY / "ecs-task-definition.json").read_text())["containerDefinitions"]

    assert container["stopTimeout"] == GRACE_SECONDS
    assert container["user"] == last("USER")
    assert "/live" in container["healthCheck"]["command"][-1]


def test_the_configurations_in_the_examples_are_valid(tmp_path: Path) -> None:
    mapped = tmp_path / "cdc-merge.yaml"
    mapped.write_text(kubernetes("ConfigMap")["data"]["cdc-merge.yaml"])
    for path in (DEPLOY / "cdc-merge.yaml", mapped):
        settings = load_config(path, environ={"POSTGRES_PASSWORD": "x"})
        assert [source.name for source in settings.sources] == ["ecommerce"]


# --- CI and make -----------------------------------------------------------------------------------------


def test_ci_runs_the_checks_the_tests_and_every_bench() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert [line for line in script.read_text().splitlines() if line.startswith("make")] == [
        "make check",
        "make test",
        "make test-bench",
        "make bench-smoke ARGS=--without-peers",
    ]


def test_every_target_that_contributing_names_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text()))

    assert {"test", "check", "golden"} <= named <= targets


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo \'Python 3.10.9\'\n[ "$1" = --version ]\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert f"cdc-merge needs Python 3.11 or newer; {old} is Python 3.10.9." in done.stderr
    assert not (tmp_path / "venv").exists()
