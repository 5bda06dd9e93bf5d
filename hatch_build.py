"""Builds the native program (native/) into the package where there is a Rust compiler; else DuckDB does its work.

A hook of the wheel's build, which an editable install is one of, too: https://hatch.pypa.io/latest/plugins/build-hook/custom/
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "CDC_MERGE_NATIVE"
"""The environment variable that leaves it out, where it is `0`."""

_PREFIX, _SUFFIX = {"win32": ("", ".dll"), "darwin": ("lib", ".dylib")}.get(sys.platform, ("lib", ".so"))


class NativeHook(BuildHookInterface):
    """Adds the program to a wheel, which is for this platform then, and for any Python: it knows nothing of Python."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        library = f"cdc_merge/native/_native{_SUFFIX}"
        if os.environ.get(SWITCH) == "0":
            return
        if problem := _build(root / "native", root / library):
            (root / library).unlink(missing_ok=True)  # of an earlier build, which may be another program
            self.app.display_warning(f"built without the native program, so reading is slower: {problem}")
            return
        build_data["artifacts"].append(library)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _build(source: Path, library: Path) -> str | None:
    """Returns what stood in the way."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return "there is no Rust compiler (cargo)"
    target = source / "target"
    command = [cargo, "build", "--release", "--locked", "--offline", "--quiet", "--target-dir", str(target)]
    # For this machine, whatever cargo is told to build for otherwise.
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_BUILD_TARGET"}
    try:
        done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    built = target / "release" / f"{_PREFIX}cdc_merge_native{_SUFFIX}"
    if done.returncode or not built.exists():
        return done.stderr.strip() or f"cargo made no {built.name}"
    beside = library.with_suffix(".new")
    shutil.copy(built, beside)
    beside.replace(library)  # a process may have the old one open
    return None
