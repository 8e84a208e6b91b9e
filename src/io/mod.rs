//! Files in and out: point clouds, arrays, images.

pub mod hash;
pub mod npy;
pub mod ply;
pub mod png;
pub mod points;
pub mod tensors;
