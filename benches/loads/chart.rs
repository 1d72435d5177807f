//! Growth curves as pictures.

use plotters::prelude::*;
use std::path::Path;

/// A curve: its name, and its points.
pub(crate) type Curve = (String, Vec<(f64, f64)>);

/// Draws curves over a logarithmic axis.
pub(crate) fn draw(file: &Path, title: &str, [x, y]: [&str; 2], curves: &[Curve]) {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.0).fold(0.0, f64::max);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let area = SVGBackend::new(file, (720, 420)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.1)
        .unwrap();
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(WHITE)
        .draw()
        .unwrap();
    let colours = [
        RGBColor(0, 90, 181),
        RGBColor(220, 50, 32),
        RGBColor(64, 145, 64),
        RGBColor(130, 80, 160),
    ];
    for ((name, points), colour) in curves.iter().zip(colours) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)
            .unwrap()
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .unwrap();
    area.present().unwrap();
}
