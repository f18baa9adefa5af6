#!/usr/bin/env bash
# Builds the program into ascend310_infer/out/delf_infer; what is up to date is kept.
#   bash ascend310_infer/build.sh [--sanitize]
# The MindSpore Lite runtime is $MS_LITE_HOME/runtime where that is set (Ascend, or any release of your own); else the
# CPU runtime of the Python package mindspore-lite 2.0.0, fetched once and kept in ${DELF_CACHE:-~/.cache/delf_mindspore}.
set -euo pipefail
unset CDPATH
here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
source "$here/../scripts/common.sh"

package=mindspore-lite
version=2.0.0
wheel=mindspore_lite-2.0.0-cp37-cp37m-manylinux1_x86_64.whl
sha256=199cd0605cc985b88eddb273db9dfe9000a585ba10ca2292b6b36ebfff07b3ec

build="$here/build"
out="$here/out"
sanitize=OFF
case "${1:-}" in
    "") ;;
    --sanitize) sanitize=ON build="$here/build-sanitize" out="$here/out-sanitize" ;;
    *) die "usage: bash ascend310_infer/build.sh [--sanitize]" ;;
esac
command -v cmake >/dev/null || die "cmake is missing; install it (Debian: apt-get install cmake)"
command -v "${CXX:-g++}" >/dev/null || die "there is no C++ compiler ${CXX:-g++}; install one (Debian: apt-get install g++)"

# fetch_runtime FOLDER: download the package, check it, unpack what is needed.
fetch_runtime() {
    local folder="$1" python="$VENV/bin/python" download
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
        die "the runtime from PyPI is for x86-64 Linux; set MS_LITE_HOME to a MindSpore Lite for this machine"
    [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1 || python=python3
    mkdir -p "$(dirname "$folder")" 2>/dev/null || die "folder $(dirname "$folder") cannot be made; set DELF_CACHE to another"
    download="$(mktemp -d "$folder.XXXXXX")" || die "$(dirname "$folder") cannot be written; set DELF_CACHE to another"
    trap 'rm -rf "$download"' EXIT
    say "Fetching the MindSpore Lite runtime for CPU (169 MB, once) ..." >&2
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.7 \
        --platform manylinux1_x86_64 --dest "$download" "$package==$version" >&2 ||
        die "the package $package $version could not be fetched (pip's message is above); check the network, or set MS_LITE_HOME"
    printf '%s  %s\n' "$sha256" "$download/$wheel" | sha256sum --check --status ||
        die "the package $wheel is not the one expected (sha256 differs); it was not used"
    "$python" - "$download/$wheel" "$download/runtime" <<'PYTHON' || die "the package could not be unpacked; is the disk full?"
import signal, sys, zipfile

if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
unused = ("tensorrt", "transformer", "opencv_highgui", "dvpp", "_c_lite_wrapper", "ascend_pass", "unified-executor")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [
        name
        for name in wheel.namelist()
        if name.startswith(("mindspore_lite/include/", "mindspore_lite/lib/"))
        and not name.endswith((".py", ".json"))
        and not any(part in name for part in unused)
    ]
    wheel.extractall(sys.argv[2], names)
PYTHON
    # Two builds may have fetched at once: whoever comes second keeps the first one's.
    mv -T "$download/runtime/mindspore_lite" "$folder" 2>/dev/null || [ -f "$folder/include/api/model.h" ] ||
        die "the runtime could not be moved to $folder"
    rm -rf "$download"
    trap - EXIT
}

# usable_path PATH CHARACTERS WHAT_TO_DO: CMake and the linker take some characters for the end of a path.
usable_path() {
    [[ "$1" != *[$2\\]* ]] || die "the program cannot be built with $1: none of $2\\ may be in the path; $3"
}

trap 'exit 130' INT  # also where pip or cmake make an error of Ctrl-C
usable_path "$here" ';:' "move the project"
if [ -n "${MS_LITE_HOME:-}" ]; then
    include="$(absolute_path "$MS_LITE_HOME")/runtime"
    usable_path "$include" ';:,' "set MS_LITE_HOME to another path"
    library="$include/lib/libmindspore-lite.so"
    [ -f "$include/include/api/model.h" ] && [ -f "$library" ] ||
        die "MS_LITE_HOME is $MS_LITE_HOME, but there is no runtime/include/api/model.h or runtime/lib/libmindspore-lite.so in it"
else
    include="$(absolute_path "${DELF_CACHE:-$HOME/.cache/delf_mindspore}")/$package-$version"
    usable_path "$include" ';:,' "set DELF_CACHE to another folder"
    library="$include/lib/libmindspore-extendrt_python.so"
    [ -f "$include/include/api/model.h" ] && [ -f "$library" ] || fetch_runtime "$include"
fi

# Built from these very files and this runtime: nothing to do, and no cmake to start.
stamp="$(cat "$here"/CMakeLists.txt "$here"/inc/* "$here"/src/* "$here"/checks/* | cksum) $library $sanitize"
if [ -x "$out/delf_infer" ] && [ -x "$out/delf_network" ] && [ "$(cat "$out/.built" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
make_folder "$build"
make_folder "$out"
expect_writable "$build/build.log"
say "Building ascend310_infer ..." >&2
{
    cmake -S "$here" -B "$build" -DRUNTIME_INCLUDE="$include" -DRUNTIME_LIBRARY="$library" -DSANITIZE="$sanitize" &&
        cmake --build "$build" --parallel 2
} >"$build/build.log" 2>&1 || {
    tail -n 20 "$build/build.log" >&2
    die "the program could not be built (above); the whole log is $build/build.log"
}
programs=(delf_network delf_infer)
[ "$sanitize" = OFF ] || programs+=(pass_on)
for program in "${programs[@]}"; do
    put_in_place "$build/$program" "$out/$program"
done
expect_writable "$out/.built"
printf '%s\n' "$stamp" >"$out/.built"
