#!/usr/bin/env bash
# Usage: setup.sh FOLDER PYTHON. Lays out FOLDER as an official release of ONNX Runtime is: lib/ from the package that
# PYTHON has installed, include/ from Debian's libonnxruntime-dev. That is in Debian 13, and drives newer libraries.
set -euo pipefail
suite=trixie
package=libonnxruntime-dev
out=$1
python=$2
keys=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "onnxruntime: $1" >&2
    echo "  Or unpack an official release of ONNX Runtime, and set ONNXRUNTIME_ROOT to its folder." >&2
    exit 2
}

library=$("$python" -c '
import importlib.util, pathlib
spec = importlib.util.find_spec("onnxruntime")
found = sorted(pathlib.Path(spec.origin).parent.glob("capi/libonnxruntime.so.*")) if spec else []
print(*found[:1])')
[ -n "$library" ] || fail "there is no ONNX Runtime. Get it with: $python -m pip install onnxruntime"
mkdir -p "$out/lib" "$out/include"
out=$(cd "$out" && pwd)
# The other libraries beside it are those of execution providers, which it looks for in its own folder.
ln -sf "$(dirname "$library")"/libonnxruntime*.so* "$out/lib"
ln -sf "$library" "$out/lib/libonnxruntime.so"
ln -sf "$library" "$out/lib/libonnxruntime.so.1"

[ ! -f "$out/include/onnxruntime_cxx_api.h" ] || exit 0
command -v apt-get >/dev/null || fail "there is no apt-get to fetch its headers with."
# This machine's own mirror, with another suite, in a configuration that leaves apt's as it is.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016  # apt fills these in
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
    awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || fail "apt has no Debian mirror to fetch its headers from."
apt=$out/apt
mkdir -p "$apt/lists" "$apt/cache"
cat >"$apt/apt.conf" <<CONFIGURATION
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "$(id -un)";
CONFIGURATION
trust=
[ ! -f $keys ] || trust="[signed-by=$keys]"
echo "deb $trust $mirror $suite main" >"$apt/sources.list"
export APT_CONFIG=$apt/apt.conf
(cd "$apt" && apt-get update && apt-get download "$package") >"$apt/log" 2>&1 ||
    fail "apt cannot fetch $package from Debian's suite $suite ($apt/log says why)."
dpkg-deb -x "$apt/$package"_*.deb "$apt/package"
cp "$apt/package/usr/include/onnxruntime/"*.h "$out/include"
rm -rf "$apt"
