//! Masks: which pixels each box claims.

/// Side of SAM's low-resolution logits.
pub const LOGIT_SIDE: usize = 256;

/// One mask per box, in the order of [`Boxes::list`](super::boxes::Boxes::list).
#[derive(Debug, Clone, PartialEq)]
pub enum Masks {
    /// No segmenter: each box claims the pixels strictly inside it (PartSLIP).
    Boxes,
    /// SAM's mask logits, `[B, 256, 256]`, sampled at a pixel without ever making a full mask.
    Logits(Vec<f32>),
    /// Full masks, one bit a pixel, row-major, least significant bit first, `[B, ceil(H * W / 8)]`.
    Bits(Vec<u8>),
}
