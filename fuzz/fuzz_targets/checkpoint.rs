#![no_main]
//! Checkpoints of PyTorch: the archive, and pickles alone, as they are or made of the opcodes that one has.

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use partstad::study::torch;
use std::io::{Cursor, Write};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Pieces of a checkpoint's pickle.
const PIECES: [&[u8]; 24] = [
    b"\x80\x02",
    b"}",
    b"(",
    b"u",
    b"s",
    b"t",
    b")",
    b"]",
    b"a",
    b"e",
    b"R",
    b"b",
    b"Q",
    b"q\x01",
    b"h\x01",
    b"ccollections\nOrderedDict\n)R",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ",
    b"X\x10\0\0\0model_state_dict",
    b"X\x05\0\0\0epoch",
    b"X\x11\0\0\0null_label_weight",
    b"K\x02",
    b"G?\xf0\0\0\0\0\0\0",
    b"K\0K\x02K\x02\x86K\x02K\x01\x86\x89h\x01tR",
];

fn pickle(from: &mut Unstructured) -> Result<Vec<u8>> {
    let mut code = vec![];
    while !from.is_empty() {
        match from.ratio(7, 8)? {
            true => code.extend_from_slice(from.choose(&PIECES)?),
            false => code.push(from.arbitrary()?),
        }
    }
    code.push(b'.');
    Ok(code)
}

fn archive(code: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in [("a/data.pkl", code), ("a/data/0", &[0; 64])] {
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(name, stored).expect("memory takes all");
        zip.write_all(content).expect("memory takes all");
    }
    zip.finish().expect("memory takes all").into_inner()
}

fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"PK") {
        let _ = torch::parse(data);
        return;
    }
    let _ = torch::parse(&archive(data));
    let made = pickle(&mut Unstructured::new(data)).unwrap_or_default();
    let _ = torch::parse(&archive(&made));
});
