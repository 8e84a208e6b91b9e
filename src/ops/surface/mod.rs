//! From boxes in views to scores of a surface's faces, over distances along the surface (SATR).

pub mod ball_pivoting;
pub mod centre;
pub mod cover;
pub mod heat;
pub mod ldl;
pub mod paths;
pub mod rings;
pub mod scores;
pub mod tally;
pub mod thin;
pub mod triangles;
pub mod weights;
