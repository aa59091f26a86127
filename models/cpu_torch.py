"""Makes PyPI's CUDA build of torch importable on a machine without a GPU, without gigabytes of CUDA libraries.

`setup.sh` runs it once after installing torch without its dependencies. It writes small shared libraries under torch/lib
with the names and symbols that the wheel links against. Importing torch and computing on the CPU then work; calling a
stub fails. Needs gcc and binutils. On a machine with a GPU, install torch with its dependencies instead.
"""

import importlib.util
import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

STUBS = [
    *("libcudart.so.13", "libcudnn.so.9", "libcufile.so.0", "libcusparse.so.12", "libcufft.so.12", "libnccl.so.2"),
    *("libcusparseLt.so.0", "libcublas.so.13", "libcublasLt.so.13", "libnvrtc.so.13", "libcupti.so.13"),
    "libnvshmem_host.so.3",
]
USERS = [
    *("libtorch_python", "libtorch", "libtorch_cuda", "libc10_cuda", "libtorch_cpu", "libtorch_nvshmem"),
    *("libtorch_global_deps", "libcaffe2_nvrtc"),
]
UNVERSIONED = re.compile(r"(cu|nccl|nvrtc|nvshmem|nvml|cudnn|_ZN.*nvshmem_ext)")
"""CUDA symbols without a version: the version cannot identify their library."""


def output(*command: str) -> list[str]:
    """Lines that a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def symbols_of(folder: Path) -> dict[str, list[tuple[str, str | None]]]:
    """The symbols that torch's libraries import from each stubbed library, each with its version."""
    library_of_version: dict[str, str] = {}
    versions_of: dict[str, set[str | None]] = defaultdict(set)
    for user in USERS:
        path = str(folder / f"{user}.so")
        current: str = ""
        for line in output("readelf", "-VW", path):
            if found := re.search(r"File: (\S+)", line):
                current = found.group(1)
            if (found := re.search(r"Name: (\S+)", line)) and current in STUBS:
                library_of_version[found.group(1)] = current
        for line in output("nm", "-D", "--undefined-only", path):
            name, _, tail = line.split()[-1].partition("@")
            versions_of[name].add(tail.lstrip("@") or None)
    symbols: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for name, versions in versions_of.items():
        for version in versions:
            if version in library_of_version:
                symbols[library_of_version[version]].append((name, version))
            elif version is None and UNVERSIONED.match(name):
                symbols["libcufile.so.0" if name.startswith("cuFile") else "libnccl.so.2"].append((name, None))
    return symbols


def write_stub(target: Path, symbols: list[tuple[str, str | None]], scratch: Path) -> None:
    """Compiles one shared library that defines functions with these names and versions."""
    by_version: dict[str, list[str]] = defaultdict(list)
    code = ["int stub;"]
    for at, (name, version) in enumerate(sorted(symbols, key=str)):
        code.append(f'long f{at}(void) __asm__("{name}"); long f{at}(void) {{ return 100; }}')
        if version:
            by_version[version].append(name)
    (scratch / "stub.c").write_text("\n".join(code))
    command = ["gcc", "-O1", "-w", "-shared", "-fPIC", "-o", str(target), str(scratch / "stub.c")]
    command.append(f"-Wl,-soname,{target.name}")
    if by_version:
        parts = [
            f"{version} {{ global: {' '.join(f'{name};' for name in names)} }};"
            for version, names in by_version.items()
        ]
        (scratch / "stub.map").write_text("\n".join(parts))
        command.append(f"-Wl,--version-script={scratch / 'stub.map'}")
    subprocess.check_call(command)


def main() -> None:
    """Writes all stubs beside torch's libraries."""
    found = importlib.util.find_spec("torch")
    assert found is not None, "torch is not installed"
    assert found.origin is not None
    folder = Path(found.origin).parent / "lib"
    symbols = symbols_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        for stub in STUBS:
            write_stub(folder / stub, symbols[stub], Path(scratch))
    print("stubs written to", folder)


if __name__ == "__main__":
    main()
