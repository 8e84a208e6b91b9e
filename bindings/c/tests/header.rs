//! The header is what cbindgen makes of the source. After a change that is meant:
//! `BLESS=1 cargo test --package partstad-capi --test header`.

use std::{fs, path::Path};

/// In the order of the header.
const SOURCES: [&str; 9] =
    ["status", "arguments", "device", "pipeline", "cloud", "observer", "segment", "result", "views"];

fn header() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(root.join("src").join(name).with_extension("rs"));
    }
    let mut text = vec![];
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_that_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/partstad.h");
    let made = header();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(committed.lines()).position(|(made, committed)| made != committed);
    assert!(
        made == committed,
        "include/partstad.h differs from the source from line {} on; write it again with BLESS=1",
        differs.unwrap_or_else(|| made.lines().count().min(committed.lines().count())) + 1
    );
}
