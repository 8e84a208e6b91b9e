//! Checkpoints: learned weights of one category, in a `.safetensors` file.

use crate::{
    error::{Error, Result},
    io::tensors::{Tensors, Writer},
    stages::network::{Basis, Network},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Learned weights, and what they were learned for.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The names of the L parts, in their order.
    pub parts: Vec<String>,
    /// Which epoch of the training it is, from 1.
    pub epoch: usize,
    /// Mean mIoU of the validation shapes in that epoch; 0 where that is not known.
    pub val_miou: f64,
    /// The network.
    pub network: Network,
}

#[derive(Serialize, Deserialize)]
struct Note {
    weights: u32,
    /// In version 1 there is none: constant.
    basis: Option<Basis>,
    parts: Vec<String>,
    epoch: usize,
    val_miou: f64,
}

/// Of the file's layout.
const VERSION: u32 = 2;
const WHAT: &str = "learned weights";
const NAMES: [&str; 4] = ["weight_in", "bias_in", "weight_out", "bias_out"];

impl Checkpoint {
    /// Writes it: `weight_in` `[C, C]`, `bias_in` `[C]`, `weight_out` `[C]`, `bias_out` `[1]`, `null_weight` `[1]`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (p, c) = (self.network.parameters(), self.network.channels());
        let mut file = Writer::default();
        file.add(NAMES[0], &[c, c], p.weight_in);
        file.add(NAMES[1], &[c], p.bias_in);
        file.add(NAMES[2], &[c], p.weight_out);
        file.add(NAMES[3], &[1], &[*p.bias_out]);
        file.add("null_weight", &[1], &[self.network.null()]);
        let Checkpoint { parts, epoch, val_miou, .. } = self;
        let note = Note {
            weights: VERSION,
            basis: Some(self.network.basis()),
            parts: parts.clone(),
            epoch: *epoch,
            val_miou: *val_miou,
        };
        file.write(path, &note)
    }

    /// Reads what [`Checkpoint::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file holds no such weights, or one is not finite.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let file = Tensors::read(path)?;
        let Note { weights, basis, parts, epoch, val_miou } = file.note(WHAT)?;
        let basis = match (weights, basis) {
            (1, None) => Basis::Constant,
            (VERSION, Some(basis)) => basis,
            _ => {
                let message =
                    format!("{WHAT} of version {weights} with the basis {basis:?}; train them again");
                return Err(file.unfit(message));
            }
        };
        let c = file.get::<f32>("bias_in")?.data.len();
        let mut values = vec![];
        for (name, shape) in NAMES.iter().zip([&[c, c][..], &[c], &[c], &[1]]) {
            values.extend(file.shaped::<f32>(name, shape)?);
        }
        values.extend(file.shaped::<f32>("null_weight", &[1])?);
        let network = Network::new(basis, c, values).map_err(|e| file.unfit(e.to_string()))?;
        Ok(Checkpoint { parts, epoch, val_miou, network })
    }

    /// Checks that it was learned for these parts.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming both.
    pub fn check(&self, parts: &[String]) -> Result<()> {
        if self.parts == parts {
            return Ok(());
        }
        let (found, wanted) = (self.parts.join(","), parts.join(","));
        Err(Error::invalid(format!("the weights were learned for the parts {found}, not {wanted}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Chair.safetensors");
        let parts = vec!["leg".to_string(), "seat".to_string()];
        let network = Network::initial(Basis::Agreement, 150, 1.0, 3);
        let checkpoint = Checkpoint { parts, epoch: 7, val_miou: 0.625, network };
        checkpoint.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint);
        checkpoint.check(&["leg".into(), "seat".into()]).unwrap();
        let error = checkpoint.check(&["seat".into(), "leg".into()]).unwrap_err().to_string();
        assert!(error.contains("leg,seat, not seat,leg"), "{error}");
    }

    #[test]
    fn older_files_begin_from_constant_weights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Chair.safetensors");
        let network = Network::initial(Basis::Constant, 150, 1.0, 3);
        let read = |weights, basis| {
            let (p, mut file) = (network.parameters(), Writer::default());
            for (name, values) in NAMES.iter().zip([p.weight_in, p.bias_in, p.weight_out, &[*p.bias_out]]) {
                let shape = if *name == NAMES[0] { vec![150, 150] } else { vec![values.len()] };
                file.add(name, &shape, values);
            }
            file.add("null_weight", &[1], &[network.null()]);
            file.write(&path, &Note { weights, basis, parts: vec![], epoch: 7, val_miou: 0.5 }).unwrap();
            Checkpoint::read(&path)
        };
        assert_eq!(read(1, None).unwrap().network, network);
        assert_eq!(read(2, Some(Basis::Agreement)).unwrap().network.basis(), Basis::Agreement);
        for (weights, basis) in [(1, Some(Basis::Agreement)), (2, None), (3, Some(Basis::Constant))] {
            let error = read(weights, basis).unwrap_err().to_string();
            assert!(error.contains("Chair.safetensors") && error.contains("train them again"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Chair.safetensors");
        let refused = |why: &str| {
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(error.contains("Chair.safetensors") && error.contains(why), "{error}");
        };
        std::fs::write(&path, "weights").unwrap();
        refused("safetensors");
        Writer::default().write(&path, &"note").unwrap();
        refused("learned weights");
        let mut network = Network::initial(Basis::Constant, 150, 1.0, 3);
        network.values_mut()[5] = f32::NAN;
        Checkpoint { parts: vec![], epoch: 1, val_miou: 0.0, network }.write(&path).unwrap();
        refused("parameter 5");
    }
}
