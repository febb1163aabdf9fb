//! Pictures of the results: the ratios of the table, and how cost grows.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const GIT: RGBColor = RGBColor(0xb0, 0xb0, 0xb0);
const FONT: &str = "sans-serif";

/// A bar for each row's ratio of times, against a full bar that stands for git, and a mark for the aim.
pub fn ratios(file: &Path, rows: &[(&str, f64, Option<f64>)]) -> Result<()> {
    let height = 60 + 30 * rows.len() as u32;
    let area = SVGBackend::new(file, (960, height)).into_drawing_area();
    area.fill(&WHITE).context("cannot draw")?;
    let text = |size: u32| (FONT, size).into_font().color(&BLACK);
    area.draw_text("wall time, git's = 1 (grey); the tick is the aim", &text(16), (10, 12)).context("cannot draw")?;
    // Names to the left of this, bars to the right.
    let (left, width) = (520, 380.0);
    for (index, (name, ratio, aim)) in rows.iter().enumerate() {
        let top = 46 + 30 * index as i32;
        let x = |share: f64| left + (share * width).round() as i32;
        let bar = |to: f64, color: RGBColor| Rectangle::new([(left, top), (x(to), top + 18)], color.filled());
        area.draw_text(name, &text(14), (10, top + 3)).context("cannot draw")?;
        area.draw(&bar(1.0, GIT)).context("cannot draw")?;
        area.draw(&bar(ratio.min(1.1), OURS)).context("cannot draw")?;
        if let Some(aim) = aim {
            let tick = PathElement::new(vec![(x(*aim), top - 3), (x(*aim), top + 21)], BLACK.stroke_width(2));
            area.draw(&tick).context("cannot draw")?;
        }
        area.draw_text(&format!("{ratio:.2}"), &text(14), (x(1.0) + 8, top + 3)).context("cannot draw")?;
    }
    area.present().with_context(|| format!("cannot write '{}'", file.display()))
}

/// Two lines over sizes, both scales logarithmic: milliseconds of ours and of git.
pub fn growth(file: &Path, title: &str, unit: &str, points: &[(usize, f64, f64)]) -> Result<()> {
    let area = SVGBackend::new(file, (640, 400)).into_drawing_area();
    area.fill(&WHITE).context("cannot draw")?;
    let (first, last) = (points[0].0 as f64, points[points.len() - 1].0 as f64);
    let times = points.iter().flat_map(|(_, ours, git)| [*ours, *git]);
    let (low, high) = times.fold((f64::MAX, 0.0), |(low, high), time| (time.min(low), time.max(high)));
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 18))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((first..last).log_scale(), (low / 2.0..high * 2.0).log_scale())
        .context("cannot draw")?;
    chart
        .configure_mesh()
        .x_desc(unit)
        .y_desc("milliseconds")
        .x_label_formatter(&|size| size.to_string())
        .y_label_formatter(&|time| time.to_string())
        .draw()
        .context("cannot draw")?;
    for (label, color, ours) in [("this program", OURS, true), ("git", GIT, false)] {
        let line = points.iter().map(|(size, mine, gits)| (*size as f64, if ours { *mine } else { *gits }));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(3)).point_size(4))
            .context("cannot draw")?
            .label(label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.filled())
        .border_style(BLACK)
        .draw()
        .context("cannot draw")?;
    area.present().with_context(|| format!("cannot write '{}'", file.display()))
}
