//! CPU reference.

use super::{Rules, STAND_IN};
use crate::{
    error::Result,
    ops::{
        detect::{
            detection::{
                Detection,
                cpu::{sigmoid, suppress as strongest},
            },
            queries,
        },
        expect_len,
    },
};

/// The boxes of one pair, strongest first; their location is the query, their part 0.
///
/// `logits`: `[Q]`; `presence`: the name's in the view, if the decoder tells it; `boxes`: `[Q, 4]`; `input`, `size`: height and
/// width of the decoder's input, and of the image within it.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn detect(
    logits: &[f32],
    presence: Option<f32>,
    boxes: &[f32],
    input: [usize; 2],
    size: [usize; 2],
    rules: &Rules,
    threshold: f32,
) -> Result<Vec<Detection>> {
    expect_len("concepts", "boxes [Q, 4]", boxes.len(), 4 * logits.len())?;
    let presence = probability_of(presence, rules);
    let probability = |x: f32| if rules.probabilities { x } else { sigmoid(x) };
    let (boxes, _) = boxes.as_chunks::<4>();
    let mut found = vec![];
    for (location, (&logit, &of)) in logits.iter().zip(boxes).enumerate() {
        let score = probability(logit) * presence;
        if score > threshold {
            let corners = queries::cpu::corners(of, rules.form, input, size);
            found.push(Detection { location, part: 0, score, corners });
        }
    }
    Ok(strongest(&found, 1.0, rules.max_det))
}

/// How likely the name is anywhere in the view; 1 where the decoder does not tell.
pub fn probability_of(presence: Option<f32>, rules: &Rules) -> f32 {
    presence.map_or(1.0, |x| if rules.probabilities { x } else { sigmoid(x) })
}

/// Which of one view's M boxes remain, strongest first.
///
/// `scores`: `[M]`, by name, within a name by descending score; `masks`: `[M, ceil(H W / 8)]`, bits.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn suppress(scores: &[f32], masks: &[u8], rules: &Rules) -> Result<Vec<usize>> {
    let bytes = masks.len() / scores.len().max(1);
    expect_len("concepts", "masks [M, bytes]", masks.len(), bytes * scores.len())?;
    let mask = |r: usize| &masks[r * bytes..][..bytes];
    let areas: Vec<u32> = (0..scores.len()).map(|r| area(mask(r))).collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut kept: Vec<usize> = vec![];
    for r in order {
        let beaten = |&k: &usize| {
            let [a, b] = [areas[k], areas[r]];
            // No overlap is larger than the smaller mask, so most need not be counted.
            exceeds(a.min(b), a, b, rules.nms) && exceeds(shared(mask(k), mask(r)), a, b, rules.nms)
        };
        if !kept.iter().any(beaten) {
            kept.push(r);
        }
    }
    if let Some(last) = kept.get(rules.max_det - 1).map(|&r| scores[r]) {
        kept.retain(|&r| scores[r] >= last);
    }
    Ok(kept)
}

/// Whether the IoU of masks of `a` and `b` pixels that share so many exceeds `nms`.
fn exceeds(shared: u32, a: u32, b: u32, nms: f32) -> bool {
    f64::from(shared) > f64::from(nms) * (f64::from(a) + f64::from(b) - f64::from(shared))
}

/// Pixels of a mask.
pub fn area(mask: &[u8]) -> u32 {
    shared(mask, mask)
}

fn shared(a: &[u8], b: &[u8]) -> u32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = |(&a, &b): (&[u8; 8], &[u8; 8])| (u64::from_le_bytes(a) & u64::from_le_bytes(b)).count_ones();
    let whole: u32 = a.iter().zip(b).map(words).sum();
    whole + a_rest.iter().zip(b_rest).map(|(a, b)| (a & b).count_ones()).sum::<u32>()
}

/// What stands in for a box's feature. `corners`: x1, y1, x2, y2 in pixels of the view, which has so many `pixels`; `area`: of
/// the mask.
pub fn stand_in(score: f32, presence: f32, corners: [f32; 4], area: u32, pixels: usize) -> [f32; STAND_IN] {
    let [x1, y1, x2, y2] = corners;
    let room = (x2 - x1) * (y2 - y1);
    let (of_view, of_box) = (area as f32 / pixels as f32, if room > 0.0 { area as f32 / room } else { 0.0 });
    [score, presence, of_view, of_box]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::detect::queries::Form;

    const RULES: Rules = Rules { probabilities: false, form: Form::Center, nms: 0.5, max_det: 9 };
    const SIZE: [usize; 2] = [80, 80];

    #[test]
    fn scores_are_products_and_boxes_of_three_forms() {
        let logits = [0.0, 3f32.ln(), -50.0];
        let boxes = [0.5, 0.5, 0.5, 0.25].repeat(3);
        let find = |presence, boxes: &[f32], rules: &Rules| {
            detect(&logits, presence, boxes, SIZE, [80, 60], rules, 0.2).unwrap()
        };
        let found = find(Some(0.0), &boxes, &RULES);
        assert_eq!(found.iter().map(|d| d.location).collect::<Vec<_>>(), [1, 0]);
        assert!((found[0].score - 0.375).abs() < 1e-6 && (found[1].score - 0.25).abs() < 1e-6);
        assert_eq!(found[0].corners, [20.0, 30.0, 59.0, 50.0], "clipped to the image's 60 columns");
        assert!((find(None, &boxes, &RULES)[0].score - 0.75).abs() < 1e-6);

        let corners = [0.25, 0.375, 0.75, 0.625].repeat(3);
        let pixels: Vec<f32> = corners.iter().map(|x| 80.0 * x).collect();
        let likely = Rules { probabilities: true, form: Form::Corners, max_det: 1, ..RULES };
        let found = detect(&[0.25, 0.5, 0.75], Some(0.5), &corners, SIZE, SIZE, &likely, 0.0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].location, found[0].score), (2, 0.375));
        assert_eq!(found[0].corners, [20.0, 30.0, 60.0, 50.0]);
        let rules = Rules { form: Form::CornerPixels, ..RULES };
        assert_eq!(find(None, &pixels, &rules)[0].corners, [20.0, 30.0, 59.0, 50.0]);
        assert!(detect(&logits, None, &boxes[..8], SIZE, SIZE, &RULES, 0.0).is_err());
    }

    #[test]
    fn the_stronger_mask_wins_and_an_empty_one_beats_nothing() {
        // 12 pixels: 0 and 1 share 4 of 8, 2 is like 1, 3 and 4 are empty.
        let masks = [[0x3f, 0], [0xfc, 0], [0xfc, 0], [0, 0], [0, 0]].concat();
        let scores = [0.5, 0.9, 0.9, 0.3, 0.3];
        let keep = |nms, max_det| suppress(&scores, &masks, &Rules { nms, max_det, ..RULES }).unwrap();
        assert_eq!(keep(0.5, 9), [1, 0, 3, 4], "IoU 0.5 is not above 0.5; ties go to the first");
        assert_eq!(keep(0.49, 9), [1, 3, 4]);
        assert_eq!(keep(1.0, 9), [1, 2, 0, 3, 4]);
        assert_eq!(keep(0.0, 9), [1, 3, 4]);
        assert_eq!(keep(1.0, 1), [1, 2], "ties with the last remain");
        assert!(suppress(&[], &[], &RULES).unwrap().is_empty());
        assert!(suppress(&scores, &masks[1..], &RULES).is_err());
    }

    #[test]
    fn areas_of_any_length() {
        assert_eq!(area(&[0xff; 19]), 152);
        assert_eq!(shared(&[0xf0; 17], &[0x3c; 17]), 34);
        assert_eq!(stand_in(0.5, 0.25, [2.0, 2.0, 6.0, 4.0], 6, 24), [0.5, 0.25, 0.25, 0.75]);
        assert_eq!(stand_in(0.5, 1.0, [2.0; 4], 6, 24)[3], 0.0, "a box without area");
    }
}
