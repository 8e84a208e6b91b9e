//! Small files that would fill the memory. Each is read by a process that may have little of it, and must be refused by
//! name; without the limit such a process would take gigabytes.

use super::{CLOUD, PARTS, error, within};
use std::{
    ffi::OsStr,
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// MiB of address space that a process may have here. A run on a cloud of 8000 points has 200.
const SPACE: u64 = 700;

/// Standard error of a run that must fail with little memory.
fn refused(args: &[&dyn AsRef<OsStr>], file: &Path, words: &str) {
    let output = within(SPACE, &[args, &[&"--threads", &"1"]].concat()).output().unwrap();
    let error = error(&output);
    assert_eq!(output.status.code(), Some(1), "{words}: {:?} {error}", output.status);
    assert!(error.contains(words), "{words:?}: {error}");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(error.contains(name), "{name}: {error}");
}

/// An archive whose members are one piece of bytes, many times.
fn archive(path: &Path, members: &[(&str, &[u8], &[u8], usize)]) -> PathBuf {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .large_file(true);
    for (name, head, piece, times) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(head).unwrap();
        let many = piece.repeat((1 << 20) / piece.len().max(1));
        for _ in 0..(times * piece.len()) >> 20 {
            zip.write_all(&many).unwrap();
        }
    }
    fs::write(path, zip.finish().unwrap().into_inner()).unwrap();
    path.to_path_buf()
}

fn npy(descr: &str, shape: &str) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let dict = format!("{dict:<117}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(dict.len() as u16).to_le_bytes(), dict.as_bytes()].concat()
}

fn small(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    assert!(length < 2 << 20, "{}: {length} bytes are no small file", path.display());
}

#[test]
fn a_pickle_of_one_opcode() {
    let dir = tempfile::tempdir().unwrap();
    let import = |path: &Path, words: &str| {
        small(path);
        let out = dir.path().join("out.safetensors");
        refused(&[&"weights", &"import", &path, &"--parts", &PARTS, &"-o", &out], path, words);
    };
    // 256 MB of None, 256 KB packed; then what fits the limit of bytes, of other opcodes.
    import(
        &archive(&dir.path().join("none.pth"), &[("a/data.pkl", b"\x80\x02", b"N", 256 << 20)]),
        "unpacks to more than",
    );
    for opcode in [&b"N"[..], b"(", b"]", b"}", b")", b"K\x01", b"]q\x00", b"]\x94"] {
        let many = (15 << 20) / opcode.len();
        let path = archive(&dir.path().join("many.pth"), &[("a/data.pkl", b"\x80\x02", opcode, many)]);
        import(&path, "more values than can be used");
    }
}

/// A checkpoint whose tensors all lie in one storage of 256 MB.
#[test]
fn many_tensors_on_one_storage() {
    let dir = tempfile::tempdir().unwrap();
    let mut code = b"\x80\x02}(X\x10\0\0\0model_state_dict}(".to_vec();
    for i in 0..64u8 {
        let name = format!("layer{i:02}");
        code.extend([b"X\x07\0\0\0", name.as_bytes()].concat());
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\0\0\0\x04tQK\0J\0\0\0\x04\x85K\x01\x85\x89}tR");
    }
    code.extend(b"uX\x05\0\0\0epochK\x01X\x11\0\0\0null_label_weightG?\xf0\0\0\0\0\0\0u.");
    let path = dir.path().join("shared.pth");
    archive(&path, &[("a/data.pkl", &code, b"", 0), ("a/data/0", b"", b"\0", 256 << 20)]);
    small(&path);
    let out = dir.path().join("out.safetensors");
    refused(&[&"weights", &"import", &path, &"--parts", &PARTS, &"-o", &out], &path, "no such network");
}

#[test]
fn an_archive_of_small_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("sp.npy");
    let superpoints = |path: &Path| {
        small(path);
        refused(&[&"superpoints", &path, &"-o", &out], path, "MiB of memory");
    };
    // A billion bytes, which would become as many f64.
    let rows = 170usize << 20;
    let head = npy("|u1", &format!("{rows}, 6,"));
    superpoints(&archive(&dir.path().join("plain.npz"), &[("points.npy", &head, b"\0", 6 * rows)]));
    // The same, as columns of records.
    let fields = ["x", "y", "z", "red", "green", "blue"].map(|name| format!("('{name}', '|u1'), ")).concat();
    let dict = format!("{{'descr': [{fields}], 'fortran_order': False, 'shape': ({rows},), }}\n");
    let head = [b"\x93NUMPY\x01\x00", &(dict.len() as u16).to_le_bytes()[..], dict.as_bytes()].concat();
    superpoints(&archive(&dir.path().join("records.npz"), &[("points.npy", &head, b"\0", 6 * rows)]));
    // Many arrays, each small enough.
    let rows = 24usize << 20;
    let head = npy("|u1", &format!("{rows},"));
    let names = ["x", "y", "z", "red", "green", "blue", "r", "g", "b", "px", "py", "pz"];
    let names = names.map(|name| format!("{name}.npy"));
    let members: Vec<_> = names.iter().map(|name| (&name[..], &head[..], &b"\0"[..], rows)).collect();
    superpoints(&archive(&dir.path().join("many.npz"), &members));
}

/// Masks and features whose shape nobody can use are refused before they are unpacked.
#[test]
fn arrays_of_another_shape() {
    let dir = tempfile::tempdir().unwrap();
    let boxes = "tests/fixtures/syn8k_d/pred.json";
    let (wide, out) = (dir.path().join("wide.npz"), dir.path().join("out"));
    for (option, name, words) in
        [("--masks", "mask.npy", "they must be"), ("--features", "feature.npy", "rows of features")]
    {
        archive(&wide, &[(name, &npy("|u1", "1073741824, 1,"), b"\0", 1 << 30)]);
        small(&wide);
        refused(
            &[&"lift", &CLOUD, &"--boxes", &boxes, &option, &wide, &"--parts", &PARTS, &"-o", &out],
            &wide,
            words,
        );
    }
    assert!(!out.exists());
}

/// A dictionary of labels with many entries of one array of bytes, which become i64.
#[test]
fn labels_with_many_names_for_one_array() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("label.npy");
    let n = 1u32 << 20;
    let mut code = b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R\x89](}(".to_vec();
    let mut array =
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01J".to_vec();
    array.extend(n.to_le_bytes());
    array.extend(b"\x85cnumpy\ndtype\nX\x02\0\0\0u1\x89\x88\x87R(K\x03X\x01\0\0\0|tb\x89B");
    array.extend(n.to_le_bytes());
    array.extend(vec![0; n as usize]);
    array.extend(b"tbq\x07");
    for i in 0..64 {
        code.extend(format!("X\x03\0\0\0e{i:02}").as_bytes());
        code.extend(if i == 0 { &array[..] } else { b"h\x07" });
    }
    code.extend(b"uetb.");
    fs::write(&path, [npy("|O", "1,"), code].concat()).unwrap();
    small(&path);
    let refused = partstad::io::pickle::arrays::read(&path).unwrap_err().to_string();
    assert!(refused.contains("MiB of memory"), "{refused}");
}

#[test]
fn a_compressed_cloud_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flat.pcd");
    // Each three bytes are 264 of the byte before.
    let runs = 1usize << 19;
    let points = (1 + runs * 264) / 6;
    let mut file = format!(
        "VERSION 0.7\nFIELDS x y z r g b\nSIZE 1 1 1 1 1 1\nTYPE U U U U U U\nCOUNT 1 1 1 1 1 1\nWIDTH {points}\nHEIGHT 1\n\
         POINTS {points}\nDATA binary_compressed\n"
    )
    .into_bytes();
    let packed = [&[0, 0][..], &[0xe0, 0xff, 0x00].repeat(runs)].concat();
    file.extend((packed.len() as u32).to_le_bytes());
    file.extend((1 + runs as u32 * 264).to_le_bytes());
    file.extend(packed);
    fs::write(&path, file).unwrap();
    small(&path);
    refused(&[&"superpoints", &path, &"-o", &dir.path().join("sp.npy")], &path, "MiB of memory");
}

#[test]
fn what_never_ends() {
    let dir = tempfile::tempdir().unwrap();
    let zero = dir.path().join("zero.xyz");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    refused(&[&"superpoints", &zero, &"-o", &dir.path().join("sp.npy")], &zero, "is not a file");
    let boxes = Path::new("/dev/zero");
    let out = dir.path().join("out");
    refused(&[&"lift", &CLOUD, &"--boxes", &boxes, &"--parts", &PARTS, &"-o", &out], boxes, "more than");
    refused(&[&"render", &CLOUD, &"--views", &boxes, &"-o", &out], boxes, "more than");
    let line = dir.path().join("line.xyz");
    fs::write(&line, "1 ".repeat(1 << 20)).unwrap();
    refused(&[&"superpoints", &line, &"-o", &dir.path().join("sp.npy")], &line, "longer than");
}

/// An extended record that says it has exabytes.
#[cfg(feature = "scans")]
#[test]
fn a_record_longer_than_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record.las");
    let mut file = vec![0; 375 + 60];
    file[..4].copy_from_slice(b"LASF");
    (file[24], file[25]) = (1, 4);
    file[94..96].copy_from_slice(&375u16.to_le_bytes());
    file[96..100].copy_from_slice(&375u32.to_le_bytes());
    file[105..107].copy_from_slice(&20u16.to_le_bytes());
    file[235..243].copy_from_slice(&375u64.to_le_bytes());
    file[243..247].copy_from_slice(&1u32.to_le_bytes());
    file[375 + 20..375 + 28].copy_from_slice(&(1u64 << 60).to_le_bytes());
    fs::write(&path, file).unwrap();
    refused(&[&"superpoints", &path, &"-o", &dir.path().join("sp.npy")], &path, "truncated or damaged");
}

/// Many points, each said to have 49,160 bytes.
#[cfg(feature = "scans")]
#[test]
fn points_longer_than_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("points.las");
    let mut file = vec![0; 267];
    file[..4].copy_from_slice(b"LASF");
    (file[24], file[25]) = (1, 2);
    file[94..96].copy_from_slice(&227u16.to_le_bytes());
    file[96..100].copy_from_slice(&227u32.to_le_bytes());
    file[105..107].copy_from_slice(&49_160u16.to_le_bytes());
    file[107..111].copy_from_slice(&65_536u32.to_le_bytes());
    for scale in 0..3 {
        file[131 + 8 * scale..139 + 8 * scale].copy_from_slice(&1f64.to_le_bytes());
    }
    fs::write(&path, file).unwrap();
    refused(&[&"superpoints", &path, &"-o", &dir.path().join("sp.npy")], &path, "not a readable LAS file");
}
