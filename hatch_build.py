"""Compile the optional C extensions when a wheel is built or the tree is installed in place.

Without a C compiler, Python.h or nghttp2.h the build says so and goes on: cffi and simdjson do the same, slower. The
HTTP/2 codec is linked to the system's libnghttp2, which is kept well there. STRONGROOM_WERROR=1 makes warnings errors.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Extension(NamedTuple):  # no dataclass: hatchling runs this file without making it a module
    """A module below src, made of the C files in its folder that a pattern finds."""

    what: str
    module: Path
    sources: str
    options: tuple[str, ...] = ()


EXTENSIONS = (
    Extension("HTTP/2 codec", Path("src/strongroom/serving/http2/_codec"), "codec/*.c", ("-lnghttp2",)),
    Extension("reader of JSON numbers", Path("src/strongroom/tfserving/_json_numbers"), "_json_numbers.c", ("-O3",)),
)
FLAGS = (
    "-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong", "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=2", "-Wall", "-Wextra", "-Wconversion", "-Wl,-z,relro,-z,now",
)  # fmt: skip


class ExtensionsHook(BuildHookInterface[Any]):
    """Hatchling calls `initialize` before it collects files, for wheels and editable installs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile next to the sources; a wheel takes the files in and is named for this platform."""
        root = Path(self.root)
        for extension in EXTENSIONS:
            module = root / extension.module
            target = module.with_name(module.name + str(sysconfig.get_config_var("EXT_SUFFIX")))
            reason = compiled(sorted(module.parent.glob(extension.sources)), target, extension.options)
            if reason:
                self.app.display_warning(
                    f"the compiled {extension.what} is left out ({reason}): serving works without it, slower"
                )
                target.unlink(missing_ok=True)
            elif version != "editable":
                build_data["force_include"][str(target)] = str(Path(*extension.module.parts[1:-1]) / target.name)
                build_data["pure_python"] = False
                build_data["infer_tag"] = True


def compiled(sources: list[Path], target: Path, options: tuple[str, ...]) -> str | None:
    """Compile; return why not, in a few words."""
    compiler = shlex.split(os.environ.get("CC", "")) or [found] if (found := shutil.which("cc")) else []
    if not compiler or sys.platform == "win32":
        return "there is no C compiler"
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").is_file():
        return f"Python.h is not in {include}"
    strict = ["-Werror"] if os.environ.get("STRONGROOM_WERROR") == "1" else []
    apart = target.with_suffix(f".{os.getpid()}.tmp")  # a running server keeps the file it has mapped
    places = [f"-ffile-prefix-map={target.parent}=.", "-isystem", include]
    command = [*compiler, *FLAGS, *strict, *places, *map(str, sources), "-o", str(apart), *options]
    if sys.platform == "darwin":
        command = [*(part for part in command if not part.startswith("-Wl")), "-undefined", "dynamic_lookup"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "the compiler failed")
            if strict:
                raise RuntimeError(done.stderr)
            return first.strip()
        apart.replace(target)
    except (OSError, subprocess.SubprocessError) as problem:
        return f"{compiler[0]}: {problem}"
    finally:
        apart.unlink(missing_ok=True)
    return None
