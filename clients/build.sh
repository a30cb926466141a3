#!/usr/bin/env bash
# Usage: build.sh PYTHON NAME... Builds these clients into build/clients/NAME. Where something is missing it says which
# command installs it, goes on with the others, and exits with 2 in the end.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift

missing() {
    echo "$1: there is no $2. Get it with: $3" >&2
    return 1
}

# A header that the compiler finds.
header() {
    echo "#include <$1>" | c++ -E -x c++ - >/dev/null 2>&1
}

toolchain() {
    local install="apt-get install -y --no-install-recommends"
    command -v c++ >/dev/null || { missing "$1" "C++ compiler" "$install g++"; return 1; }
    command -v cmake >/dev/null || { missing "$1" "CMake" "$install cmake make"; return 1; }
    header CLI/CLI.hpp || { missing "$1" "CLI11" "$install libcli11-dev"; return 1; }
    header nlohmann/json.hpp || { missing "$1" "JSON library" "$install nlohmann-json3-dev"; return 1; }
    header openssl/evp.h || { missing "$1" "OpenSSL with headers" "$install libssl-dev"; return 1; }
}

# The folder of an installed Python package, or nothing.
package() {
    "$python" -c 'import importlib.util, os, sys
spec = importlib.util.find_spec(sys.argv[1])
print(os.path.dirname(spec.origin) if spec else "")' "$1"
}

find_onnxruntime() {
    [ -z "${ONNXRUNTIME_ROOT:-}" ] || return 0
    clients/onnxruntime/setup.sh build/clients/onnxruntime-library "$python" || return 1
    export ONNXRUNTIME_ROOT=$PWD/build/clients/onnxruntime-library
}

find_libtorch() {
    [ -z "${Torch_DIR:-}" ] || return 0
    local folder
    folder=$(package torch)
    [ -n "$folder" ] || { missing libtorch LibTorch "$python -m pip install -c constraints.txt torch"; return 1; }
    export Torch_DIR=$folder/share/cmake/Torch
}

find_openvino() {
    [ -z "${OpenVINO_DIR:-}" ] || return 0
    local folder
    folder=$(package openvino)
    [ -n "$folder" ] || { missing openvino OpenVINO "$python -m pip install --no-deps openvino"; return 1; }
    export OpenVINO_DIR=$folder/cmake
}

build() {
    toolchain "$1" && "find_$1" || return 1
    local out=build/clients/$1
    mkdir -p "$out"
    cmake -S "clients/$1" -B "$out" >"$out/log" 2>&1 && cmake --build "$out" --parallel 2 >>"$out/log" 2>&1 || {
        tail -n 20 "$out/log" >&2
        echo "$1: it could not be built ($out/log)." >&2
        return 1
    }
    echo "$out/rnn-export-$1"
}

code=0
for name in "$@"; do
    build "$name" || code=2
done
exit $code
