//! Memberships: which boxes hold each superpoint's visible points, as (superpoint, view, box set) -> count.

use super::{boxes::Boxes, masks::Masks, superpoints::Superpoints, views::Views};
use crate::{
    device::Device,
    error::{Error, Result},
    io::npy,
    ops::{
        mask,
        membership::{self, Region, Sets},
        observe::{self, Observed},
        visibility, vote, whole_object,
    },
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How to find them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Without masks, a box that holds at least this share of all points is ignored (PartSLIP's 98 %; above 1 keeps
    /// every box). QUIRK whole-object boxes: with masks PartSTAD computes this filter and does not use it; nor do we.
    pub whole_object_share: f32,
}

impl Default for Options {
    fn default() -> Options {
        Options { whole_object_share: 0.98 }
    }
}

/// The index lists in a file.
const NAMES: [&str; 6] = ["set_offsets", "set_boxes", "entry_offsets", "entry_set", "entry_count", "ignored"];

/// Everything that the vote needs to know about points and pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memberships {
    /// Number of views, K.
    pub views: usize,
    /// What each view shows of each superpoint, `[S, K]`.
    pub observed: Observed,
    /// The distinct box sets and each superpoint's counts in them.
    pub sets: Sets,
    /// Boxes left out because they hold the whole object, ascending.
    pub ignored: Vec<u32>,
}

impl Memberships {
    /// Looks up every visible point of every superpoint in every box of its view.
    ///
    /// # Errors
    /// [`Error::Invalid`] if boxes, masks, superpoints and views do not fit together.
    pub fn find(
        device: &Device,
        superpoints: &Superpoints,
        views: &Views,
        boxes: &Boxes,
        masks: &Masks,
        options: &Options,
    ) -> Result<Memberships> {
        let _ = device;
        let n = superpoints.of_point.len();
        if views.screen.len() != n * views.len() {
            return Err(Error::invalid(format!(
                "memberships: the superpoints cover {n} points, the {} views {}",
                views.len(),
                views.screen.len() / views.len().max(1)
            )));
        }
        boxes.check(views.len(), u32::MAX as usize)?;
        masks.check(boxes.len(), views.side)?;
        let visible = (0..views.len())
            .into_par_iter()
            .map(|k| visibility::cpu::visible_points(views.pixel_to_point(k)?, n))
            .collect::<Result<Vec<_>>>()?
            .concat();
        let ignored = match masks {
            Masks::Boxes => {
                let view_of: Vec<u32> = boxes.list.iter().map(|b| b.view).collect();
                let (rects, share) = (boxes.rects(), options.whole_object_share);
                let whole = whole_object::cpu::whole(views.screen.host()?, n, &rects, &view_of, share);
                (0..boxes.len() as u32).filter(|&b| whole[b as usize]).collect()
            }
            _ => vec![],
        };
        let screen = views.screen.host()?;
        let observed =
            observe::cpu::views(&visible, screen, &superpoints.offsets, &superpoints.points, views.len());
        let (view_offsets, view_boxes) = boxes.by_view(views.len(), |b| !ignored.contains(&(b as u32)));
        let taps;
        let sets = membership::cpu::membership(&membership::Input {
            superpoint_offsets: &superpoints.offsets,
            superpoint_points: &superpoints.points,
            visible: &visible,
            screen,
            observed: &observed,
            view_offsets: &view_offsets,
            view_boxes: &view_boxes,
            rects: &boxes.rects(),
            region: match masks {
                Masks::Boxes => Region::Boxes,
                Masks::Bits(bits) => Region::Bits(bits),
                Masks::Logits(logits) => {
                    taps = mask::taps(views.side);
                    Region::Logits(finite(logits.host()?)?, &taps)
                }
            },
            side: views.side,
        })?;
        Ok(Memberships { views: views.len(), observed, sets, ignored })
    }

    /// Writes everything to an `.npz` archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut archive = npy::ArchiveWriter::create(path)?;
        let (s, k) = (self.len(), self.views);
        archive.member("visible", &[s, k], self.observed.counts.iter().copied())?;
        archive.member("extents", &[s, k, 4], self.observed.extents.iter().flatten().copied())?;
        for (name, values) in NAMES.iter().zip(self.lists()) {
            archive.member(name, &[values.len()], values.iter().copied())?;
        }
        archive.finish()
    }

    /// Reads what [`Memberships::write`] wrote. `boxes`: B.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the arrays do not fit together.
    pub fn read(path: &Path, boxes: usize) -> Result<Memberships> {
        let visible = npy::read_member::<u32>(path, "visible")?;
        let extents = npy::read_member::<f32>(path, "extents")?;
        let [superpoints, views] = visible.shape[..] else {
            return Err(Error::format(path, format!("visible has shape {:?}, not [S, K]", visible.shape)));
        };
        let mut lists = NAMES.map(|_| vec![]);
        for (list, name) in lists.iter_mut().zip(NAMES) {
            *list = npy::read_member::<u32>(path, name)?.data;
        }
        let [set_offsets, set_boxes, entry_offsets, entry_set, entry_count, ignored] = lists;
        let sets = Sets { set_offsets, set_boxes, entry_offsets, entry_set, entry_count };
        let fits = extents.shape == [superpoints, views, 4]
            && sets.fit(superpoints, boxes)
            && ignored.iter().all(|&b| (b as usize) < boxes);
        if !fits {
            return Err(Error::format(
                path,
                format!("not the memberships of {boxes} boxes: its arrays do not fit together"),
            ));
        }
        let observed = Observed { counts: visible.data, extents: extents.data.as_chunks().0.to_vec() };
        Ok(Memberships { views, observed, sets, ignored })
    }

    fn lists(&self) -> [&[u32]; 6] {
        let Sets { set_offsets, set_boxes, entry_offsets, entry_set, entry_count } = &self.sets;
        [set_offsets, set_boxes, entry_offsets, entry_set, entry_count, &self.ignored]
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.sets.entry_offsets.len().saturating_sub(1)
    }

    /// Whether there is no superpoint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Visible points of every superpoint over all views (n_s of equation 5), `[S]`.
    pub fn visible_totals(&self) -> Vec<u32> {
        let rows = self.observed.counts.chunks(self.views.max(1));
        rows.map(|row| row.iter().sum()).collect()
    }

    /// Whether a box holds one of its visible points; the others get no label.
    pub fn valid(&self, s: usize) -> bool {
        self.sets.entry_offsets[s] < self.sets.entry_offsets[s + 1]
    }

    /// The boxes of distinct set `set`, by label.
    pub fn set(&self, set: usize) -> &[u32] {
        &self.sets.set_boxes[self.sets.set_offsets[set] as usize..self.sets.set_offsets[set + 1] as usize]
    }

    /// The sets and counts of superpoint `s`.
    pub fn entries(&self, s: usize) -> impl Iterator<Item = (&[u32], u32)> {
        let range = self.sets.entry_offsets[s] as usize..self.sets.entry_offsets[s + 1] as usize;
        range.map(|e| (self.set(self.sets.entry_set[e] as usize), self.sets.entry_count[e]))
    }

    /// The vote's input. `visible`: n_s, `[S]`; `box_label`: `[B]`; `labels`: L.
    pub fn votes<'a>(&'a self, visible: &'a [u32], box_label: &'a [u32], labels: usize) -> vote::Input<'a> {
        vote::Input {
            set_offsets: &self.sets.set_offsets,
            set_boxes: &self.sets.set_boxes,
            entry_offsets: &self.sets.entry_offsets,
            entry_set: &self.sets.entry_set,
            entry_count: &self.sets.entry_count,
            visible,
            box_label,
            labels,
        }
    }
}

/// Refuses logits that are NaN.
fn finite(logits: &[f32]) -> Result<&[f32]> {
    match logits.iter().position(|v| v.is_nan()) {
        Some(at) => Err(Error::invalid(format!(
            "masks: a logit of box {} is NaN",
            at / (mask::LOGITS * mask::LOGITS)
        ))),
        None => Ok(logits),
    }
}
