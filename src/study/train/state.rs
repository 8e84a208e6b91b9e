//! The file of an interrupted training.

use crate::study::train::{Epoch, Options, State, Trainer};
use crate::{
    error::Result,
    io::tensors::{Tensors, Writer},
    ops::learn::mlp,
    stages::network::Network,
    study::sample::Sample,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Of everything that the samples hold and training reads.
pub(super) fn fingerprint(train: &[Sample], val: &[Sample]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |values: &mut dyn Iterator<Item = u64>| {
        values.for_each(|value| hash.update(value.to_le_bytes()));
        hash.update(b";");
    };
    for samples in [train, val] {
        add(&mut [samples.len() as u64].into_iter());
        for s in samples {
            add(&mut s.boxes.features.host()?.iter().map(|f| f.to_bits() as u64));
            add(&mut s.places.as_flattened().iter().map(|p| p.to_bits()));
            let (views, labels) = (s.boxes.views()?, s.boxes.labels()?);
            add(&mut s.boxes.list()?.iter().map(|b| b.score.to_bits() as u64));
            for list in s.sets.lists().iter().chain([&s.observed, &s.targets.counts, &views, &labels]) {
                add(&mut list.iter().map(|&v| v as u64));
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the file of an interrupted training says about itself.
#[derive(Serialize, Deserialize)]
struct Note {
    training: u32,
    options: Options,
    samples: String,
    channels: usize,
    steps: u64,
}

/// Of the file's layout.
const VERSION: u32 = 3;
const WHAT: &str = "the state of a training";

impl Trainer<f32> {
    /// Writes all that is needed to go on later as if nothing had happened.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be written; [`Error::Device`](crate::Error::Device).
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = Writer::default();
        let State { values, moments: [first, second], best } = self.engine.state()?;
        let n = values.len();
        file.add("values", &[n], &values);
        file.add("first_moments", &[n], &first);
        file.add("second_moments", &[n], &second);
        file.add("best_values", &[n], &best);
        let row = |e: &Epoch| [e.loss, e.val_loss, e.val_miou, e.null];
        let history: Vec<[f64; 4]> = self.history.iter().map(row).collect();
        file.add("history", &[history.len(), 4], history.as_flattened());
        file.add("sum", &[self.sum.len()], &self.sum);
        let note = Note {
            training: VERSION,
            options: self.options.clone(),
            samples: self.fingerprint.clone(),
            channels: self.channels,
            steps: self.steps,
        };
        file.write(path, &note)
    }

    /// Goes on, on the CPU, where [`Trainer::save`] left off. Only the number of epochs may have changed, and that only if the
    /// last ones are not averaged.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::Format`](crate::Error::Format) if the file is no such state, or of other
    /// samples or options.
    pub fn resume(mut self, path: &Path) -> Result<Trainer<f32>> {
        let file = Tensors::read(path)?;
        let note: Note = file.note(WHAT)?;
        let mut options = note.options;
        let written = options.epochs;
        if options.average == 0 {
            options.epochs = self.options.epochs;
        }
        let channels = self.channels;
        for (what, same) in [
            ("another version of the file", note.training == VERSION),
            ("other samples", note.samples == self.fingerprint && note.channels == channels),
            ("other options", options == self.options),
        ] {
            if !same {
                return Err(file.unfit(format!("{WHAT} with {what}; train anew, or with what it was begun")));
            }
        }
        let n = mlp::parameters(channels) + 1;
        let list = |name: &str| file.shaped::<f32>(name, &[n]);
        let network = |name: &str| {
            let network = Network::new(self.options.basis, channels, list(name)?)
                .map_err(|e| file.unfit(e.to_string()))?;
            Ok(network.values().to_vec())
        };
        let (values, best) = (network("values")?, network("best_values")?);
        let moments = [list("first_moments")?, list("second_moments")?];
        let shape = file.shape("history")?;
        let epochs = match shape {
            &[epochs, 4] if epochs <= options.epochs.max(written) => epochs,
            _ => {
                return Err(
                    file.unfit(format!("{WHAT} of {written} epochs with a history of shape {shape:?}"))
                );
            }
        };
        let history = file.get::<f64>("history")?;
        let averaged = options.average > 0 && epochs > options.epochs.saturating_sub(options.average);
        self.sum = file.shaped("sum", &[if averaged { n } else { 0 }])?;
        let least = epochs.saturating_mul(self.train.len().div_ceil(self.options.batch)) as u64;
        if !(least..=1 << 53).contains(&note.steps) {
            return Err(file.unfit(format!("{WHAT} of {epochs} epochs in {} steps", note.steps)));
        }
        let numbers = history.data.iter().chain(&self.sum).copied();
        if !numbers.chain(moments.iter().flatten().map(|&m| m.into())).all(f64::is_finite) {
            return Err(file.unfit(format!("{WHAT} with a number that is not finite")));
        }
        let epoch = |(i, &[loss, val_loss, val_miou, null]): (usize, &[f64; 4])| Epoch {
            epoch: i + 1,
            loss,
            val_loss,
            val_miou,
            null,
        };
        self.history = history.data.as_chunks().0.iter().enumerate().map(epoch).collect();
        self.engine = self.resumed(State { values, moments, best })?;
        self.steps = note.steps;
        Ok(self)
    }
}
