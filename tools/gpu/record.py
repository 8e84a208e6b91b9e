#!/usr/bin/env python3
"""Turns what the calls brought back into benches/record/DATE-GPU.md, and gives the table of docs/gpu.md its measured columns.

usage: record.py FOLDER...     the folders with the calls' files

Every figure is copied or divided; what a call did not bring is left out and named.
"""

import csv
import pathlib
import re
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS = ("call-1", "call-2", "call-3")


def found(folders: list[pathlib.Path], name: str) -> str:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(errors="replace")
    return ""


def benches(text: str) -> tuple[str, str]:
    """What was measured on, and the sections of the sizes."""
    about = re.search(r"^.*, driver for CUDA .*$", text, re.M)
    copy = re.search(r"^Copy within the device: .*$", text, re.M)
    sections = re.findall(r"^(## \d+ points.*?)(?=^exit status|^== |\Z)", text, re.M | re.S)
    return "\n".join(line.group(0) for line in (about, copy) if line), "\n".join(section.strip() + "\n" for section in sections)


def event_times(section: str) -> dict[str, tuple[int, float]]:
    """Launches and microseconds of every kernel of a bench, by events."""
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ([\d.]+) \| [\d.]+ \| [\d.infNa]+ \| [\d.infNa]+ % \|$", section, re.M)
    return {kernel: (int(launches), float(milliseconds) * 1e3) for kernel, launches, milliseconds in rows}


def counters(text: str) -> dict[str, dict[str, float]]:
    """Nsight Compute's counters of the first lift, summed over the launches of every kernel."""
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    if head is None:
        return sums
    units = next(csv.reader([lines[head + 1]]))
    names = next(csv.reader([lines[head]]))
    # Times in microseconds.
    scale = {"": 1, "inst": 1, "byte": 1, "ns": 1e-3, "nsecond": 1e-3}
    first, whole = "", False
    for row in csv.reader(line for line in lines[head + 2:] if line.startswith('"')):
        kernel = row[names.index("Kernel Name")].split("(")[0]
        # A lift begins with a kernel that it launches once.
        if kernel == first:
            whole = True
            break
        first = first or kernel
        sums[kernel]["launches"] += 1
        for name, unit, value in zip(names, units, row):
            if "__" in name:
                sums[kernel][name.split(".")[0]] += float(value.replace(",", "")) * scale[unit]
    if not whole:
        print("ncu.txt ends before the second lift begins: its counters are left out", file=sys.stderr)
        return {}
    return sums


def counter_table(sums: dict[str, dict[str, float]]) -> str:
    rows = ["| kernel | launches | us | MB read | MB written | GB/s | million instructions of warps |", "|---|---|---|---|---|---|---|"]

    def row(name: str, of: dict[str, float]) -> str:
        read, written, time = of["dram__bytes_read"], of["dram__bytes_write"], of["gpu__time_duration"]
        rate = (read + written) / time / 1e3 if time else 0
        return (f"| {name} | {of['launches']:.0f} | {time:.1f} | {read / 1e6:.2f} | {written / 1e6:.2f} | {rate:.0f} | "
                f"{of['smsp__inst_executed'] / 1e6:.2f} |")

    total: dict[str, float] = defaultdict(float)
    for kernel, of in sorted(sums.items(), key=lambda item: -item[1]["gpu__time_duration"]):
        rows.append(row(kernel, of))
        for name, value in of.items():
            total[name] += value
    return "\n".join([*rows, row("all", total)])


def measured_table(times: dict[str, tuple[int, float]], docs: str, how: str) -> str:
    """docs/gpu.md with the measured time of each kernel, and how many times its floor that is."""
    listed = set(re.findall(r"^\| (\w+) \|", docs, re.M))
    lines, inside, floor = [], False, 0
    for line in docs.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| kernel | launches |") and "floor, us" in cells:
            inside, floor = True, cells.index("floor, us")
            columns = len([cell for cell in cells if not cell.startswith("measured") and cell != "over floor"])
            line = "| " + " | ".join(cells[:columns]) + f" | measured, us ({how}) | over floor |"
        elif inside and line.startswith("|---"):
            line = "|" + "---|" * (columns + 2)
        elif inside and line.startswith("|"):
            if cells[0] == "all but the rounds of agglomeration":
                time = sum(time for kernel, (_, time) in times.items() if kernel != "agglomeration_rounds")
            elif cells[0].endswith(" others"):
                time = sum(time for kernel, (_, time) in times.items() if kernel not in listed)
            else:
                time = times.get(cells[0], (0, 0.0))[1]
            over = f"{time / float(cells[floor]):.1f}" if time and cells[floor] else "-"
            line = "| " + " | ".join(cells[:columns]) + f" | {f'{time:.1f}' if time else '-'} | {over} |"
        else:
            inside = False
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    folders = [pathlib.Path(argument) for argument in sys.argv[1:]]
    real_size = found(folders, "bench-80000.txt")
    about, section = benches(real_size)
    if not about:
        sys.exit("error: no folder holds bench-80000.txt with a bench in it; usage: record.py FOLDER...")
    _, sizes = benches(found(folders, "bench-sizes.txt"))
    sums = counters(found(folders, "ncu.txt"))
    gpu = about.split(",")[0]
    results = [found(folders, f"{call}.md") for call in CALLS]
    date = next((match.group(1) for text in results if (match := re.search(r", (\d{4}-\d{2}-\d{2}), commit", text))), None)
    if date is None:
        sys.exit("error: no folder holds call-1.md, call-2.md or call-3.md, which have the date")
    training = re.findall(r"^(training/.*?)\s*\n?\s+time:\s+\[(.*)\]$", found(folders, "training.txt"), re.M)
    shares = re.findall(r"^.*models .* s, .* % of all.*$", found(folders, "compare.txt"), re.M)

    text = [f"# {gpu}: the kernels, measured", "", about, "", "What ran, and how it ended:", ""]
    text += [result.strip() + "\n" if result else f"{call} brought nothing.\n" for call, result in zip(CALLS, results)]
    text += ["Times of kernels are by events; those of kernels that follow a wait of the host's hold their launches too, some microseconds. Each stage begins with a cold cache.", "", section, sizes]
    if sums:
        text += ["## 80,000 points, by counters", "", "Nsight Compute, clocks and caches left alone; one lift.", "", counter_table(sums), ""]
    if training:
        text += ["## Training", "", "| step | time, least, likely, most |", "|---|---|", *(f"| {name} | {times} |" for name, times in training), ""]
    if shares:
        text += ["## The stand-in models", "", *shares, ""]
    slug = re.sub("[^a-z0-9]+", "-", gpu.lower()).strip("-")
    path = ROOT / "benches/record" / f"{date}-{slug}.md"
    path.write_text("\n".join(text))
    print(path)

    events = event_times(section)
    times = {kernel: (int(of["launches"]), of["gpu__time_duration"]) for kernel, of in sums.items()} or events
    if not times:
        sys.exit("error: bench-80000.txt has no table of kernels, so docs/gpu.md stays as it is")
    docs = ROOT / "docs/gpu.md"
    docs.write_text(measured_table(times, docs.read_text(), f"{gpu}, {'counters' if sums else 'events'}"))
    print(docs)


if __name__ == "__main__":
    main()
