//! Checkpoints as PartSTAD's authors save them with PyTorch: a zip archive with a pickle and the numbers of its tensors.
//! Read without Python, and without executing anything; written so that their code and `torch.load(weights_only=True)`
//! read them.

use crate::{
    error::{Error, Result},
    io::{
        budget,
        npy::{self, Array},
        pickle::{Parsed, torch},
        staged,
    },
    stages::{
        checkpoint::Checkpoint,
        network::{Basis, Network},
    },
};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Write},
    path::Path,
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// What the authors save: `{epoch, model_state_dict, null_label_weight, ...}`. The states of their optimizers are left
/// out, and written as fresh ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The tensors of the network by name.
    pub model: BTreeMap<String, Array<f32>>,
    /// The null weight.
    pub null_label_weight: f64,
}

/// A pickle may unpack to this many bytes.
const PICKLE_LIMIT: u64 = 1 << 24;
/// Numbers of all tensors together. The paper's network has less than a million.
const NUMBER_LIMIT: usize = 1 << 23;
/// Nobody trains for longer.
const EPOCH_LIMIT: f64 = 1e9;
/// No checkpoint of such a network is larger, with the states of its optimizers.
const FILE_LIMIT: u64 = 1 << 28;
/// A network has no more tensors.
const TENSOR_LIMIT: usize = 64;

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] if it is not such a checkpoint, or its pickle asks for anything but tensors.
pub fn read(path: &Path) -> Result<Saved> {
    parse(&budget::read(path, FILE_LIMIT)?).map_err(|what| Error::format(path, what))
}

/// The content of a checkpoint; the error says what is wrong, without the file's name.
///
/// # Errors
/// As [`read`].
pub fn parse(file: &[u8]) -> Result<Saved, String> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|e| {
        format!("cut, or not a checkpoint of PyTorch 1.6 or later, which is a zip archive ({e}); load and save an older one there")
    })?;
    let is_pickle = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
    let name = archive.file_names().flatten().map(|name| name.to_string()).find(|name| is_pickle(name));
    let Some(folder) = name.as_deref().and_then(|name| name.strip_suffix("data.pkl")) else {
        return Err("a zip archive without data.pkl: not a checkpoint of PyTorch".into());
    };
    if member(&mut archive, &format!("{folder}byteorder"), 16).is_ok_and(|order| order == b"big") {
        return Err("big-endian numbers; save it on a little-endian machine".into());
    }
    let code = member(&mut archive, &format!("{folder}data.pkl"), PICKLE_LIMIT)?;
    let (machine, top) = torch::read(&code)?;
    let all = machine.entries(top)?;
    let entry = |name: &str| {
        let found = all.iter().rev().find(|(key, _)| *key == name);
        found
            .map(|&(_, place)| place)
            .ok_or_else(|| format!("holds no `{name}`: not a checkpoint of PartSTAD"))
    };
    let tensors = machine.entries(entry("model_state_dict")?)?;
    if tensors.len() > TENSOR_LIMIT {
        return Err(format!("a network of {} tensors; the limit is {TENSOR_LIMIT}", tensors.len()));
    }
    let (mut model, mut left) = (BTreeMap::new(), NUMBER_LIMIT);
    for (name, place) in tensors {
        let tensor = machine.tensor(place).map_err(|what| format!("`{name}`: {what}"))?;
        // Several tensors may lie in one storage.
        let count = tensor.shape.iter().product::<usize>();
        let end = tensor.first.checked_add(count).filter(|&end| end <= NUMBER_LIMIT && count <= left);
        let end =
            end.ok_or_else(|| format!("`{name}`: more than {NUMBER_LIMIT} numbers; no such network"))?;
        left -= count;
        let bytes = start_of(&mut archive, &format!("{folder}data/{}", tensor.key), 8 * end as u64)?;
        model.insert(name.to_string(), numbers(&tensor, &bytes).map_err(|what| format!("`{name}`: {what}"))?);
    }
    let epoch = machine.number(entry("epoch")?)?;
    if epoch.fract() != 0.0 || !(0.0..=EPOCH_LIMIT).contains(&epoch) {
        return Err(format!("`epoch` is {epoch}, which is no count"));
    }
    let null_label_weight = machine.number(entry("null_label_weight")?)?;
    if !null_label_weight.is_finite() {
        return Err(format!("`null_label_weight` is {null_label_weight}"));
    }
    Ok(Saved { epoch: epoch as usize, model, null_label_weight })
}

fn member(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Parsed<Vec<u8>> {
    let bytes = start_of(archive, name, limit + 1)?;
    match bytes.len() as u64 > limit {
        true => Err(format!("{name} unpacks to more than {limit} bytes")),
        false => Ok(bytes),
    }
}

/// At most so many bytes of a file within the archive.
fn start_of(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, most: u64) -> Parsed<Vec<u8>> {
    let file = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    Ok(bytes)
}

fn numbers(tensor: &torch::Tensor, bytes: &[u8]) -> Parsed<Array<f32>> {
    let size = match tensor.class {
        "FloatStorage" => 4,
        "DoubleStorage" => 8,
        "HalfStorage" => 2,
        other => return Err(format!("numbers of {other}, not floats")),
    };
    let count = tensor.shape.iter().product::<usize>();
    let range = tensor.first.checked_mul(size).zip(count.checked_mul(size));
    let range = range.and_then(|(first, length)| Some(first..first.checked_add(length)?));
    let bytes = range.and_then(|range| bytes.get(range)).ok_or_else(|| {
        format!("{count} numbers from {} on, but the storage has {} bytes", tensor.first, bytes.len())
    })?;
    let data = npy::elements(b'f', size, bytes).map_err(|number| format!("holds {number}"))?;
    Ok(Array { shape: tensor.shape.clone(), data })
}

/// Writes a checkpoint.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write(path: &Path, saved: &Saved) -> Result<()> {
    let file = archive(saved).map_err(Error::io(path))?;
    staged::write_all(path, &file)
}

fn archive(saved: &Saved) -> std::io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, content: &[u8]| {
        zip.start_file(format!("checkpoint/{name}"), options)?;
        zip.write_all(content)
    };
    add("data.pkl", &code(saved))?;
    add("byteorder", b"little")?;
    for (key, tensor) in saved.model.values().enumerate() {
        let bytes: Vec<u8> = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        add(&format!("data/{key}"), &bytes)?;
    }
    add("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// The pickle, protocol 2.
fn code(saved: &Saved) -> Vec<u8> {
    let text = |s: &str| [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
    let int = |n: usize| [b"J", &(n as i32).to_le_bytes()[..]].concat();
    let float = |x: f64| [b"G", &x.to_be_bytes()[..]].concat();
    let tuple = |items: &[Vec<u8>]| [b"(", &items.concat()[..], b"t"].concat();
    let dict = |entries: &[(&str, Vec<u8>)]| {
        let entries: Vec<u8> =
            entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
        [b"}(", &entries[..], b"u"].concat()
    };
    let (no, none) = (vec![0x89], vec![b'N']);
    let ordered = b"ccollections\nOrderedDict\n)R".to_vec();
    let tensor = |(key, tensor): (usize, &Array<f32>)| {
        let (class, count) = (b"ctorch\nFloatStorage\n".to_vec(), int(tensor.data.len()));
        let storage = tuple(&[text("storage"), class, text(&key.to_string()), text("cpu"), count]);
        let strides = (0..tensor.shape.len()).map(|axis| int(tensor.shape[axis + 1..].iter().product()));
        let shape: Vec<_> = tensor.shape.iter().map(|&n| int(n)).collect();
        let strides: Vec<_> = strides.collect();
        let arguments = tuple(&[
            [storage, vec![b'Q']].concat(),
            int(0),
            tuple(&shape),
            tuple(&strides),
            no.clone(),
            ordered.clone(),
        ]);
        [b"ctorch._utils\n_rebuild_tensor_v2\n", &arguments[..], b"R"].concat()
    };
    let tensors: Vec<u8> = (saved.model.iter().enumerate())
        .flat_map(|(i, (name, array))| [text(name), tensor((i, array))].concat())
        .collect();
    let model = [&ordered[..], b"(", &tensors, b"u"].concat();
    let optimizer = |rate: f64, parameters: usize| {
        let parameters: Vec<u8> = (0..parameters).flat_map(int).collect();
        let group = dict(&[
            ("lr", float(rate)),
            ("betas", tuple(&[float(0.9), float(0.999)])),
            ("eps", float(1e-8)),
            ("weight_decay", float(0.01)),
            ("amsgrad", no.clone()),
            ("maximize", no.clone()),
            ("foreach", none.clone()),
            ("capturable", no.clone()),
            ("differentiable", no.clone()),
            ("fused", none.clone()),
            ("initial_lr", float(rate)),
            ("params", [b"](", &parameters[..], b"e"].concat()),
        ]);
        dict(&[("state", vec![b'}']), ("param_groups", [b"](", &group[..], b"e"].concat())])
    };
    let all = dict(&[
        ("epoch", int(saved.epoch)),
        ("model_state_dict", model),
        ("optimizer_network_state_dict", optimizer(1e-4, saved.model.len())),
        ("optimizer_weight_state_dict", optimizer(0.05, 1)),
        ("null_label_weight", float(saved.null_label_weight)),
    ]);
    [b"\x80\x02", &all[..], b"."].concat()
}

/// What the authors call them.
const THEIRS: [&str; 4] =
    ["CN_layers.0.layer_in.weight", "CN_layers.0.layer_in.bias", "layer_out.weight", "layer_out.bias"];

impl Checkpoint {
    /// Reads a checkpoint of the authors' code, which does not say what parts it was learned for: `parts`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file holds no such network, or asks for more than tensors.
    pub fn import(path: &Path, parts: &[String]) -> Result<Checkpoint> {
        let saved = read(path)?;
        let unfit = |message: String| Error::format(path, message);
        let names: Vec<&str> = saved.model.keys().map(String::as_str).collect();
        let c = saved.model.get(THEIRS[1]).map_or(0, |bias| bias.data.len());
        let mut values = vec![];
        for (name, shape) in THEIRS.iter().zip([&[c, c][..], &[c], &[1, c], &[1]]) {
            match saved.model.get(*name) {
                Some(array) if array.shape == shape => values.extend(&array.data),
                Some(array) => {
                    return Err(unfit(format!("`{name}` has shape {:?}, not {shape:?}", array.shape)));
                }
                None => return Err(unfit(format!("holds {names:?}, but no `{name}`"))),
            }
        }
        if names.len() != THEIRS.len() {
            let message = format!("holds {names:?}; only networks of one context norm layer can be used");
            return Err(unfit(message));
        }
        values.push(saved.null_label_weight as f32);
        let network = Network::new(Basis::Constant, c, values).map_err(|e| unfit(e.to_string()))?;
        Ok(Checkpoint { parts: parts.to_vec(), epoch: saved.epoch, val_miou: 0.0, network })
    }

    /// Writes a checkpoint for the authors' code.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the weights begin from agreement, which their code does not know; [`Error::Io`] if the file
    /// cannot be written.
    pub fn export(&self, path: &Path) -> Result<()> {
        if self.network.basis() != Basis::Constant {
            return Err(Error::invalid(
                "these weights begin from agreement, which the authors' code does not know; learn others with `train --basis constant`",
            ));
        }
        let (p, c) = (self.network.parameters(), self.network.channels());
        let arrays = [
            (vec![c, c], p.weight_in),
            (vec![c], p.bias_in),
            (vec![1, c], p.weight_out),
            (vec![1], std::slice::from_ref(p.bias_out)),
        ];
        let array = |(name, (shape, data)): (&&str, (Vec<usize>, &[f32]))| {
            (name.to_string(), Array { shape, data: data.to_vec() })
        };
        let saved = Saved {
            epoch: self.epoch,
            model: THEIRS.iter().zip(arrays).map(array).collect(),
            null_label_weight: self.network.null().into(),
        };
        write(path, &saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `tests/fixtures/checkpoints/make.py`.
    const THEIRS: &[u8] = include_bytes!("../../tests/fixtures/checkpoints/theirs.tar");

    fn with_pickle(code: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(vec![]));
        zip.start_file("a/data.pkl", SimpleFileOptions::default()).unwrap();
        zip.write_all(code).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_checkpoint_of_pytorch_is_read() {
        let saved = parse(THEIRS).unwrap();
        assert_eq!((saved.epoch, saved.null_label_weight), (17, 9.25));
        let shapes: Vec<_> = saved.model.iter().map(|(name, array)| (&name[..], &array.shape[..])).collect();
        let names = [
            "CN_layers.0.layer_in.bias",
            "CN_layers.0.layer_in.weight",
            "layer_out.bias",
            "layer_out.weight",
        ];
        assert_eq!(
            shapes,
            [(names[0], &[150][..]), (names[1], &[150, 150]), (names[2], &[1]), (names[3], &[1, 150])]
        );
        let weight = &saved.model[names[1]].data;
        assert_eq!((weight[0], weight[151], weight[22499]), (0.0, 0.151, 22.499));
    }

    #[test]
    fn what_is_written_is_read() {
        let saved = parse(THEIRS).unwrap();
        let file = archive(&saved).unwrap();
        assert_eq!(parse(&file).unwrap(), saved);
        assert_eq!(file, archive(&saved).unwrap());
    }

    #[test]
    fn nothing_is_called() {
        for (code, name) in [
            (&b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R."[..], "posix.system"),
            (b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval"),
            (b"\x80\x02ctorch\nload\n.", "torch.load"),
            (b"\x80\x02cnumpy\nndarray\n.", "numpy.ndarray"),
        ] {
            let error = parse(&with_pickle(code)).unwrap_err();
            assert!(error.contains(name) && error.contains("refused"), "{error}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        for (file, why) in [
            (b"PK".to_vec(), "zip archive"),
            (ZipWriter::new(Cursor::new(vec![])).finish().unwrap().into_inner(), "without data.pkl"),
            (with_pickle(b"\x80\x02}."), "model_state_dict"),
            (with_pickle(b"\x80\x02K\x01."), "dictionary"),
        ] {
            let error = parse(&file).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_changed_file_never_panics() {
        let saved = Saved {
            epoch: 1,
            model: BTreeMap::from([("w".into(), Array { shape: vec![2, 1], data: vec![1.0, 2.0] })]),
            null_label_weight: 1.0,
        };
        let file = archive(&saved).unwrap();
        for at in 0..file.len() {
            for flip in [1, 0x10, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= flip;
                _ = parse(&changed);
            }
            assert!(parse(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_authors_checkpoints_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ckpt.tar");
        let parts = vec!["leg".to_string()];
        let theirs = Path::new("tests/fixtures/checkpoints/theirs.tar");
        let checkpoint = Checkpoint::import(theirs, &parts).unwrap();
        let network = &checkpoint.network;
        assert_eq!((checkpoint.epoch, network.channels(), network.null()), (17, 150, 9.25));
        let p = network.parameters();
        assert_eq!(
            (p.weight_in[151], p.bias_in[2], p.weight_out[3], *p.bias_out),
            (0.151, 0.002, 0.003, 0.0)
        );
        checkpoint.export(&path).unwrap();
        assert_eq!(Checkpoint::import(&path, &parts).unwrap(), checkpoint);
        let mut saved = read(&path).unwrap();
        saved.model.remove("layer_out.bias");
        write(&path, &saved).unwrap();
        let error = Checkpoint::import(&path, &parts).unwrap_err().to_string();
        assert!(error.contains("ckpt.tar") && error.contains("no `layer_out.bias`"), "{error}");
    }
}
