//! `parts.json`: what was found, for programs.

use super::{palette, report::Report};
use crate::{pipeline::Segmentation, stages::instances::Instance};
use serde_json::{Value, json};

/// What has a label and an instance, and lies somewhere: rows of a file, or faces.
pub(super) struct Things<'a> {
    pub labels: &'a [i32],
    pub instances: &'a [i32],
    /// The corners of each; none of what lies far off.
    pub places: &'a dyn Fn(usize) -> Vec<[f64; 3]>,
}

/// How many things there are of each label, of each instance, and without a label.
struct Counts {
    labels: Vec<usize>,
    instances: Vec<usize>,
    none: usize,
}

impl Things<'_> {
    fn counts(&self, labels: usize, instances: usize) -> Counts {
        Counts {
            labels: counts(self.labels, labels),
            instances: counts(self.instances, instances),
            none: self.labels.iter().filter(|&&label| label < 0).count(),
        }
    }

    /// The least and the most along each axis, of every instance.
    fn extents(&self, count: usize) -> Vec<Option<[[f64; 3]; 2]>> {
        let mut extents = vec![None; count];
        for (i, &instance) in self.instances.iter().enumerate() {
            let Some(extent) = usize::try_from(instance).ok().and_then(|of| extents.get_mut(of)) else {
                continue;
            };
            for place in (self.places)(i).into_iter().filter(|place| place.iter().all(|x| x.is_finite())) {
                let [low, high] = extent.get_or_insert([place; 2]);
                *low = [0, 1, 2].map(|axis| low[axis].min(place[axis]));
                *high = [0, 1, 2].map(|axis| high[axis].max(place[axis]));
            }
        }
        extents
    }
}

/// How often each index below `count` occurs.
fn counts(indices: &[i32], count: usize) -> Vec<usize> {
    let mut counts = vec![0; count];
    for &index in indices {
        if let Some(times) = usize::try_from(index).ok().and_then(|i| counts.get_mut(i)) {
            *times += 1;
        }
    }
    counts
}

/// The names of the instances: their part's and a number from 1, as "leg 2".
pub fn names(found: &Segmentation) -> Vec<String> {
    let mut seen = vec![0; found.parts.len()];
    let name = |instance: &Instance| {
        let part = instance.label as usize;
        seen[part] += 1;
        format!("{} {}", found.parts[part], seen[part])
    };
    found.instances.list.iter().map(name).collect()
}

/// Names, colours and counts of parts and instances, and the boxes of instances along the file's axes: those of their
/// faces if there are any.
pub(super) fn parts(report: &Report, rows: &Things, faces: Option<&Things>) -> Value {
    let found = report.found;
    let count = found.instances.list.len();
    let mut extents = rows.extents(count);
    if let Some(faces) = faces {
        extents.iter_mut().zip(faces.extents(count)).for_each(|(extent, its)| *extent = its.or(*extent));
    }
    let points = rows.counts(found.parts.len(), count);
    let faces = faces.map(|faces| faces.counts(found.parts.len(), count));
    let counted = |value: &mut Value, of: &dyn Fn(&Counts) -> usize| {
        value["points"] = json!(of(&points));
        if let Some(faces) = &faces {
            value["faces"] = json!(of(faces));
        }
    };
    let names = names(found);
    let instance = |i: usize| {
        let extent = extents[i].map(|[min, max]| json!({ "min": min, "max": max }));
        let mut value = json!({
            "name": names[i], "index": i, "color": palette::color(i as i32),
            "confidence": found.instances.list[i].confidence, "box": extent,
        });
        counted(&mut value, &|counts: &Counts| counts.instances[i]);
        value
    };
    let part = |(j, part): (usize, &String)| {
        let own = (0..count).filter(|&i| found.instances.list[i].label as usize == j);
        let mut value = json!({
            "name": part, "color": palette::color(j as i32), "instances": own.map(instance).collect::<Vec<_>>(),
        });
        counted(&mut value, &|counts: &Counts| counts.labels[j]);
        value
    };
    let parts: Vec<Value> = found.parts.iter().enumerate().map(part).collect();
    let mut none = json!({ "color": palette::NONE });
    counted(&mut none, &|counts: &Counts| counts.none);
    json!({ "input": report.title, "parts": parts, "none": none })
}
