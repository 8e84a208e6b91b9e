//! From boxes and masks back to points: memberships, votes, labels, instances.

pub mod agreement;
pub mod coarse;
pub mod confidence;
pub mod evidence;
pub mod extents;
pub mod fill;
pub mod instances;
pub mod labels;
pub mod mask;
pub mod membership;
pub mod observe;
pub mod overlaps;
pub mod vote;
pub mod whole_object;
