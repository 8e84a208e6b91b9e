//! Memberships: which boxes hold each superpoint's visible points, as (superpoint, view, box set) -> count.

#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
pub use device::OnDevice;

use super::{boxes::Boxes, masks::Masks, superpoints::Superpoints, views::Views};
use crate::{
    device::{
        Device,
        twin::{Counted, Twin},
    },
    error::{Error, Result, in_range},
    io::npy,
    ops::{
        lift::{
            mask,
            membership::{self, LISTS, Region, Sets},
            observe::{self, Observed},
            whole_object,
        },
        views::visibility,
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
    /// Of which views points count.
    pub views: CountedViews,
}

/// Views whose visible points count: a part must win its superpoint's points over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CountedViews {
    /// All: a view without boxes says that there is no part.
    #[default]
    All,
    /// Those with boxes: a view without any was not looked at.
    WithBoxes,
}

impl Default for Options {
    fn default() -> Options {
        Options { whole_object_share: 0.98, views: CountedViews::All }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        let share = self.whole_object_share;
        in_range(share >= 0.0, "memberships.whole_object_share", share, "a number from 0")
    }
}

/// Everything that the vote needs to know about points and pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Memberships {
    /// Number of views, K.
    pub views: usize,
    /// Number of boxes, B.
    pub boxes: usize,
    found: Twin<OnHost>,
}

#[derive(Debug, Clone, PartialEq)]
struct OnHost {
    observed: Observed,
    sets: Sets,
    /// Ascending.
    ignored: Vec<u32>,
}

impl Counted for OnHost {
    /// Number of superpoints, S.
    fn count(&self) -> usize {
        self.sets.entries.len()
    }
}

impl OnHost {
    /// Visible points of every superpoint over all views, `[S]`.
    fn totals(&self) -> Vec<u32> {
        let counts = &self.observed.counts;
        let views = counts.len() / self.count().max(1);
        counts.chunks(views.max(1)).map(|row| row.iter().sum()).collect()
    }
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
        match device {
            Device::Cpu => Memberships::find_on_cpu(superpoints, views, boxes, masks, options),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => Memberships::find_on_gpu(gpu, superpoints, views, boxes, masks, options),
        }
    }

    fn find_on_cpu(
        superpoints: &Superpoints,
        views: &Views,
        boxes: &Boxes,
        masks: &Masks,
        options: &Options,
    ) -> Result<Memberships> {
        let n = superpoints.of_point.len();
        let view_of = boxes.views()?;
        let counts =
            |k: usize| options.views == CountedViews::All || view_of.iter().any(|&view| view as usize == k);
        let visible = (0..views.len())
            .into_par_iter()
            .map(|k| match counts(k) {
                true => visibility::cpu::visible_points(views.pixel_to_point(k)?, n),
                false => Ok(vec![false; n]),
            })
            .collect::<Result<Vec<_>>>()?
            .concat();
        let screen = views.screen.host()?;
        let ignored = match masks {
            Masks::Boxes => {
                let (rects, share) = (boxes.rects()?, options.whole_object_share);
                let whole = whole_object::cpu::whole(screen, n, &rects, &view_of, share)?;
                (0..boxes.len() as u32).filter(|&b| whole[b as usize]).collect()
            }
            _ => vec![],
        };
        let observed = observe::cpu::views(&visible, screen, &superpoints.members, views.len())?;
        let of_view = boxes.by_view(views.len(), |b| !ignored.contains(&(b as u32)))?;
        let taps;
        let sets = membership::cpu::membership(&membership::Input {
            superpoints: &superpoints.members,
            visible: &visible,
            screen,
            observed: &observed,
            of_view: &of_view,
            rects: &boxes.rects()?,
            region: match masks {
                Masks::Boxes => Region::Boxes,
                Masks::Bits(bits) => Region::Bits(bits.host()?),
                Masks::Logits(logits) => {
                    taps = mask::taps(views.side);
                    Region::Logits(finite(logits.host()?)?, &taps)
                }
            },
            side: views.side,
        })?;
        let found = OnHost { observed, sets, ignored }.into();
        Ok(Memberships { views: views.len(), boxes: boxes.len(), found })
    }

    /// Writes everything to an `.npz` archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written, [`Error::Device`] if the arrays lie on a device that failed.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut archive = npy::ArchiveWriter::create(path)?;
        let (s, k, observed) = (self.len(), self.views, self.observed()?);
        archive.member("visible", &[s, k], observed.counts.iter().copied())?;
        archive.member("extents", &[s, k, 4], observed.extents.iter().flatten().copied())?;
        let ignored = self.ignored()?;
        for (name, values) in LISTS.iter().zip(self.sets()?.lists()) {
            archive.member(name, &[values.len()], values)?;
        }
        archive.member("ignored", &[ignored.len()], ignored.iter().copied())?;
        archive.finish()
    }

    /// Reads what [`Memberships::write`] wrote. `boxes`: B.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the arrays do not fit together.
    pub fn read(path: &Path, boxes: usize) -> Result<Memberships> {
        let mut members = npy::Members::of(path)?;
        let visible = members.read::<u32>("visible")?;
        let extents = members.read::<f32>("extents")?;
        let [superpoints, views] = visible.shape[..] else {
            return Err(Error::format(path, format!("visible has shape {:?}, not [S, K]", visible.shape)));
        };
        let mut list = |name: &str| members.read::<u32>(name).map(|array| array.data);
        let [set_offsets, set_boxes, entry_offsets, entry_set, entry_count] = LISTS.map(&mut list);
        let sets = [set_offsets?, set_boxes?, entry_offsets?, entry_set?, entry_count?];
        let ignored = list("ignored")?;
        let sets = Sets::from_lists(sets).map_err(|e| Error::format(path, e.to_string()))?;
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
        Ok(Memberships { views, boxes, found: OnHost { observed, sets, ignored }.into() })
    }

    /// Checks that they are of these boxes. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if not; those of [`Boxes::check`].
    pub fn check(&self, boxes: &Boxes, labels: usize) -> Result<()> {
        if self.boxes != boxes.len() {
            let (found, wanted) = (self.boxes, boxes.len());
            return Err(Error::invalid(format!("these are memberships of {found} boxes, not of {wanted}")));
        }
        boxes.check(self.views, labels)
    }

    /// What each view shows of each superpoint, `[S, K]`.
    ///
    /// # Errors
    /// [`Error::Device`] if it lies on a device that failed; never without one.
    pub fn observed(&self) -> Result<&Observed> {
        Ok(&self.found.host()?.observed)
    }

    /// The distinct box sets and each superpoint's counts in them.
    ///
    /// # Errors
    /// As [`Memberships::observed`].
    pub fn sets(&self) -> Result<&Sets> {
        Ok(&self.found.host()?.sets)
    }

    /// Boxes left out because they hold the whole object, ascending.
    ///
    /// # Errors
    /// As [`Memberships::observed`].
    pub fn ignored(&self) -> Result<&[u32]> {
        Ok(&self.found.host()?.ignored)
    }

    /// Whether they lie on the host.
    #[cfg(feature = "cuda")]
    pub(crate) fn is_here(&self) -> bool {
        self.found.is_here()
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is no superpoint.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Visible points of every superpoint over all views (n_s of equation 5), `[S]`.
    ///
    /// # Errors
    /// As [`Memberships::observed`].
    pub fn visible_totals(&self) -> Result<Vec<u32>> {
        Ok(self.found.host()?.totals())
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
