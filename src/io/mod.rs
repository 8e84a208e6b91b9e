//! Files in and out: point clouds, arrays, images.

mod clouds;
pub mod hash;
pub mod npy;
pub mod ply;
pub mod png;
pub mod points;
pub mod tensors;
