"""Lets PyPI's Linux wheel of torch run on a machine without CUDA: torch_stubs.py TORCH_LIB OUT

The wheel links CUDA libraries that its CPU code does not need; installed without its dependencies it does not
load. This compiles small stand-ins into OUT, where every CUDA entry point answers "no device". With OUT in
LD_LIBRARY_PATH the stock wheel runs its CPU code. Wants gcc, readelf and nm.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

CUDA_LIBRARY = re.compile(r"lib(cu|nv|nccl)")
CUDA_SYMBOL = re.compile(r"(cu[a-zA-Z]|nccl|nvshmem|nvrtc|nvtx|__cuda|nvJitLink|nvml)")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def survey(libraries):
    """What these libraries want: other libraries, undefined symbols; and the library of each version tag."""
    needed, symbols, library_of = set(), set(), {}
    for path in libraries:
        needed |= set(re.findall(r"\(NEEDED\).*\[(.+?)\]", output("readelf", "-d", path)))
        current = None
        for text in output("readelf", "-V", path).splitlines():
            if file := re.search(r"File: (\S+)", text):
                current = file.group(1)
            name = re.search(r"Name: (\S+)", text)
            if name and current:
                library_of[name.group(1)] = current
        for text in output("nm", "-D", "--undefined-only", path).splitlines():
            symbols.add(text.split()[-1])
    return needed, symbols, library_of


def by_library(symbols, library_of):
    """CUDA's symbols as library to (version tag, names), and those without a version."""
    groups, loose = collections.defaultdict(list), []
    for symbol in sorted(symbols):
        name, _, version = symbol.partition("@")
        version = version.lstrip("@")
        if not CUDA_SYMBOL.match(name):
            continue
        if version:
            groups[library_of.get(version, version), version].append(name)
        else:
            loose.append(name)
    return {library: (version, names) for (library, version), names in groups.items()}, loose


def function(name):
    """C for a stand-in. 100 is cudaErrorNoDevice."""
    if name in ("cudaGetErrorString", "cudaGetErrorName"):
        return f'const char *{name}(int e) {{ return "no CUDA (stand-in)"; }}'
    if name.startswith("__cudaRegisterFatBinary") and not name.endswith("End"):
        return f"void **{name}(void *p) {{ return (void **)dummy; }}"
    if name.startswith("__cuda"):
        return f"long {name}(void) {{ return 0; }}"
    if name == "cudaGetDeviceCount":
        return f"int {name}(int *count) {{ *count = 0; return 100; }}"
    if name in ("cudaGetLastError", "cudaPeekAtLastError"):
        return f"int {name}(void) {{ return 0; }}"
    if name in ("cudaRuntimeGetVersion", "cudaDriverGetVersion"):
        return f"int {name}(int *version) {{ *version = 0; return 0; }}"
    return f"long {name}(void) {{ return 100; }}"


def compile_library(library, version, names, out):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "stand_in.c")
        marker = "int stand_in_" + re.sub(r"\W", "_", library) + ";"
        source.write_text("\n".join(["static long dummy[16];", *map(function, names), marker, ""]))
        command = ["gcc", "-w", "-shared", "-fPIC", "-o", out / library, source, f"-Wl,-soname,{library}"]
        if version:
            script = pathlib.Path(folder, "stand_in.map")
            script.write_text(f"{version} {{ global: {' '.join(name + ';' for name in names)} }};\n")
            command.append(f"-Wl,--version-script={script}")
        subprocess.check_call(command)


def main():
    lib, out = map(pathlib.Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    needed, symbols, library_of = survey(sorted(lib.glob("*.so")))
    versioned, loose = by_library(symbols, library_of)
    missing = sorted(n for n in needed if CUDA_LIBRARY.match(n) and not (lib / n).exists())
    for library in missing:
        version, names = versioned.get(library, (None, []))
        compile_library(library, version, names + (loose if "nccl" in library else []), out)
    print(len(missing), "stand-ins in", out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    main()
