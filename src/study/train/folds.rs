//! Cross-validation: whether learned weights win over unlearned ones on shapes that they were not learned from, and after how
//! many epochs.

use super::{Options, Trainer, unlearned_miou};
use crate::{
    device::Device,
    error::{Error, Result},
    study::sample::Sample,
};
use serde::Serialize;

/// What cross-validation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folds {
    /// Shapes that have parts to be found, each judged once.
    pub shapes: usize,
    /// Their mean mIoU without learning, as of [`unlearned_miou`].
    pub unlearned: f64,
    /// What learning adds to it after each epoch, averaged over the last [`WINDOW`] epochs.
    #[serde(skip)]
    pub gains: Vec<Gain>,
    /// The largest gain; None if fewer than two shapes could be judged.
    pub largest: Option<Gain>,
}

/// A difference of mIoU, shape by shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// From 1.
    pub epoch: usize,
    /// Its mean over shapes.
    pub mean: f64,
    /// The mean's standard error.
    pub error: f64,
}

/// Epochs that a gain is averaged over: one epoch of a few shapes tells little. As many networks should be averaged then,
/// by [`Options::average`].
pub const WINDOW: usize = 20;

/// Parts the samples into folds, learns from all but one in turn, and judges each epoch on that one.
///
/// `samples`: of one category, or of several one after the other; neighbours fall into different folds. `seen` is told of each
/// epoch of each fold.
///
/// # Errors
/// [`Error::Invalid`] with fewer than two folds or without epochs; those of [`Trainer::new`] and [`Trainer::epoch`].
pub fn cross_validate(
    samples: &[Sample],
    folds: usize,
    options: &Options,
    device: &Device,
    mut seen: impl FnMut(),
) -> Result<Folds> {
    if folds < 2 {
        return Err(Error::invalid(format!("train: --folds is {folds}; cross-validation needs two or more")));
    }
    if options.epochs == 0 {
        return Err(Error::invalid("train: no epoch to judge; ask for at least one"));
    }
    let mut of_shapes: Vec<(f64, Vec<f64>)> = vec![];
    // One shape alone leaves nothing to learn from.
    let folds = if samples.len() < 2 { 0 } else { folds.min(samples.len()) };
    for fold in 0..folds {
        let part = |own: bool| {
            let some = samples.iter().enumerate().filter(move |(i, _)| (i % folds == fold) == own);
            some.map(|(_, sample)| sample.clone()).collect::<Vec<_>>()
        };
        let (learned, judged) = (part(false), part(true));
        let unlearned = judged.iter().map(unlearned_miou).collect::<Result<Vec<_>>>()?;
        let mut trainer = Trainer::<f32>::new(learned, judged, options)?.on(device)?;
        let mut gains = vec![vec![]; unlearned.len()];
        while !trainer.done() {
            trainer.epoch()?;
            for ((gains, learned), unlearned) in gains.iter_mut().zip(trainer.val_mious()).zip(&unlearned) {
                gains.extend(learned.zip(*unlearned).map(|(learned, unlearned)| learned - unlearned));
            }
            seen();
        }
        let known = unlearned.into_iter().zip(gains);
        of_shapes.extend(known.filter_map(|(unlearned, gains)| Some((unlearned?, gains))));
    }
    Ok(Folds::of(&of_shapes, options.epochs))
}

impl Folds {
    /// `of_shapes`: the mIoU without learning, and what learning adds after each epoch.
    fn of(of_shapes: &[(f64, Vec<f64>)], epochs: usize) -> Folds {
        let shapes = of_shapes.len();
        let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
        let gain = |epoch: usize| {
            let window = epoch - WINDOW.min(epochs)..epoch;
            let recent =
                |(_, gains): &(f64, Vec<f64>)| mean(&mut gains[window.clone()].iter().copied(), window.len());
            let gains: Vec<f64> = of_shapes.iter().map(recent).collect();
            let average = mean(&mut gains.iter().copied(), shapes);
            let variance = mean(&mut gains.iter().map(|gain| (gain - average).powi(2)), shapes - 1);
            Gain { epoch, mean: average, error: (variance / shapes as f64).sqrt() }
        };
        let gains: Vec<Gain> = match shapes {
            0 | 1 => vec![],
            _ => (WINDOW.min(epochs).max(1)..=epochs).map(gain).collect(),
        };
        let largest = gains.iter().copied().rev().max_by(|a, b| a.mean.total_cmp(&b.mean));
        let unlearned = mean(&mut of_shapes.iter().map(|(unlearned, _)| *unlearned), shapes.max(1));
        Folds { shapes, unlearned, gains, largest }
    }

    /// The gain for which learning is worth it: the largest, if that is larger than twice its standard error. Once would be too
    /// little for the best of some hundred windows.
    pub fn wins(&self) -> Option<Gain> {
        self.largest.filter(|gain| gain.mean > 2.0 * gain.error)
    }

    /// The gains as CSV, with a header.
    pub fn table(&self) -> String {
        let mut text = String::from("epoch,gain,standard_error\n");
        for Gain { epoch, mean, error } in &self.gains {
            text += &format!("{epoch},{mean:.6},{error:.6}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes whose gains by epoch are a line each.
    fn folds(lines: &[fn(usize) -> f64], epochs: usize) -> Folds {
        let shape = |line: &fn(usize) -> f64| (0.5, (1..=epochs).map(line).collect());
        Folds::of(&lines.iter().map(shape).collect::<Vec<_>>(), epochs)
    }

    #[test]
    fn learning_has_to_win_by_two_standard_errors() {
        // The best window ends where the sum of both is largest.
        let found = folds(&[hill, |epoch| hill(epoch) + 0.02], 100);
        let best = found.wins().unwrap();
        assert_eq!((best.epoch, found.shapes, found.unlearned), (60, 2, 0.5));
        approx::assert_relative_eq!(best.error, 0.01, epsilon = 1e-12);
        assert!(found.table().starts_with("epoch,gain,standard_error\n20,"), "{}", found.table());

        assert_eq!(folds(&[|_| 0.1, |_| -0.08], 100).wins(), None, "one wins, one loses");
        assert_eq!(folds(&[|_| 0.1, |_| 0.02], 100).wins(), None, "0.06 with an error of 0.04");
        assert!(folds(&[|_| 0.1, |_| 0.05], 100).wins().is_some(), "0.075 with an error of 0.025");
        assert_eq!(folds(&[|_| -0.1, |_| -0.1], 100).wins(), None);
        assert_eq!(folds(&[|_| 0.1], 100).wins(), None, "one shape says nothing");
        assert_eq!(folds(&[|_| 0.1, |_| 0.1], 3).wins().unwrap().epoch, 3, "fewer epochs than the window");
        assert_eq!(folds(&[], 10).shapes, 0);
    }

    fn hill(epoch: usize) -> f64 {
        0.1 - (epoch as f64 - 50.5).abs() / 1000.0
    }
}
