//! The picture: panels with lines or bars, as SVG by hand.

use std::fmt::Write as _;

use crate::report::short;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
/// Ours first; the rest from dark to light.
const COLOURS: [&str; 5] = ["#d9480f", "#495057", "#1971c2", "#2f9e44", "#adb5bd"];

/// Points of one subject.
#[derive(Debug)]
pub(crate) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points }
    }
}

#[derive(Debug)]
enum Content {
    /// Both axes logarithmic.
    Lines { across: String, curves: Vec<Curve> },
    /// One logarithmic axis.
    Bars(Vec<(String, f64)>),
}

/// One drawing of the picture.
#[derive(Debug)]
pub(crate) struct Panel {
    title: String,
    unit: String,
    content: Content,
}

impl Panel {
    pub(crate) fn lines(title: &str, across: &str, unit: &str, curves: Vec<Curve>) -> Self {
        let content = Content::Lines { across: across.to_owned(), curves };
        Self { title: title.to_owned(), unit: unit.to_owned(), content }
    }

    /// Ours is the first bar.
    pub(crate) fn bars(title: &str, unit: &str, bars: Vec<(String, f64)>) -> Self {
        Self { title: title.to_owned(), unit: unit.to_owned(), content: Content::Bars(bars) }
    }
}

/// Draws all panels, two in a row.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2).max(1);
    let (width, height) = (2.0 * WIDTH, crate::measure::count(rows) * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#343a40\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let x = crate::measure::count(index % 2) * WIDTH;
        let y = crate::measure::count(index / 2) * HEIGHT;
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        text(&mut svg, 20.0, 28.0, "start", &panel.title, " font-size=\"14\" font-weight=\"600\"");
        match &panel.content {
            Content::Lines { across, curves } => lines(&mut svg, &panel.unit, across, curves),
            Content::Bars(all) => bars(&mut svg, &panel.unit, all),
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// A logarithmic axis over powers of ten.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 1e-9_f64), |(low, high), value| (low.min(value), high.max(value)));
        let low = low.min(high).log10().floor();
        Self { low, high: high.log10().ceil().max(low + 1.0), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.max(1e-9).log10() - self.low) / (self.high - self.low);
        self.from + part.max(0.0) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        (0..=20)
            .map(move |step| low + f64::from(step))
            .take_while(move |power| *power <= high)
            .map(|power| 10_f64.powf(power))
    }
}

fn lines(svg: &mut String, unit: &str, across: &str, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (left, right, top, bottom) = (64.0, WIDTH - 24.0, 62.0, HEIGHT - 48.0);
    let x = Axis::new(points().map(|point| point.0), left, right);
    let y = Axis::new(points().map(|point| point.1), bottom, top);
    for tick in y.ticks() {
        rule(svg, (left, y.place(tick)), (right, y.place(tick)));
        text(svg, left - 8.0, y.place(tick) + 4.0, "end", &amount(tick), "");
    }
    for tick in x.ticks() {
        rule(svg, (x.place(tick), top), (x.place(tick), bottom));
        text(svg, x.place(tick), bottom + 18.0, "middle", &amount(tick), "");
    }
    text(svg, left - 8.0, top - 10.0, "end", unit, " fill=\"#868e96\"");
    text(svg, right, bottom + 36.0, "end", across, " fill=\"#868e96\"");
    let mut legend = left + 8.0;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let path: Vec<String> =
            curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x.place(*a), y.place(*b))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>",
            path.join(" ")
        );
        for (a, b) in &curve.points {
            let (a, b) = (x.place(*a), y.place(*b));
            let _ = writeln!(svg, "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
        let _ =
            writeln!(svg, "<rect x=\"{legend:.0}\" y=\"43\" width=\"12\" height=\"4\" fill=\"{colour}\"/>");
        text(svg, legend + 17.0, 49.0, "start", &curve.name, "");
        legend += 40.0 + 6.4 * crate::measure::count(curve.name.chars().count());
    }
}

fn bars(svg: &mut String, unit: &str, all: &[(String, f64)]) {
    let (left, right, top, bottom) = (190.0, WIDTH - 80.0, 50.0, HEIGHT - 48.0);
    let x = Axis::new(all.iter().map(|bar| bar.1), left, right);
    for tick in x.ticks() {
        rule(svg, (x.place(tick), top), (x.place(tick), bottom));
        text(svg, x.place(tick), bottom + 18.0, "middle", &amount(tick), "");
    }
    text(svg, right, bottom + 36.0, "end", unit, " fill=\"#868e96\"");
    let step = (bottom - top) / crate::measure::count(all.len().max(1));
    for (index, (name, value)) in all.iter().enumerate() {
        let (y, thick) = (top + step * (crate::measure::count(index) + 0.18), step * 0.64);
        let (end, colour) = (
            x.place(*value),
            if name.contains("spark-injector") || name.contains("init-sync") {
                COLOURS[0]
            } else {
                COLOURS[4]
            },
        );
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{thick:.1}\" rx=\"3\" fill=\"{colour}\"/>",
            (end - left).max(1.0)
        );
        text(svg, left - 8.0, y + thick / 2.0 + 4.0, "end", name, "");
        text(svg, end + 6.0, y + thick / 2.0 + 4.0, "start", &short(*value), " font-weight=\"600\"");
    }
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#e9ecef\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str, more: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{words}</text>");
}

/// A power of ten as people write it.
fn amount(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{value}"),
    }
}
