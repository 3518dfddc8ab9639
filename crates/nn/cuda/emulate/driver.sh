#!/bin/sh
# Runs the tests of a program that was built with the feature `cuda` on a machine without a GPU: the kernels of this
# project, cuBLAS's products and the plainest of candle's kernels on an emulated driver; everything else that CUDA's
# libraries offer does nothing.
#
#   cargo test -p cola-nn --features cuda --test on_cuda --no-run      prints the program
#   crates/nn/cuda/emulate/driver.sh PROGRAM [ARGUMENTS]               e.g. --skip composed
#
# COLA_COUNT_LAUNCHES=1 prints how often each kernel was launched.
#
# Needs: a C++ compiler, nm (binutils), Linux.
set -eu
program=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
compiler=${CXX:-c++}
flags="-std=c++17 -O1 -fPIC -shared -fno-strict-aliasing -U_FORTIFY_SOURCE -Wno-unknown-pragmas"

for file in "$here"/../*.cu; do
    stem=$(basename "$file" .cu)
    $compiler -E -P -x c++ -DCOLA_EMULATE -std=c++17 "$file" | grep -o 'extern "C" *void *[a-z0-9_]*' |
        sed "s/.* \([a-z0-9_]*\)$/ENTRY($stem, \1)/" | sort -u
done >"$folder/entries.h"
# shellcheck disable=SC2086
$compiler $flags -I"$here" -I"$folder" -o "$folder/libdriver.so" "$here/driver.cpp"

# Whatever else the program wants from CUDA succeeds and does nothing.
nm -D --undefined-only "$program" | awk '{ print $2 }' | sed 's/@.*//' |
    grep -E '^(cu|__cuda|nvrtc)' | sort -u >"$folder/wanted"
nm -D --defined-only "$folder/libdriver.so" | awk '{ print $3 }' | sort -u >"$folder/given"
comm -23 "$folder/wanted" "$folder/given" | sed 's/.*/extern "C" long &() { return 0; }/' >"$folder/rest.cpp"
# shellcheck disable=SC2086
$compiler $flags -o "$folder/librest.so" "$folder/rest.cpp" -L"$folder" -Wl,--no-as-needed -ldriver

ldd "$program" | awk '/lib(cuda|cudart|cublas|cublasLt|curand|nvrtc)\.so/ { print $1 }' | while read -r name; do
    # shellcheck disable=SC2086
    $compiler $flags -Wl,-soname,"$name" -Wl,--no-as-needed -o "$folder/$name" -x c++ /dev/null \
        -L"$folder" -lrest -ldriver
done
status=0
LD_LIBRARY_PATH="$folder" "$program" --test-threads=1 "$@" 2>"$folder/errors" || status=$?
grep -v 'no version information' "$folder/errors" >&2 || true
exit $status
