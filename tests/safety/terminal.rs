//! Names from elsewhere on a terminal: no control characters, one line, not too long.

use super::{CLOUD, error, partstad};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

#[test]
fn no_name_moves_the_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let name = b"\x1b[2J\x07\xc2\x9b31m\nerror: faked\xe2\x80\xae.ply";
    let cloud = dir.path().join(OsStr::from_bytes(name));
    let out = dir.path().join(OsStr::from_bytes(b"out\x1b]0;title\x07"));
    fs::write(&cloud, "ply\nformat ascii 1.0\nelement \x1b[31m\x08 vertex\n").unwrap();
    let options = dir.path().join("options.json");
    fs::write(&options, "{\"\\u001b[31m\": 1}").unwrap();
    let long = dir.path().join("long.xyz");
    fs::write(&long, format!("x y z\n0 0 {}\n", "9x".repeat(30_000))).unwrap();
    let good = dir.path().join(OsStr::from_bytes(b"good\x1b[1m.ply"));
    fs::copy(CLOUD, &good).unwrap();
    let runs: [(&[&dyn AsRef<OsStr>], bool); 6] = [
        (&[&"superpoints", &cloud, &"-o", &out, &"-vv"], false),
        (&[&"render", &cloud, &"-o", &out], false),
        (&[&"render", &CLOUD, &"-o", &out, &"--views", &options], false),
        (&[&"superpoints", &long, &"-o", &out], false),
        (&[&"superpoints", &dir.path().join(OsStr::from_bytes(b"\x1b.none")), &"-o", &out], false),
        (&[&"superpoints", &good, &"-o", &out, &"-vv"], true),
    ];
    for (args, succeeds) in runs {
        let output = partstad(args).output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!succeeds)), "{}", error(&output));
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(text.clone()).unwrap();
            let control = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(control), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("error: faked")), "{text:?}");
            assert!(text.lines().all(|line| line.chars().count() < 2100), "a long line");
        }
    }
}
