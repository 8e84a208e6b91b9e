//! Boxes: what the detector found in the views, each with a part label, a score and a feature.

/// One box of one view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box2d {
    /// The view it was found in, below K.
    pub view: u32,
    /// The part it shows, below L.
    pub label: u32,
    /// x, y of the upper left corner, width, height, in pixels of the view's image.
    pub bbox: [f32; 4],
    /// The detector's confidence in [0, 1].
    pub score: f32,
}

/// The boxes of all views, ordered by view, with a feature row each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    /// The boxes, views ascending, `[B]`.
    pub list: Vec<Box2d>,
    /// Detector features, `[B, feature_dim]`; empty if the detector gave none.
    pub features: Vec<f32>,
    /// Channels per feature row (256 for GLIP), 0 without features.
    pub feature_dim: usize,
}
