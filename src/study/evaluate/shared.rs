//! What methods share of one scene, made when the first of them asks for it.

use crate::{
    error::Result,
    lifting::{Gathered, Scene, Voters},
    observer::Progress,
    parts::Parts,
    sam3d::Regions,
    satr::Scores,
    study::{
        dataset::Object,
        methods::Source,
        prepare::Preparer,
        satr::{self, Through},
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Instant,
};

/// Things with the seconds that it took to make them.
type Made<K, T> = BTreeMap<K, (T, f64)>;

/// What voters hold, scores of surfaces, regions.
pub(super) struct Gatherer<'s> {
    pub scene: &'s Scene<'static>,
    pub preparer: &'s Preparer,
    object: &'s Object,
    pub parts: &'s Parts,
    made: Made<Voters, Gathered<'s>>,
    scores: Made<Through, Scores>,
    regions: Made<Source, Regions>,
    /// That making them anew would have taken where they were there already.
    pub seconds_saved: f64,
}

impl<'s> Gatherer<'s> {
    pub fn new(
        scene: &'s Scene<'static>,
        preparer: &'s Preparer,
        object: &'s Object,
        parts: &'s Parts,
    ) -> Gatherer<'s> {
        let (made, scores, regions) = Default::default();
        Gatherer { scene, preparer, object, parts, made, scores, regions, seconds_saved: 0.0 }
    }

    pub fn of(&mut self, voters: Voters) -> Result<&Gathered<'s>> {
        let (device, options) = (self.preparer.device(), self.preparer.options());
        let (scene, labels) = (self.scene, self.parts.len());
        let gather = || scene.gather(device, voters, labels, options, &mut Progress::default());
        made(&mut self.made, voters, &mut self.seconds_saved, gather)
    }

    pub fn scores(&mut self, through: Through) -> Result<&Scores> {
        let (device, options) = (self.preparer.device(), self.preparer.options());
        let (scene, parts) = (self.scene, self.parts);
        let score = || satr::scores(device, scene, parts, options, through);
        made(&mut self.scores, through, &mut self.seconds_saved, score)
    }

    pub fn regions(&mut self, source: Source) -> Result<&Regions> {
        let (preparer, object, Scene { views, boxes, masks, .. }) = (self.preparer, self.object, self.scene);
        let find = || match source {
            Source::Everything => preparer.regions(object, views),
            Source::Boxes => {
                let options = &preparer.options().sam3d;
                Regions::of_boxes(preparer.device(), views, boxes, masks, options)
            }
        };
        made(&mut self.regions, source, &mut self.seconds_saved, find)
    }
}

fn made<'m, K: Ord, T>(
    all: &'m mut Made<K, T>,
    key: K,
    saved: &mut f64,
    make: impl FnOnce() -> Result<T>,
) -> Result<&'m T> {
    match all.entry(key) {
        Entry::Occupied(entry) => {
            let (value, seconds) = entry.into_mut();
            *saved += *seconds;
            Ok(value)
        }
        Entry::Vacant(entry) => {
            let begin = Instant::now();
            let value = make()?;
            Ok(&entry.insert((value, begin.elapsed().as_secs_f64())).0)
        }
    }
}
