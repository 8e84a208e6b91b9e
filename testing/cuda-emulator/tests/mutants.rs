//! The bugs that `tools/mutate` plants fit the kernels as they are now.
#![cfg(target_os = "linux")]

#[path = "../mutants.rs"]
mod mutants;

use std::path::Path;

#[test]
#[ignore = "of tools/mutate, not of the kernels: .ci/run asks"]
fn each_planted_bug_has_its_place() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = mutants::read(&here.join("mutants.txt"), &here.join("../../kernels")).unwrap();
    assert!(found.len() > 12);
    for mutant in &found {
        assert!(mutant.planted(7).contains("emulator_mutant(7)"), "{}", mutant.name);
    }
}
