//! Shapes as files, and folders of them in the layout of PartNet-Ensembled.

use crate::{Shape, generate};
use partstad::{Error, Result};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

/// Shapes of one split of a folder of labelled clouds.
#[derive(Debug, Clone)]
pub struct Split<'a> {
    /// Its name, such as `train`.
    pub name: &'a str,
    /// Shapes of each category.
    pub shapes: u64,
    /// Seed of the first shape; each next one takes the next seed.
    pub seed: u64,
}

/// Writes `PartNetE_meta.json` and `<split>/<Category>/<seed>/{pc.ply, label.npy}`.
///
/// # Errors
/// [`Error::Invalid`] if a category is unknown, [`Error::Io`] if a file cannot be written.
pub fn write(folder: &Path, categories: &[&str], splits: &[Split], points: usize) -> Result<()> {
    let mut parts = BTreeMap::new();
    for &category in categories {
        for split in splits {
            for seed in split.seed..split.seed + split.shapes {
                let shape = generate(category, seed, points)?;
                let folder = folder.join(split.name).join(category).join(seed.to_string());
                fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
                write_ply(&folder.join("pc.ply"), &shape)?;
                let path = folder.join("label.npy");
                fs::write(&path, labels(&shape)).map_err(Error::io(path))?;
                parts.insert(category, shape.parts);
            }
        }
    }
    let path = folder.join("PartNetE_meta.json");
    let text = serde_json::to_string_pretty(&parts).map_err(|e| Error::format(&path, e.to_string()))?;
    fs::write(&path, text + "\n").map_err(Error::io(path))
}

/// Binary PLY with f32 positions and u8 colours.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_ply(path: &Path, shape: &Shape) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        write!(file, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", shape.semantic.len())?;
        for axis in ["x", "y", "z"] {
            writeln!(file, "property float {axis}")?;
        }
        for channel in ["red", "green", "blue"] {
            writeln!(file, "property uchar {channel}")?;
        }
        writeln!(file, "end_header")?;
        for (position, color) in shape.cloud.positions.iter().zip(&shape.cloud.colors) {
            for x in position {
                file.write_all(&(*x as f32).to_le_bytes())?;
            }
            file.write_all(&color.map(|c| (255.0 * c).round() as u8))?;
        }
        file.flush()
    };
    write().map_err(Error::io(path))
}

/// `label.npy`: what NumPy (protocol 3) saves of the dictionary `{"semantic_seg": i64 [N], "instance_seg": i64 [N]}`.
fn labels(shape: &Shape) -> Vec<u8> {
    let mut header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    let mut dictionary = b"}(".to_vec();
    for (name, values) in [("semantic_seg", &shape.semantic), ("instance_seg", &shape.instance)] {
        let mut contents = vec![b'B'];
        contents.extend((8 * values.len() as u32).to_le_bytes());
        contents.extend(values.iter().flat_map(|&value| i64::from(value).to_le_bytes()));
        let shape = [b"J", &(values.len() as i32).to_le_bytes()[..], b"\x85"].concat();
        dictionary.extend(text(name));
        dictionary.extend(array(
            &shape,
            &dtype("i8", "<", b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"),
            &contents,
        ));
    }
    dictionary.push(b'u');
    let object = dtype("O8", "|", b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK?");
    let pickle = array(b")", &object, &[b"]", &dictionary[..], b"a"].concat());
    [b"\x93NUMPY\x01\x00v\x00", &header[..], b"\x80\x03", &pickle, b"."].concat()
}

/// An array as NumPy pickles it: remade empty, then given its version, shape, type, order and contents.
fn array(shape: &[u8], dtype: &[u8], contents: &[u8]) -> Vec<u8> {
    let empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R";
    [empty, &b"(K\x01"[..], shape, dtype, b"\x89", contents, b"tb"].concat()
}

fn dtype(name: &str, order: &str, rest: &[u8]) -> Vec<u8> {
    let made = [b"cnumpy\ndtype\n", &text(name)[..], b"K\x00K\x01\x87R"].concat();
    [&made[..], b"(K\x03", &text(order), b"NNN", rest, b"tb"].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use partstad::study::dataset::Dataset;

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("procedural-{}", std::process::id()));
        let splits =
            [Split { name: "train", shapes: 2, seed: 3 }, Split { name: "test", shapes: 1, seed: 7 }];
        write(&folder, &["Chair", "Box"], &splits, 500).unwrap();
        let dataset = Dataset::open(&folder).unwrap();
        assert_eq!(dataset.parts["Box"][..], ["lid"]);
        let objects = dataset.objects("train").unwrap();
        assert_eq!(objects.len(), 4);
        let (points, truth) = objects[3].read(5).unwrap();
        let shape = generate("Chair", 4, 500).unwrap();
        assert_eq!((points.positions.len(), truth.semantic), (500, shape.semantic));
        assert_eq!(truth.instance, shape.instance);
        fs::remove_dir_all(&folder).unwrap();
    }
}
