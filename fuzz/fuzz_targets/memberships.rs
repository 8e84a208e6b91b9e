#![no_main]
//! Memberships: archives of arrays that must fit together.

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use partstad::stages::memberships::Memberships;

const NAMES: [&str; 8] = [
    "visible",
    "extents",
    "set_offsets",
    "set_boxes",
    "entry_offsets",
    "entry_set",
    "entry_count",
    "ignored",
];

fuzz_target!(|data: &[u8]| {
    let made = partstad_fuzz::arrays(&NAMES, &mut Unstructured::new(data)).unwrap_or_default();
    for file in [data, &made] {
        partstad_fuzz::on_disk(file, "npz", |path| {
            if let Ok(memberships) = Memberships::read(path, 4) {
                let (sets, totals) = (memberships.sets().unwrap(), memberships.visible_totals().unwrap());
                assert_eq!(totals.len(), memberships.len());
                (0..memberships.len()).for_each(|s| drop(sets.counts(s).collect::<Vec<_>>()));
                assert!(memberships.ignored().unwrap().iter().all(|&b| b < 4));
            }
        });
    }
});
