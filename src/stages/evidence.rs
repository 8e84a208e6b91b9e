//! Evidence: what the masks say of every single point, and superpoints cut where it changes.

use super::{boxes::Boxes, cloud::Cloud, masks::Masks, superpoints::Superpoints, views::Views};
use crate::{
    error::{Error, Result, in_range},
    ops::{
        expect_len,
        lift::{
            coarse,
            evidence::{self, Split},
            mask,
            membership::Region,
        },
        partition::knn,
        views::visibility,
    },
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How superpoints are cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What a point of new border costs, in squared shares of evidence; 0 leaves the superpoints as they are.
    pub border: f32,
    /// Whether superpoints give up the points that masks of several views hold, and they do not: small parts.
    pub free: bool,
    /// Pieces of at most this many points are not cut off at a border.
    pub small: usize,
    /// Neighbours of each point in the graph, at least 1.
    pub neighbors: usize,
}

impl Default for Options {
    /// No cuts, as in the paper.
    fn default() -> Options {
        Options { border: 0.0, free: false, small: 20, neighbors: 10 }
    }
}

impl Options {
    /// Whether superpoints are cut at all.
    pub fn cuts(&self) -> bool {
        self.border > 0.0 || self.free
    }

    /// Cuts where several views agree.
    pub fn cut() -> Options {
        Options { border: 1.0, ..Options::default() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Options { border, neighbors, .. } = *self;
        in_range(border >= 0.0 && border.is_finite(), "evidence.border", border, "a number from 0")?;
        in_range((1..=255).contains(&neighbors), "evidence.neighbors", neighbors, "from 1 to 255")
    }
}

/// In how many views each point is seen, and in how many of these a box of each part holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The counts.
    pub counts: evidence::Evidence,
    /// Number of part labels, L.
    pub labels: usize,
}

impl Evidence {
    /// Looks up every point in every box of the views that show it. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if boxes, masks and views do not fit together; [`Error::Device`] if they lie on a device that failed.
    pub fn gather(views: &Views, boxes: &Boxes, masks: &Masks, labels: usize) -> Result<Evidence> {
        let counts = look(views, boxes, masks, labels, evidence::cpu::evidence)?;
        Ok(Evidence { counts, labels })
    }

    /// The superpoints without what coarse ones give up ([`Options::free`]), each cut where the evidence changes.
    ///
    /// # Errors
    /// Those of [`Evidence::gather`] and [`Evidence::split`].
    pub fn cut(
        cloud: &Cloud,
        superpoints: &Superpoints,
        views: &Views,
        boxes: &Boxes,
        masks: &Masks,
        labels: usize,
        options: &Options,
    ) -> Result<Superpoints> {
        let of_point = &superpoints.of_point;
        let (counts, freed) = look(views, boxes, masks, labels, |input| {
            expect_len("evidence", "superpoints [N]", of_point.len(), input.visible.len() / views.len())?;
            let counts = evidence::cpu::evidence(input)?;
            let freed = options.free.then(|| coarse::cpu::free(input, &counts, of_point));
            Ok((counts, freed))
        })?;
        let evidence = Evidence { counts, labels };
        match freed {
            Some(pieces) => evidence.split(cloud, &Superpoints::of_regions(&pieces), options),
            None => evidence.split(cloud, superpoints, options),
        }
    }

    /// The superpoints, each cut where the evidence of its points changes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is outside its range or the arguments are of different clouds.
    pub fn split(&self, cloud: &Cloud, superpoints: &Superpoints, options: &Options) -> Result<Superpoints> {
        options.check()?;
        let (n, ours) = (cloud.len(), self.counts.seen.len());
        if superpoints.of_point.len() != n || ours != n {
            return Err(Error::invalid(format!(
                "evidence: of {ours} points, the superpoints of {}, the cloud has {n}",
                superpoints.of_point.len()
            )));
        }
        if options.border == 0.0 {
            return Ok(superpoints.clone());
        }
        let around = knn::cpu::nearest(&cloud.positions, options.neighbors);
        let pieces = evidence::cpu::split(
            &self.counts,
            &Split {
                superpoint_of: &superpoints.of_point,
                neighbors: &around.indices,
                k: around.k,
                border: options.border,
                small: options.small,
            },
        )?;
        Ok(Superpoints::of_regions(&pieces))
    }
}

/// Looks at points and boxes together, on the host.
fn look<T>(
    views: &Views,
    boxes: &Boxes,
    masks: &Masks,
    labels: usize,
    at: impl FnOnce(&evidence::Input) -> Result<T>,
) -> Result<T> {
    if labels == 0 {
        return Err(Error::invalid("evidence: no part labels; name at least one part"));
    }
    boxes.check(views.len(), labels)?;
    masks.check(boxes.len(), views.side)?;
    let n = views.screen.len() / views.len().max(1);
    let visible = (0..views.len())
        .into_par_iter()
        .map(|k| visibility::cpu::visible_points(views.pixel_to_point(k)?, n))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let taps;
    let region = match masks {
        Masks::Boxes => Region::Boxes,
        Masks::Bits(bits) => Region::Bits(bits.host()?),
        Masks::Logits(logits) => {
            taps = mask::taps(views.side);
            Region::Logits(logits.host()?, &taps)
        }
    };
    at(&evidence::Input {
        visible: &visible,
        screen: views.screen.host()?,
        of_view: &boxes.by_view(views.len(), |_| true)?,
        rects: &boxes.rects()?,
        box_label: &boxes.labels()?,
        region,
        side: views.side,
        labels,
    })
}
