//! Sample: what training needs to know of one labelled shape; no point, no pixel.

use crate::parts::Parts;
use crate::{
    error::{Error, Result},
    io::tensors::{Tensors, Writer},
    ops::{
        learn::positional::PLACE,
        lift::{
            membership::{LISTS, Sets},
            vote,
        },
    },
};
use crate::{
    stages::{
        boxes::{Box2d, Boxes},
        labels::NONE,
        memberships::Memberships,
        network,
        views::Views,
    },
    study::targets::Targets,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One labelled shape. Its size does not depend on the number of points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The names of the L parts.
    pub parts: Vec<String>,
    /// The boxes with their features.
    pub boxes: Boxes,
    /// Where each box lies and from where it is seen: what the positional code is made of, `[B]`.
    pub places: Vec<[f64; PLACE]>,
    /// Which boxes hold the superpoints' visible points.
    pub sets: Sets,
    /// How many points of every superpoint each view shows, `[S, K]`.
    pub observed: Vec<u32>,
    /// Number of views, K.
    pub views: usize,
    /// The ground truth of every superpoint.
    pub targets: Targets,
    /// What the sample was made from, in words or as a hash; empty if that does not matter.
    pub source: String,
}

#[derive(Serialize, Deserialize)]
struct Note {
    sample: u32,
    parts: Vec<String>,
    source: String,
}

/// Of the file's layout.
const VERSION: u32 = 2;
const WHAT: &str = "a training sample";

impl Sample {
    /// Gathers what training needs.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the boxes have no features, or if boxes, memberships and targets do not fit together.
    pub fn gather(
        parts: &Parts,
        views: &Views,
        boxes: &Boxes,
        memberships: &Memberships,
        targets: &Targets,
    ) -> Result<Sample> {
        boxes.check(views.len(), parts.len())?;
        let sample = Sample {
            parts: parts.to_vec(),
            boxes: boxes.clone(),
            places: network::places(boxes, views)?,
            sets: memberships.sets()?.clone(),
            observed: memberships.observed()?.counts.clone(),
            views: memberships.views,
            targets: targets.clone(),
            source: String::new(),
        };
        sample.problem().map_or(Ok(sample), |what| Err(Error::invalid(format!("sample: {what}"))))
    }

    fn problem(&self) -> Option<String> {
        let (b, s, columns) = (self.boxes.len(), self.len(), self.parts.len() + 1);
        if columns < 2 {
            return Some("no parts; at least one is needed".into());
        }
        if self.boxes.feature_dim == 0 && b > 0 {
            return Some("the boxes have no features, which the weight network reads; predictions of your own need a features.npy [boxes, channels] \
                 beside each pred.json".into());
        }
        if let Err(e) = self.boxes.check(self.views, self.parts.len()) {
            return Some(e.to_string());
        }
        let targets = &self.targets;
        if targets.counts.len() != s * columns || targets.labels.len() != s {
            return Some(format!("targets of {} superpoints for {s}", targets.labels.len()));
        }
        if s.checked_mul(self.views) != Some(self.observed.len()) {
            let (found, views) = (self.observed.len(), self.views);
            return Some(format!("{found} counts of visible points for {s} superpoints in {views} views"));
        }
        if let Some(empty) = targets.sizes.iter().position(|&size| size == 0) {
            return Some(format!("superpoint {empty} has no points"));
        }
        if self.places.len() != b || !self.places.as_flattened().iter().all(|v| v.is_finite()) {
            return Some(format!("{} places for {b} boxes; one, of finite numbers, each", self.places.len()));
        }
        (!self.sets.fit(s, b)).then(|| format!("no memberships of {s} superpoints in {b} boxes"))
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.targets.sizes.len()
    }

    /// Whether there is no superpoint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of parts, L.
    pub fn labels(&self) -> usize {
        self.parts.len()
    }

    /// Whether a box holds one of the superpoint's visible points; the others get no label, `[S]`.
    pub fn valid(&self) -> Vec<bool> {
        (0..self.len()).map(|s| self.sets.valid(s)).collect()
    }

    /// Visible points of every superpoint over all views, n_s, `[S]`.
    pub fn visible(&self) -> Vec<u32> {
        let sum = |row: &[u32]| row.iter().fold(0, |sum: u32, &count| sum.saturating_add(count));
        self.observed.chunks(self.views.max(1)).map(sum).collect()
    }

    /// The vote's input. `box_label`: [`Boxes::labels`]; `visible`: [`Sample::visible`].
    pub fn votes<'a>(&'a self, box_label: &'a [u32], visible: &'a [u32]) -> vote::Input<'a> {
        vote::Input { sets: &self.sets, visible, box_label, labels: self.labels() }
    }

    /// IoU of every part over the shape's points if each superpoint had this label, `[L]`; None where the truth does not
    /// have the part. As [`semantic_iou`](super::metrics::semantic_iou) of the points.
    ///
    /// `of_superpoint`: below L, or [`NONE`], `[S]`.
    pub fn iou(&self, of_superpoint: &[i32]) -> Vec<Option<f64>> {
        let columns = self.labels() + 1;
        let mut sums = vec![[0u64; 3]; self.labels()];
        for (s, &label) in of_superpoint.iter().enumerate() {
            let counts = &self.targets.counts[s * columns..][..columns];
            for (sum, &truth) in sums.iter_mut().zip(&counts[1..]) {
                sum[1] += truth as u64;
            }
            if label != NONE {
                let sum = &mut sums[label as usize];
                sum[0] += counts[1 + label as usize] as u64;
                sum[2] += self.targets.sizes[s] as u64;
            }
        }
        let iou = |&[both, truth, predicted]: &[u64; 3]| {
            (truth > 0).then(|| both as f64 / (truth + predicted - both) as f64)
        };
        sums.iter().map(iou).collect()
    }

    /// Writes everything to a `.safetensors` file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (b, s) = (self.boxes.len(), self.len());
        let list = self.boxes.list()?;
        let mut file = Writer::default();
        file.add("box_view", &[b], &list.iter().map(|b| b.view).collect::<Vec<_>>());
        file.add("box_label", &[b], &self.boxes.labels()?);
        file.add("box", &[b, 4], list.iter().map(|b| b.bbox).collect::<Vec<_>>().as_flattened());
        file.add("box_score", &[b], &list.iter().map(|b| b.score).collect::<Vec<_>>());
        file.add("box_feature", &[b, self.boxes.feature_dim], self.boxes.features.host()?);
        file.add("box_place", &[b, PLACE], self.places.as_flattened());
        for (name, values) in LISTS.iter().zip(self.sets.lists()) {
            file.add(name, &[values.len()], &values);
        }
        file.add("observed", &[s, self.views], &self.observed);
        file.add("counts", &[s, self.labels() + 1], &self.targets.counts);
        file.write(path, &Note { sample: VERSION, parts: self.parts.clone(), source: self.source.clone() })
    }

    /// What an existing file was made from, without reading the rest; None if it is missing or of another version.
    pub fn source(path: &Path) -> Option<String> {
        let note = Tensors::read(path).ok()?.note::<Note>(WHAT).ok()?;
        (note.sample == VERSION).then_some(note.source)
    }

    /// Reads what [`Sample::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is no sample or its arrays do not fit together.
    pub fn read(path: &Path) -> Result<Sample> {
        Sample::parse(Tensors::read(path)?)
    }

    /// What [`Sample::read`] does, from memory.
    ///
    /// # Errors
    /// As [`Sample::read`].
    pub fn parse(file: Tensors) -> Result<Sample> {
        let note: Note = file.note(WHAT)?;
        if note.sample != VERSION {
            let message = format!("a sample of version {}, not {VERSION}; prepare it again", note.sample);
            return Err(file.unfit(message));
        }
        let list = |name: &str| file.get::<u32>(name).map(|array| array.data);
        let label = list("box_label")?;
        let (b, columns) = (label.len(), note.parts.len() + 1);
        let observed = file.get::<u32>("observed")?;
        let &[s, views] = &observed.shape[..] else {
            return Err(file.unfit(format!("`observed` has shape {:?}, not [S, K]", observed.shape)));
        };
        let features = file.get::<f32>("box_feature")?;
        let &[rows, feature_dim] = &features.shape[..] else {
            return Err(file.unfit(format!("`box_feature` has shape {:?}, not [B, F]", features.shape)));
        };
        if rows != b {
            return Err(file.unfit(format!("{rows} rows of features for {b} boxes")));
        }
        let view = file.shaped::<u32>("box_view", &[b])?;
        let bbox = file.shaped::<f32>("box", &[b, 4])?;
        let score = file.shaped::<f32>("box_score", &[b])?;
        let places = file.shaped::<f64>("box_place", &[b, PLACE])?;
        let counts = file.shaped::<u32>("counts", &[s, columns])?;
        let [set_offsets, set_boxes, entry_offsets, entry_set, entry_count] = LISTS.map(list);
        let sets = [set_offsets?, set_boxes?, entry_offsets?, entry_set?, entry_count?];
        let sets = Sets::from_lists(sets).map_err(|e| file.unfit(e.to_string()))?;
        let box2d =
            |i: usize| Box2d { view: view[i], label: label[i], bbox: bbox.as_chunks().0[i], score: score[i] };
        let sample = Sample {
            parts: note.parts,
            boxes: Boxes::with_features((0..b).map(box2d).collect(), features.data, feature_dim),
            places: places.as_chunks().0.to_vec(),
            sets,
            observed: observed.data,
            views,
            targets: Targets::from_counts(counts, columns),
            source: note.source,
        };
        match sample.problem() {
            Some(what) => Err(file.unfit(what)),
            None => Ok(sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::lift::membership::Entry,
        ragged::Ragged,
        stages::{boxes::Box2d, superpoints::Superpoints},
        study::metrics,
    };
    use safetensors::SafeTensors;

    fn sample() -> Sample {
        let superpoints = Superpoints::from_labels(&[0, 0, 0, 1, 1, 2]).unwrap();
        let box2d = |label| Box2d { view: 0, label, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 };
        Sample {
            parts: vec!["leg".into(), "seat".into()],
            boxes: Boxes::with_features(vec![box2d(0), box2d(1)], vec![0.25; 6], 3),
            places: vec![[0.5; PLACE]; 2],
            sets: Sets {
                boxes: Ragged::from_iter([vec![0], vec![0, 1]]),
                entries: [Some(Entry { set: 0, count: 3 }), Some(Entry { set: 1, count: 1 }), None]
                    .into_iter()
                    .collect(),
            },
            observed: vec![3, 0, 1, 1, 0, 0],
            views: 2,
            targets: Targets::count(&superpoints, &[0, 0, -1, 0, -1, -1], 2).unwrap(),
            source: "Chair/7 5e1f".into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.safetensors");
        sample().write(&path).unwrap();
        assert_eq!(Sample::read(&path).unwrap(), sample());
        assert_eq!(Sample::source(&path).as_deref(), Some("Chair/7 5e1f"));
        assert_eq!(Sample::source(&dir.path().join("8.safetensors")), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.safetensors");
        let refused = |spoil: fn(&mut Sample), why: &str| {
            let mut sample = sample();
            spoil(&mut sample);
            sample.write(&path).unwrap();
            let error = Sample::read(&path).unwrap_err().to_string();
            assert!(error.contains("7.safetensors") && error.contains(why), "{error}");
        };
        refused(|s| s.sets.boxes.values_mut()[2] = 2, "memberships");
        refused(|s| s.sets.entries.values_mut()[1].set = 2, "memberships");
        refused(|s| s.sets.entries.push([]), "memberships");
        refused(|s| s.targets.counts[6..].fill(0), "superpoint 2");
        refused(|s| s.boxes.list_mut().unwrap()[1].label = 2, "label 2");
        refused(|s| s.boxes.list_mut().unwrap()[1].view = 2, "view 2");
        refused(|s| s.boxes.features.host_mut().unwrap()[4] = f32::NAN, "feature 1 of box 1");
        refused(|s| s.places[1][6] = f64::INFINITY, "places");
        refused(|s| (s.boxes.features, s.boxes.feature_dim) = (vec![].into(), 0), "no features");
    }

    #[test]
    fn samples_of_another_version_are_to_be_prepared_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.safetensors");
        let note = Note { sample: VERSION - 1, parts: vec!["leg".into()], source: String::new() };
        Writer::default().write(&path, &note).unwrap();
        let error = Sample::read(&path).unwrap_err().to_string();
        assert!(error.contains("7.safetensors") && error.contains("prepare it again"), "{error}");
        assert_eq!(Sample::source(&path), None);
    }

    #[test]
    fn lists_that_do_not_fit_together_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.safetensors");
        sample().write(&path).unwrap();
        let written = std::fs::read(&path).unwrap();
        let (length, header) = SafeTensors::read_metadata(&written).unwrap();
        for (name, at, value) in [("entry_offsets", 1, 5u32), ("set_offsets", 0, 1), ("set_offsets", 2, 4)] {
            let mut bytes = written.clone();
            let first = 8 + length + header.info(name).unwrap().data_offsets.0 + 4 * at;
            bytes[first..first + 4].copy_from_slice(&value.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
            let error = Sample::read(&path).unwrap_err().to_string();
            assert!(error.contains("7.safetensors") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn iou_is_that_of_the_points() {
        let sample = sample();
        let truth = [0, 0, -1, 0, -1, -1];
        for labels in [[0, 0, 0], [0, 1, -1], [-1, -1, -1], [1, 0, -1]] {
            let points: Vec<i32> = [0, 0, 0, 1, 1, 2].map(|s: usize| labels[s]).to_vec();
            assert_eq!(sample.iou(&labels), metrics::semantic_iou(&points, &truth, 2).unwrap());
        }
        assert_eq!(sample.valid(), [true, true, false]);
        assert_eq!(sample.visible(), [3, 2, 0]);
    }
}
