"""Empties what is not needed in the fat binaries of ONNX Runtime's CUDA provider, so that it can be carried.

usage: trim_cuda_provider.py PROVIDER.so OUT.so [ARCH]

Kept is the machine code of one architecture (90) of the first 175 fat binaries, which hold the operators of ONNX and the fused ones. The
others hold flash attention, XQA, mixtures of experts and quantised products (by the names in onnxruntime-gpu 1.31.1), which no model
here asks for; so do binaries of one architecture alone. Nothing moves: what is emptied is zeros, which compress to nothing.
"""

import pathlib
import struct
import sys

MAGIC = struct.pack("<I", 0xBA55ED50)
# Of the pinned release: how many fat binaries there are, and how many of them hold operators.
BINARIES, OPERATORS = 609, 175


def binaries(data: bytearray) -> list[list[tuple[int, int, int]]]:
    """Start, length and architecture of the entries of every fat binary."""
    found, at = [], data.find(MAGIC)
    while at >= 0:
        _, version, header, size = struct.unpack_from("<IHHQ", data, at)
        end = at + header + size
        if version != 1 or not 16 <= header <= 64 or end > len(data) or at % 8:
            at = data.find(MAGIC, at + 4)
            continue
        entries, entry = [], at + header
        while entry < end:
            _, _, entry_header, length = struct.unpack_from("<HHIQ", data, entry)
            (arch,) = struct.unpack_from("<I", data, entry + 28)
            entries.append((entry + entry_header, length, arch))
            entry += entry_header + length
        found.append(entries)
        at = data.find(MAGIC, end)
    return found


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:3])
    wanted = int(sys.argv[3]) if len(sys.argv) > 3 else 90
    data = bytearray(source.read_bytes())
    found = binaries(data)
    if len(found) != BINARIES:
        sys.exit(f"error: {source} has {len(found)} fat binaries, not {BINARIES}: another release; see which hold operators (cuobjdump -elf)")
    kept = emptied = 0
    for number, entries in enumerate(found):
        for start, length, arch in entries:
            if arch == wanted and number < OPERATORS and len({arch for _, _, arch in entries}) > 1:
                kept += length
            else:
                emptied += length
                data[start:start + length] = bytes(length)
    if kept == 0:
        sys.exit(f"error: {source} holds no machine code for compute capability {wanted}")
    target.write_bytes(data)
    print(f"{target}: machine code of {kept / 1e6:.1f} MB kept, {emptied / 1e6:.1f} MB emptied")


if __name__ == "__main__":
    main()
