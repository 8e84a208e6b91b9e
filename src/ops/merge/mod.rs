//! From regions of views to groups of points, merged view by view (SAM3D).

pub mod frame;
pub mod groups;
pub mod nearest;
pub mod paint;
pub mod transfer;
pub mod union;
