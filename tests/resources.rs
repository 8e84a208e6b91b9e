//! What the compiled kernels need of a multiprocessor, against the committed table `kernels/resources.txt`: a kernel that
//! spills, or needs more registers than it did, fails here. `BLESS=1 cargo test --test resources` writes the table anew.
#![cfg(feature = "cuda")]

use partstad::device::gpu::kernels::{KERNELS, RESOURCES};
use std::fs;

/// The architectures that the table is about.
const ARCHS: [&str; 2] = ["sm_80", "sm_90"];
const TABLE: &str = "kernels/resources.txt";
const HEADER: &str = "kernel arch registers stack spilled shared\n";

#[test]
fn kernels_need_what_they_needed() {
    let ours = |line: &&str| ARCHS.iter().any(|arch| line.split(' ').nth(1) == Some(arch));
    let lines: Vec<&str> = RESOURCES.lines().filter(ours).collect();
    assert_eq!(
        lines.len(),
        KERNELS.len() * ARCHS.len(),
        "needs nvcc (tools/cuda/fetch) and the architectures {ARCHS:?}; {TABLE} is not checked without"
    );
    for line in &lines {
        let numbers: Vec<u32> = line.split(' ').skip(2).map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers[2], 0, "{line}: registers are spilled");
    }
    let table = format!("{HEADER}{}\n", lines.join("\n"));
    if std::env::var_os("BLESS").is_some() {
        return fs::write(TABLE, table).unwrap();
    }
    let committed = fs::read_to_string(TABLE).unwrap();
    for (line, was) in table.lines().zip(committed.lines()) {
        assert_eq!(line, was, "the kernels need something else than {TABLE} says; BLESS=1 if that is meant");
    }
    assert_eq!(table.lines().count(), committed.lines().count(), "{TABLE} lists other kernels");
}
