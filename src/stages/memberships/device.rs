//! Memberships on a device.

use super::{CountedViews, Memberships, OnHost, Options};
use crate::{
    device::{
        download::Rows,
        gpu::{Buffer, Gpu},
        twin::{Twin, Twinned},
    },
    error::Result,
    ops::{
        lift::{
            membership::{
                self,
                cuda::{Input, Region, Taps},
            },
            observe::{self, Observed},
            whole_object,
        },
        views::visibility,
    },
    stages::{boxes::Boxes, masks::Masks, superpoints::Superpoints, views::Views},
};
use std::sync::Arc;

/// The memberships in the memory of a device.
#[derive(Debug)]
pub struct OnDevice {
    /// 1 for boxes left out because they hold the whole object, `[B]`.
    ignored: Buffer<u8>,
    /// What each view shows of each superpoint.
    pub observed: observe::cuda::Observed,
    /// The distinct box sets and each superpoint's counts in them.
    pub sets: membership::cuda::Sets,
}

impl Memberships {
    /// The same arrays. A NaN among the logits holds nothing here: the segmenter's were counted when they were made.
    pub(super) fn find_on_gpu(
        gpu: &Gpu,
        superpoints: &Superpoints,
        views: &Views,
        boxes: &Boxes,
        masks: &Masks,
        options: &Options,
    ) -> Result<Memberships> {
        let members = superpoints.members.device(gpu)?;
        let partition = observe::cuda::Partition {
            superpoint_of: &*superpoints.of_point.device(gpu)?,
            superpoint_points: &members.values,
            superpoints: superpoints.len(),
        };
        let map = views.pixel_to_point.device(gpu)?;
        let screen = views.screen.device(gpu)?;
        let (k, n) = (views.len(), superpoints.of_point.len());
        let mut visible = visibility::cuda::visible_points(gpu, &map, k, n)?;
        let boxes = boxes.device(gpu)?;
        if options.views == CountedViews::WithBoxes {
            let words = visible.len() / k.max(1);
            let without = (0..k).filter(|&view| boxes.per_view.get(view).is_none_or(|&count| count == 0));
            for view in without {
                gpu.clear(&mut visible.slice_mut(view * words..(view + 1) * words))?;
            }
        }
        let observed = observe::cuda::views(gpu, partition, &visible, &screen, k)?;

        let (of_view, most) = boxes.by_view(gpu, k)?;
        let rects = &boxes.rects;
        let ignored = match masks {
            Masks::Boxes => {
                let share = options.whole_object_share;
                whole_object::cuda::whole(gpu, &screen, &of_view, rects, share)?
            }
            _ => gpu.zeros(boxes.views.len())?,
        };
        let (logits, bits, taps);
        let region = match masks {
            Masks::Boxes => Region::Boxes,
            Masks::Logits(values) => {
                (logits, taps) = (values.device(gpu)?, Taps::new(gpu, views.side)?);
                Region::Logits(&logits, &taps)
            }
            Masks::Bits(values) => {
                bits = values.device(gpu)?;
                Region::Bits(&bits)
            }
        };
        let sets = membership::cuda::membership(
            gpu,
            &Input {
                partition,
                visible: &visible,
                screen: &screen,
                observed: &observed,
                of_view: &of_view,
                most,
                rects,
                ignored: &ignored,
                region,
                side: views.side,
            },
        )?;
        let found = Twin::on_device(gpu, OnDevice { ignored, observed, sets });
        Ok(Memberships { views: k, boxes: boxes.views.len(), found })
    }

    /// All of it in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory, [`Error::Device`](crate::Error::Device) if a
    /// device failed.
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<OnDevice>> {
        self.found.device(gpu)
    }
}

impl Twinned for OnHost {
    type Device = OnDevice;

    fn upload(&self, gpu: &Gpu) -> Result<OnDevice> {
        let OnHost { observed, sets, ignored } = self;
        let flags: Vec<u8> =
            (0..=ignored.last().copied().unwrap_or(0)).map(|b| ignored.contains(&b) as u8).collect();
        Ok(OnDevice {
            ignored: gpu.upload(&flags)?,
            observed: observe::cuda::Observed {
                counts: gpu.upload(&observed.counts)?,
                extents: gpu.upload(observed.extents.as_flattened())?,
                totals: gpu.upload(&self.totals())?,
            },
            sets: membership::cuda::Sets::upload(gpu, sets)?,
        })
    }

    fn download(there: &OnDevice, gpu: &Gpu) -> Result<OnHost> {
        let OnDevice { ignored, observed, sets } = there;
        let extents = Rows::of(&observed.extents);
        let ((counts, extents, flags), lists) =
            gpu.download_all(((&observed.counts, extents, ignored), sets.lists()))?;
        let ignored = (0..).zip(flags).filter(|(_, flag)| *flag != 0).map(|(b, _)| b).collect();
        let sets = membership::Sets::from_lists(lists)?;
        Ok(OnHost { observed: Observed { counts, extents }, sets, ignored })
    }

    fn count_there(there: &OnDevice) -> usize {
        there.sets.superpoints()
    }
}
