//! CPU reference.

use super::{Head, Level, Rules, locations};
use crate::{
    error::Result,
    ops::{
        detect::detection::{
            Detection,
            cpu::{clip, exp, expect_tokens, sigmoid, suppress},
        },
        expect_len,
    },
};
use std::ops::Range;

/// The boxes of one image.
///
/// `parts`: `[P]` the tokens of each part, none for a part that has no token; `size`: height and width of the
/// image within the head's input. The threshold comes first of all here: what it rejects could neither suppress nor
/// displace what it accepts, so the boxes are those of the order above.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn detect(
    head: &Head,
    parts: &[Range<usize>],
    levels: &[Level],
    size: [usize; 2],
    rules: &Rules,
    threshold: f32,
) -> Result<Vec<Detection>> {
    let scores = scores(head, parts, rules.pre_nms)?;
    expect_len("atss", "box_regression [A, 4]", head.box_regression.len(), 4 * head.centerness.len())?;
    let found: Vec<Detection> = candidates(&scores, parts.len(), levels, rules.top_n, threshold)?
        .into_iter()
        .map(|index| {
            let (location, part) = (index / parts.len(), index % parts.len());
            let (regression, _) = head.box_regression.as_chunks::<4>();
            let corners = decode(regression[location], anchor(levels, location), rules.box_weights, size);
            Detection { location, part, score: scores[index], corners }
        })
        .collect();
    Ok(suppress(&found, rules.nms, rules.max_det))
}

/// The score of every location and part, `[A, P]`; 0 where there is no candidate.
///
/// # Errors
/// As [`detect`].
pub fn scores(head: &Head, parts: &[Range<usize>], pre_nms: f32) -> Result<Vec<f32>> {
    let tokens = head.token_logits.len() / head.centerness.len().max(1);
    expect_len("atss", "token_logits [A, L]", head.token_logits.len(), tokens * head.centerness.len())?;
    expect_tokens("atss", parts, tokens)?;
    let mut scores = Vec::with_capacity(head.centerness.len() * parts.len());
    for (logits, &centerness) in head.token_logits.chunks_exact(tokens.max(1)).zip(head.centerness) {
        let centerness = sigmoid(centerness);
        scores.extend(parts.iter().map(|part| {
            let sum: f32 = logits[part.clone()].iter().map(|&x| sigmoid(x)).sum();
            let probability = sum / part.len() as f32;
            if probability > pre_nms { (probability * centerness).sqrt() } else { 0.0 }
        }));
    }
    Ok(scores)
}

/// The indices into `scores` (`[A, P]`) of each level's `top_n` largest above `threshold`, ascending.
///
/// # Errors
/// As [`detect`].
pub fn candidates(
    scores: &[f32],
    parts: usize,
    levels: &[Level],
    top_n: usize,
    threshold: f32,
) -> Result<Vec<usize>> {
    expect_len("atss", "scores [A, P]", scores.len(), locations(levels) * parts)?;
    let (mut all, mut begin) = (vec![], 0);
    for level in levels {
        let end = begin + level.rows * level.columns * parts;
        let passes = |&i: &usize| scores[i] > threshold.max(0.0);
        let mut chosen: Vec<usize> = (begin..end).filter(passes).collect();
        if chosen.len() > top_n {
            chosen.select_nth_unstable_by(top_n, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            chosen.truncate(top_n);
            chosen.sort_unstable();
        }
        all.extend(chosen);
        begin = end;
    }
    Ok(all)
}

/// Centre x, y and side of a location's anchor.
pub fn anchor(levels: &[Level], location: usize) -> [f32; 3] {
    let (level, row, column) = super::locate(levels, location).expect("the location lies below A");
    let Level { stride, anchor, .. } = levels[level];
    let center = |i: usize| (stride as f32 - 1.0) / 2.0 + (i * stride) as f32;
    [center(column), center(row), anchor as f32]
}

/// The box of one location, clipped to an image of `size` (height, width).
pub fn decode(delta: [f32; 4], [cx, cy, side]: [f32; 3], weights: [f32; 4], size: [usize; 2]) -> [f32; 4] {
    const LARGEST: f32 = 4.1351666; // ln(1000 / 16)
    let center = |center: f32, i: usize| delta[i] / weights[i] * side + center;
    let reach = |i: usize| 0.5 * (exp((delta[i] / weights[i]).min(LARGEST)) * side - 1.0);
    let (x, y, rx, ry) = (center(cx, 0), center(cy, 1), reach(2), reach(3));
    let [height, width] = size;
    [clip(x - rx, width), clip(y - ry, height), clip(x + rx, width), clip(y + ry, height)]
}
