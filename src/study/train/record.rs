//! What remains of a training to look at: a table and a curve.

use crate::study::train::{Epoch, best};
use plotters::prelude::*;

/// The epochs as CSV, with a header.
pub fn table(history: &[Epoch]) -> String {
    let mut text = String::from("epoch,loss,val_loss,val_miou,null_weight\n");
    for Epoch { epoch, loss, val_loss, val_miou, null } in history {
        text += &format!("{epoch},{loss:.6},{val_loss:.6},{val_miou:.6},{null:.6}\n");
    }
    text
}

const LOSS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const VAL_LOSS: RGBColor = RGBColor(0xe0, 0x7b, 0x39);
const MIOU: RGBColor = RGBColor(0x2f, 0x9e, 0x5f);

/// Losses and validation mIoU over the epochs as an SVG picture. `title`: above it.
pub fn curve(history: &[Epoch], title: &str) -> String {
    let mut svg = String::new();
    draw(history, title, &mut svg).expect("memory takes all");
    svg
}

fn draw(
    history: &[Epoch],
    title: &str,
    svg: &mut String,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let root = SVGBackend::with_string(svg, (900, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let losses = history.iter().flat_map(|e| [e.loss, e.val_loss]);
    let top = losses.fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(1.0..history.len().max(2) as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("epoch")
        .y_desc("loss, mIoU")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()?;
    let mut line = |name: &str, color: RGBColor, value: fn(&Epoch) -> f64| {
        let points = history.iter().map(|e| (e.epoch as f64, value(e)));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2))).map(|series| {
            series
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        })
    };
    line("loss", LOSS, |e| e.loss)?;
    line("validation loss", VAL_LOSS, |e| e.val_loss)?;
    line("validation mIoU", MIOU, |e| e.val_miou)?;
    if let Some(best) = best(history) {
        let at = (best.epoch as f64, best.val_miou);
        chart.draw_series([Circle::new(at, 5, MIOU.filled())])?.label(format!(
            "best epoch: {}, mIoU {:.1} %",
            best.epoch,
            100.0 * best.val_miou
        ));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.9)).border_style(BLACK.mix(0.3)).draw()?;
    root.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Vec<Epoch> {
        let epoch =
            |epoch| Epoch { epoch, loss: 1.0 / epoch as f64, val_loss: 0.5, val_miou: 0.25, null: 10.0 };
        (1..=3).map(epoch).collect()
    }

    #[test]
    fn a_row_an_epoch() {
        let table = table(&history());
        assert_eq!(table.lines().count(), 4);
        assert_eq!(table.lines().nth(2), Some("2,0.500000,0.500000,0.250000,10.000000"));
    }

    #[test]
    fn a_picture_of_any_length() {
        for history in [&history()[..], &history()[..1], &[]] {
            let svg = curve(history, "Chair < 3");
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert_eq!(svg.contains("best epoch: 1"), !history.is_empty());
            assert!(svg.contains("Chair &lt; 3"));
        }
    }
}
