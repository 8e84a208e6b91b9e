//! What a pipeline found about a cloud, and why it did not find a part.

use crate::{
    error::Result,
    observer::Stage,
    ops::lift::labels::NONE,
    parts::Parts,
    stages::{
        boxes::{Box2d, Boxes},
        instances::Instances,
        labels::Labels,
        masks::Masks,
        memberships::Memberships,
        scores::Scores,
        superpoints::Superpoints,
        views::Views,
        weights::Weights,
    },
};
#[cfg(feature = "meshes")]
use crate::{
    io::meshes::Mesh,
    mesh::{Faces, Sampled},
    stages::cloud::Cloud,
};
use serde::Serialize;

/// Everything that the pipeline found about one cloud.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// The L part names.
    pub parts: Parts,
    /// The over-segmentation.
    pub superpoints: Superpoints,
    /// The rendered views.
    pub views: Views,
    /// The detected boxes.
    pub boxes: Boxes,
    /// A mask per box.
    pub masks: Masks,
    /// Which boxes hold which points.
    pub memberships: Memberships,
    /// What each box's vote counts.
    pub weights: Weights,
    /// The votes.
    pub scores: Scores,
    /// The semantic segmentation.
    pub labels: Labels,
    /// The instance segmentation.
    pub instances: Instances,
    /// Wall-clock seconds per stage, in the order they ran.
    pub seconds: Vec<(Stage, f64)>,
    /// What the caller should know and that is no error.
    pub warnings: Vec<String>,
}

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Points labelled with it.
    pub points: usize,
    /// Its instances.
    pub instances: usize,
    /// Points labelled with it that are in no instance: no piece that they are in fills a box of it well enough.
    pub without_instance: usize,
    /// Its boxes, over all views.
    pub boxes: usize,
    /// Superpoints that its boxes hold visible points of: where it can win.
    pub superpoints: usize,
    /// Superpoints that it won.
    pub won: usize,
    /// Why no point is labelled with it, or why those that are make no instance.
    pub reason: Option<String>,
}

/// Where a part's boxes hold visible points.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    /// Superpoints that they hold points of.
    superpoints: usize,
    /// The one of which those that vote hold most, and the share of its visible points, over all views.
    best: Option<(usize, f64)>,
}

impl Segmentation {
    /// What each face is of the mesh that the cloud's points were drawn on.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if mesh, points and cloud do not belong together.
    #[cfg(feature = "meshes")]
    pub fn faces(&self, mesh: &Mesh, sampled: &Sampled, cloud: &Cloud) -> Result<Faces> {
        let labels = cloud.to_rows(&self.labels.of_point, -1);
        sampled.faces(mesh, &labels, &cloud.to_rows(&self.instances.of_point, -1))
    }

    /// What was found of every part, `[L]`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if something lies on a device that failed.
    pub fn summary(&self) -> Result<Vec<PartSummary<'_>>> {
        let boxes = self.boxes.labels()?;
        let reaches = self.reaches(&boxes)?;
        let mut all = vec![];
        for (j, name) in self.parts.iter().map(String::as_str).enumerate() {
            let label = j as i32;
            let points = count(&self.labels.of_point, label);
            let instances = self.instances.list.iter().filter(|i| i.label as usize == j).count();
            let reason = match (points, instances) {
                (0, _) => Some(self.reason(j, &reaches[j])?),
                (_, 0) => Some(
                    "no piece of it fills one of its boxes well enough to be an instance (option instances.min_box_iou)".into(),
                ),
                _ => None,
            };
            all.push(PartSummary {
                name,
                points,
                instances,
                without_instance: points.saturating_sub(self.points_of_instances(j)),
                boxes: boxes.iter().filter(|&&label| label as usize == j).count(),
                superpoints: reaches[j].superpoints,
                won: count(&self.labels.of_superpoint, label),
                reason,
            });
        }
        Ok(all)
    }

    /// Points in the instances of part `j`.
    fn points_of_instances(&self, j: usize) -> usize {
        let of_part = self.instances.list.iter().filter(|instance| instance.label as usize == j);
        of_part.map(|instance| instance.points as usize).sum()
    }

    /// Where the boxes of each part hold visible points, `[L]`.
    fn reaches(&self, box_label: &[u32]) -> Result<Vec<Reach>> {
        let (sets, visible) = (self.memberships.sets()?, self.memberships.visible_totals()?);
        let weights = self.weights.boxes.host()?;
        let mut reaches = vec![Reach::default(); self.parts.len()];
        for (s, &visible) in visible.iter().enumerate() {
            let mut held = vec![[0u32; 2]; self.parts.len()];
            for (boxes, points) in sets.counts(s) {
                let label = |b| box_label[b as usize];
                labels_of(boxes, label).for_each(|j| held[j as usize][0] += points);
                labels_of(&voting(boxes, weights), label).for_each(|j| held[j as usize][1] += points);
            }
            for (reach, &[_, voted]) in reaches.iter_mut().zip(&held).filter(|(_, held)| held[0] > 0) {
                let share = f64::from(voted) / f64::from(visible);
                reach.superpoints += 1;
                if voted > 0 && reach.best.is_none_or(|(_, best)| share > best) {
                    reach.best = Some((s, share));
                }
            }
        }
        Ok(reaches)
    }

    /// Why no point is labelled as part `j`.
    fn reason(&self, j: usize, reach: &Reach) -> Result<String> {
        let of_part = |list: &[Box2d]| list.iter().filter(|b| b.label as usize == j).copied().collect();
        let list = self.boxes.list()?;
        let boxes: Vec<Box2d> = of_part(list);
        if boxes.is_empty() {
            return Ok(match &self.boxes.detected {
                None => "no box is given".into(),
                Some(detected) => {
                    let weak: Vec<Box2d> = of_part(detected.weak.host()?);
                    let best = weak.iter().max_by(|a, b| a.score.total_cmp(&b.score));
                    let seen = match best {
                        Some(b) => format!("the best was {:.3} in view {}", b.score, b.view),
                        None => format!("none was even above {:.2}", detected.weak_threshold),
                    };
                    let doubt = detected.doubts.iter().find(|(label, _)| *label as usize == j);
                    let doubt = doubt.map_or(String::new(), |(_, why)| format!("; the name {why}"));
                    format!("no box scored above {:.2}: {seen}{doubt}", detected.threshold)
                }
            });
        }
        if boxes.iter().all(Box2d::is_empty) {
            return Ok(format!("{} no area", counted(boxes.len(), "box has", "boxes have")));
        }
        let found = counted(boxes.len(), "box", "boxes");
        let [hold, weigh] = match boxes.len() {
            1 => ["it holds", "weighs"],
            _ => ["they hold", "weigh"],
        };
        let is_of_part = |&&b: &&u32| list[b as usize].label as usize == j;
        if self.memberships.ignored()?.iter().filter(is_of_part).count() == boxes.len() {
            return Ok(format!("{found}, left out because {hold} the whole object"));
        }
        if reach.superpoints == 0 {
            return Ok(if self.superpoints.len() == self.labels.of_point.len() {
                "superpoints of single points, of which none can vote: give larger ones".into()
            } else if self.masks != Masks::Boxes {
                format!("{found} whose masks hold no visible point: they are empty, or of other images")
            } else {
                format!(
                    "{} no visible point: beside the object, of other images or in another unit (pixels: x, y, width, \
                     height)",
                    counted(boxes.len(), "box holds", "boxes hold")
                )
            });
        }
        let Some((s, share)) = reach.best else {
            let why = match boxes.iter().all(|b| b.score <= 0.0) {
                true => "no score is above 0, or the weights given or learned are not",
                false => "other views do not bear them out, or the weights given or learned are not above 0",
            };
            return Ok(format!("{found} that {weigh} nothing: {why}"));
        };
        let share = format!("{:.0} % of a superpoint's visible points over all views", 100.0 * share);
        let outcome = match self.labels.of_superpoint[s] {
            NONE => format!("{found}, and no part won: {hold} at most {share}"),
            label => {
                let winner = &self.parts[label as usize];
                let [own, its, both] = self.held(s, [j as u32, label as u32])?;
                match SAME * f64::from(own.max(its)) <= f64::from(both) {
                    true => format!(
                        "{found}, outvoted: where {hold} most, {share}, boxes of {winner} hold the same points, and {winner} won"
                    ),
                    false => format!("{found}, outvoted: {hold} at most {share}, where {winner} won"),
                }
            }
        };
        let (k, counts) = (self.views.len(), &self.memberships.observed()?.counts);
        let counts_in =
            |view: u32| counts.iter().skip(view as usize).step_by(k.max(1)).any(|&count| count > 0);
        let empty = (0..k as u32).filter(|&k| counts_in(k) && list.iter().all(|b| b.view != k)).count();
        let hint = match empty {
            // A detector looked at all of them.
            _ if self.boxes.detected.is_some() => String::new(),
            0 => String::new(),
            _ => format!(
                "; {empty} of {} views have no box at all, and their points count against it (option memberships.views)",
                self.views.len()
            ),
        };
        Ok(outcome + &hint)
    }

    /// Visible points of a superpoint that boxes of one part hold, of another, and of both.
    fn held(&self, s: usize, [one, other]: [u32; 2]) -> Result<[u32; 3]> {
        let (list, weights) = (self.boxes.list()?, self.weights.boxes.host()?);
        let mut held = [0; 3];
        for (boxes, points) in self.memberships.sets()?.counts(s) {
            let boxes = voting(boxes, weights);
            let has = |part| labels_of(&boxes, |b| list[b as usize].label).any(|label| label == part);
            let has = [has(one), has(other)];
            let counts = [has[0], has[1], has[0] && has[1]];
            held.iter_mut().zip(counts).for_each(|(held, counts)| *held += if counts { points } else { 0 });
        }
        Ok(held)
    }
}

/// Boxes of two parts hold the same points if they have this share of either's in common.
const SAME: f64 = 0.9;

/// Those of a set's boxes that weigh anything.
fn voting(boxes: &[u32], weights: &[f32]) -> Vec<u32> {
    boxes.iter().copied().filter(|&b| weights[b as usize] > 0.0).collect()
}

/// The labels of a set's boxes, in which those of one label lie side by side.
fn labels_of(boxes: &[u32], label: impl Fn(u32) -> u32 + Copy) -> impl Iterator<Item = u32> {
    boxes.chunk_by(move |&a, &b| label(a) == label(b)).map(move |of_label| label(of_label[0]))
}

fn count(labels: &[i32], label: i32) -> usize {
    labels.iter().filter(|&&of| of == label).count()
}

/// A number and its noun: "1 box", "2 boxes".
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
