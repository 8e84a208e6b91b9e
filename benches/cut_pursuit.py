"""Partitions a graph with the published parallel cut pursuit (pip install pycut-pursuit); called by cut_pursuit.rs.

Arguments: folder with features, first, heads and weights (.npy, weights times twice lambda), threads, repetitions.
Writes labels.npy; prints the least wall and CPU seconds.
"""

import sys
import time

import numpy as np
from pycut_pursuit.cp_d0_dist import cp_d0_dist

folder, threads, repetitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
features, first, heads, weights = (np.load(f"{folder}/{name}.npy") for name in ("features", "first", "heads", "weights"))
# Each edge once.
tails = np.repeat(np.arange(len(first) - 1), np.diff(first))
once = tails < heads
first = np.concatenate([[0], np.cumsum(np.bincount(tails[once], minlength=len(first) - 1))]).astype(np.uint32)
wall, cpu = [], []
for _ in range(repetitions):
    start = time.perf_counter(), time.process_time()
    labels, _ = cp_d0_dist(
        features.shape[1], np.asfortranarray(features.T), first, heads[once], weights[once],
        max_num_threads=threads, verbose=False,
    )
    wall.append(time.perf_counter() - start[0])
    cpu.append(time.process_time() - start[1])
np.save(f"{folder}/labels.npy", labels.astype(np.int32))
print(min(wall), min(cpu))
