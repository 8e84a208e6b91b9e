//! Scans, sorts, sums and groups, which every family uses.

pub mod components;
pub mod exp;
pub mod group;
pub mod matmul;
pub mod nan;
pub mod random;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod sum;
