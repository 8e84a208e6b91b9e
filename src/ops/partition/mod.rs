//! From points to superpoints: neighbours, normals, features, and the partition of their graph.

pub mod agglomeration;
pub mod cut_pursuit;
pub mod edge_weights;
pub mod knn;
pub mod merge_small;
pub mod normals;
pub mod point_features;
