//! Metrics: how well labels and instances agree with the ground truth (paper section 5.1).
//!
//! Semantic: IoU per part and object, only where the truth has the part; per part the mean over objects, per category
//! the mean over parts, overall the mean over categories. Instances: AP at IoU 0.5 per part (part-aware) or over all
//! parts together (part-agnostic), over the objects of a category; then the same means. Parts that no object of a
//! category has are left out of all of it.

use super::{dataset::Truth, targets};
use crate::{
    error::{Error, Result},
    stages::{
        instances::{Instances, UNLABELLED},
        labels::Labels,
        superpoints::Superpoints,
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

/// IoU at which an instance counts as found.
pub const MATCH_IOU: f64 = 0.5;

/// IoU of every part, `[L]`; None where the truth does not have it.
///
/// `predicted`, `truth`: label of every point, below L, or -1, `[N]`; `labels`: L.
///
/// # Errors
/// [`Error::Invalid`] if the lengths differ or a label is outside.
pub fn semantic_iou(predicted: &[i32], truth: &[i32], labels: usize) -> Result<Vec<Option<f64>>> {
    targets::check_labels("metrics: the truth", truth, truth.len(), labels)?;
    targets::check_labels("metrics: the prediction", predicted, truth.len(), labels)?;
    let (mut both, mut either, mut present) = (vec![0u64; labels], vec![0u64; labels], vec![false; labels]);
    for (&p, &t) in predicted.iter().zip(truth) {
        if p >= 0 {
            either[p as usize] += 1;
        }
        if t >= 0 {
            present[t as usize] = true;
            match p == t {
                true => both[t as usize] += 1,
                false => either[t as usize] += 1,
            }
        }
    }
    Ok((0..labels).map(|j| present[j].then(|| both[j] as f64 / either[j] as f64)).collect())
}

/// The best IoU that any labels of these superpoints can hope for: each takes its most frequent true label.
///
/// # Errors
/// As [`semantic_iou`].
pub fn ceiling(superpoints: &Superpoints, truth: &[i32], labels: usize) -> Result<Vec<Option<f64>>> {
    let best = targets::Targets::count(superpoints, truth, labels)?.labels;
    let of_point: Vec<i32> = superpoints.of_point.iter().map(|&s| best[s as usize]).collect();
    semantic_iou(&of_point, truth, labels)
}

/// The mean of what is there; None of nothing.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.into_iter().flatten().fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// A predicted instance and how it overlaps the true ones of its object.
#[derive(Debug, Clone)]
struct Detection {
    object: usize,
    label: u32,
    confidence: f32,
    /// True instances with IoU of at least [`MATCH_IOU`], best first: number within the object, label.
    overlaps: Vec<(usize, u32)>,
}

/// The figures of one category, while its objects come in.
#[derive(Debug, Clone)]
pub struct Category {
    labels: usize,
    objects: usize,
    iou: Vec<Vec<Option<f64>>>,
    detections: Vec<Detection>,
    /// True instances per part.
    instances: Vec<usize>,
}

/// The figures of one category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Number of objects.
    pub objects: usize,
    /// IoU per part, the mean over objects that have it, `[L]`.
    pub iou: Vec<Option<f64>>,
    /// Their mean.
    pub miou: Option<f64>,
    /// AP50 per part, `[L]`; None where no object has it.
    pub ap50: Vec<Option<f64>>,
    /// Their mean (part-aware mAP50).
    pub map50: Option<f64>,
    /// AP50 over all parts together (part-agnostic mAP50).
    pub map50_agnostic: Option<f64>,
}

impl Category {
    /// A category of L parts, without objects.
    pub fn new(labels: usize) -> Category {
        Category { labels, objects: 0, iou: vec![], detections: vec![], instances: vec![0; labels] }
    }

    /// Adds an object. Instances without a label count where parts do not matter.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths differ or a label is outside.
    pub fn add(&mut self, labels: &Labels, instances: &Instances, truth: &Truth) -> Result<()> {
        let n = truth.semantic.len();
        if truth.instance.len() != n || instances.of_point.len() != n {
            return Err(Error::invalid(format!(
                "metrics: {n} true labels, {} true and {} predicted instance numbers; one per point each",
                truth.instance.len(),
                instances.of_point.len()
            )));
        }
        self.iou.push(semantic_iou(&labels.of_point, &truth.semantic, self.labels)?);

        // A true instance is its points of one label.
        let mut number = BTreeMap::new();
        let mut sizes: Vec<(u32, u64)> = vec![];
        let mut both: BTreeMap<(i32, usize), u64> = BTreeMap::new();
        for ((&label, &instance), &predicted) in
            truth.semantic.iter().zip(&truth.instance).zip(&instances.of_point)
        {
            if label < 0 || instance < 0 {
                continue;
            }
            let next = sizes.len();
            let t = *number.entry((label, instance)).or_insert(next);
            if t == next {
                sizes.push((label as u32, 0));
                self.instances[label as usize] += 1;
            }
            sizes[t].1 += 1;
            if predicted >= 0 {
                *both.entry((predicted, t)).or_default() += 1;
            }
        }
        for (i, instance) in instances.list.iter().enumerate() {
            if instance.label as usize >= self.labels && instance.label != UNLABELLED {
                return Err(Error::invalid(format!(
                    "metrics: instance {i} has label {}, but the category {} parts",
                    instance.label, self.labels
                )));
            }
            let mut overlaps: Vec<(f64, usize)> = both
                .range((i as i32, 0)..(i as i32 + 1, 0))
                .map(|(&(_, t), &shared)| {
                    (shared as f64 / (instance.points as u64 + sizes[t].1 - shared) as f64, t)
                })
                .filter(|&(iou, _)| iou >= MATCH_IOU)
                .collect();
            overlaps.sort_by(|a, b| b.0.total_cmp(&a.0));
            self.detections.push(Detection {
                object: self.objects,
                label: instance.label,
                confidence: instance.confidence,
                overlaps: overlaps.into_iter().map(|(_, t)| (t, sizes[t].0)).collect(),
            });
        }
        self.objects += 1;
        Ok(())
    }

    /// The category's figures.
    pub fn summary(&self) -> Summary {
        let iou: Vec<_> = (0..self.labels).map(|j| mean(self.iou.iter().map(|object| object[j]))).collect();
        let ap50: Vec<_> = (0..self.labels as u32).map(|j| self.average_precision(Some(j))).collect();
        Summary {
            objects: self.objects,
            miou: mean(iou.iter().copied()),
            map50: mean(ap50.iter().copied()),
            map50_agnostic: self.average_precision(None),
            iou,
            ap50,
        }
    }

    /// Area under the precision-recall curve, all-point interpolation; of one part, or of all together. A detection, by
    /// falling confidence, finds the free true instance of highest IoU.
    fn average_precision(&self, part: Option<u32>) -> Option<f64> {
        // A part that no object has was not labelled: what was found of it is neither right nor wrong.
        let is_there = |label: u32| label == UNLABELLED || self.instances[label as usize] > 0;
        let is_part = |label: u32| part.map_or(is_there(label), |part| part == label);
        let truths =
            (0..self.labels).filter(|&j| is_part(j as u32)).map(|j| self.instances[j]).sum::<usize>();
        if truths == 0 {
            return None;
        }
        let mut detections: Vec<_> = self.detections.iter().filter(|d| is_part(d.label)).collect();
        detections.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut taken = std::collections::BTreeSet::new();
        let mut found = 0;
        let mut curve = vec![];
        for (rank, d) in detections.iter().enumerate() {
            let mut candidates =
                d.overlaps.iter().filter(|&&(_, label)| is_part(label)).map(|&(t, _)| (d.object, t));
            if candidates.any(|t| taken.insert(t)) {
                found += 1;
                curve.push(found as f64 / (rank + 1) as f64);
            }
        }
        // Recall rises by one true instance at each find; interpolation takes the best precision from there on.
        let (mut best, mut area) = (0.0f64, 0.0);
        for &precision in curve.iter().rev() {
            best = best.max(precision);
            area += best;
        }
        Some(area / truths as f64)
    }
}

/// The mean over categories of one figure, `None`s left out.
pub fn mean_over<'a>(
    categories: impl IntoIterator<Item = &'a Summary>,
    figure: impl Fn(&Summary) -> Option<f64>,
) -> Option<f64> {
    mean(categories.into_iter().map(figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::instances::Instance;

    fn object(labels: &[i32], instances: &[i32], list: &[(u32, f32)]) -> (Labels, Instances) {
        let points = |i: usize| instances.iter().filter(|&&k| k == i as i32).count() as u32;
        let list = list.iter().enumerate();
        let list =
            list.map(|(i, &(label, confidence))| Instance { label, points: points(i), confidence }).collect();
        (
            Labels { of_point: labels.to_vec().into(), ..Labels::default() },
            Instances { list, of_superpoint: vec![], of_point: instances.to_vec() },
        )
    }

    fn true_of(semantic: &[i32], instance: &[i32]) -> Truth {
        Truth { semantic: semantic.to_vec(), instance: instance.to_vec() }
    }

    #[test]
    fn iou_of_the_parts_that_are_there() {
        let iou = semantic_iou(&[0, 0, 1, -1, 2], &[0, 1, 1, 1, -1], 4).unwrap();
        assert_eq!(iou, [Some(0.5), Some(1.0 / 3.0), None, None]);
        assert_eq!(mean(iou), Some((0.5 + 1.0 / 3.0) / 2.0));
        assert_eq!(mean([None]), None);
        assert!(semantic_iou(&[0], &[0, 0], 1).is_err());
        assert!(semantic_iou(&[1], &[0], 1).is_err());
        assert!(semantic_iou(&[0], &[-2], 1).is_err());
    }

    /// By falling confidence: right, wrong, right; two of three found: precision 1, 2/3.
    #[test]
    fn precision_is_averaged_over_the_recalls() {
        let (labels, instances) =
            object(&[0, 0, 0, 0, 0, 0], &[0, 0, 1, 2, 2, -1], &[(0, 0.9), (0, 0.8), (0, 0.7)]);
        let truth = true_of(&[0, 0, 0, 0, 0, 0], &[7, 7, 8, 9, 9, 8]);
        let mut category = Category::new(2);
        category.add(&labels, &instances, &truth).unwrap();
        // The single point of instance 1 is half of true instance 8: IoU 0.5 matches.
        assert_eq!(category.summary().ap50, [Some(1.0), None]);
        let truth = true_of(&[0, 0, 0, 0, 0, 0], &[7, 7, 8, 9, 9, 9]);
        let mut category = Category::new(2);
        let (labels, mut instances) = (labels, instances);
        instances.list[1].confidence = 0.95;
        instances.of_point[2] = -1;
        instances.of_point[5] = 1;
        category.add(&labels, &instances, &truth).unwrap();
        // Wrong, right, right: precision at each find 1/2, 2/3, and 2/3 from there on for both.
        let ap = category.summary().map50.unwrap();
        approx::assert_relative_eq!(ap, (2.0 / 3.0 + 2.0 / 3.0) / 3.0);
    }

    #[test]
    fn an_agnostic_match_ignores_the_part() {
        let (labels, instances) = object(&[1, 1], &[0, 0], &[(1, 0.5)]);
        let mut category = Category::new(2);
        let mut other = category.clone();
        other.add(&labels, &instances, &true_of(&[0, 0], &[0, 0])).unwrap();
        let summary = other.summary();
        assert_eq!((summary.map50, summary.map50_agnostic, summary.miou), (Some(0.0), Some(0.0), Some(0.0)));
        assert!(summary.map50.unwrap().is_sign_positive());
        // Once an object has part 1, what is called so counts.
        category.add(&labels, &instances, &true_of(&[0, 1], &[0, 1])).unwrap();
        category.add(&labels, &instances, &true_of(&[0, 0], &[0, 0])).unwrap();
        approx::assert_relative_eq!(category.summary().map50_agnostic.unwrap(), (1.0 + 1.0) / 3.0);
    }

    #[test]
    fn instances_without_a_label_count_where_parts_do_not_matter() {
        let (labels, instances) = object(&[-1, -1, -1], &[0, 0, 1], &[(UNLABELLED, 1.0), (UNLABELLED, 1.0)]);
        let mut category = Category::new(2);
        category.add(&labels, &instances, &true_of(&[0, 0, 0], &[0, 0, 1])).unwrap();
        let summary = category.summary();
        assert_eq!((summary.map50, summary.map50_agnostic), (Some(0.0), Some(1.0)));
        let wrong = object(&[-1], &[0], &[(2, 1.0)]);
        assert!(category.add(&wrong.0, &wrong.1, &true_of(&[0], &[0])).is_err());
    }

    #[test]
    fn one_true_instance_is_found_once() {
        let (labels, instances) = object(&[0, 0], &[0, 1], &[(0, 0.9), (0, 0.8)]);
        let mut category = Category::new(1);
        category.add(&labels, &instances, &true_of(&[0, 0], &[0, 0])).unwrap();
        assert_eq!(category.summary().map50, Some(1.0));
        let mut category = Category::new(1);
        category.add(&labels, &instances, &true_of(&[0, 0], &[0, 0])).unwrap();
        category.add(&labels, &instances, &true_of(&[0, 0], &[0, 1])).unwrap();
        // By falling confidence: right, right (the other object's), wrong (found already), right.
        approx::assert_relative_eq!(category.summary().map50.unwrap(), (1.0 + 1.0 + 0.75) / 3.0);
    }

    #[test]
    fn categories_count_alike() {
        let summary =
            |miou| Summary { objects: 1, iou: vec![], miou, ap50: vec![], map50: None, map50_agnostic: None };
        assert_eq!(
            mean_over(&[summary(Some(1.0)), summary(Some(0.5)), summary(None)], |s| s.miou),
            Some(0.75)
        );
    }
}
