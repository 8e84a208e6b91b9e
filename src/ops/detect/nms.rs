//! Non-maximum suppression: of two boxes of one label that overlap too much, the weaker one goes.
//!
//! Greedy by descending score. IoU counts pixels as GLIP does: a box from x1 to x2 is x2 - x1 + 1 wide.

/// Intersection over union of two boxes x1, y1, x2, y2 whose corners are pixels that belong to them.
pub fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |[x1, y1, x2, y2]: [f32; 4]| (x2 - x1 + 1.0) * (y2 - y1 + 1.0);
    let width = (a[2].min(b[2]) - a[0].max(b[0]) + 1.0).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1]) + 1.0).max(0.0);
    let shared = width * height;
    shared / (area(a) + area(b) - shared)
}

/// CPU reference.
pub mod cpu {
    use super::iou;
    use crate::{error::Result, ops::expect_len};

    /// The boxes that survive, ascending.
    ///
    /// `corners`: `[B]` x1, y1, x2, y2; `scores`: `[B]`; `labels`: `[B]`; a box goes if its IoU with a stronger survivor
    /// of its label exceeds `threshold`. At equal scores the lower index is the stronger.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn nms(corners: &[[f32; 4]], scores: &[f32], labels: &[usize], threshold: f32) -> Result<Vec<usize>> {
        expect_len("nms", "scores [B]", scores.len(), corners.len())?;
        expect_len("nms", "labels [B]", labels.len(), corners.len())?;
        let mut order: Vec<usize> = (0..corners.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut kept: Vec<usize> = vec![];
        for b in order {
            let beaten = |&k: &usize| labels[k] == labels[b] && iou(corners[k], corners[b]) > threshold;
            if !kept.iter().any(beaten) {
                kept.push(b);
            }
        }
        kept.sort_unstable();
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::nms, iou};

    #[test]
    fn iou_counts_pixels() {
        assert_eq!(iou([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]), 2.0 / 6.0);
        assert_eq!(iou([0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0]), 0.0);
    }

    #[test]
    fn the_stronger_of_one_label_wins() {
        let boxes =
            [[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [0.0, 0.0, 9.0, 9.0], [50.0, 0.0, 59.0, 9.0]];
        let labels = [0, 0, 1, 0];
        assert_eq!(nms(&boxes, &[0.5, 0.6, 0.4, 0.1], &labels, 0.6).unwrap(), [1, 2, 3]);
        assert_eq!(
            nms(&boxes, &[0.6, 0.6, 0.4, 0.1], &labels, 0.6).unwrap(),
            [0, 2, 3],
            "ties go to the lower index"
        );
        assert_eq!(nms(&boxes, &[0.5, 0.6, 0.4, 0.1], &labels, 0.95).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        let boxes = [[0.0, 0.0, 9.0, 9.0], [3.0, 0.0, 12.0, 9.0], [6.0, 0.0, 15.0, 9.0]];
        assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], &[0; 3], 0.5).unwrap(), [0, 2]);
    }
}
