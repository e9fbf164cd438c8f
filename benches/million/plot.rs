//! Panels side by side as SVG, with axes, ticks and a legend. Text uses the reader's sans-serif font. Colour-blind
//! readers can distinguish the colours, and each series has its own mark.
//!
//! Does not know: the meaning of the values.

use std::fmt::Write;

/// How values lie on the vertical axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten.
    Log,
}

/// A line.
pub struct Series {
    pub name: String,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// See [`Panel::guide`].
#[derive(Clone, Copy)]
pub enum Guide {
    None,
    /// A line of growth in proportion to x.
    Slope,
    /// A value, and what it is.
    Level(f64, &'static str),
}

/// One plot; x is always logarithmic.
pub struct Panel {
    pub title: &'static str,
    /// A value of the vertical axis with its unit.
    pub label: fn(f64) -> String,
    pub scale: Scale,
    pub series: Vec<Series>,
    /// A faint line to compare with.
    pub guide: Guide,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const TOP: f64 = 92.0;
const GAP: f64 = 84.0;
const BELOW: f64 = 58.0;
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
const INK: &str = "#1b1f24";
const FAINT: &str = "#5b6570";
const GRID: &str = "#dfe3e8";

/// The axis of one panel: values to pixels.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>, scale: Scale) -> Self {
        let (least, most) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), v| (least.min(v), most.max(v)));
        match scale {
            Scale::Linear => {
                let step = nice(most / 4.0);
                Self { scale, from: 0.0, to: (most / step).ceil() * step }
            }
            // Whole powers of ten, without an empty one for a tiny excess.
            Scale::Log => Self {
                scale,
                from: 10_f64.powf((least.log10() + 0.01).floor()),
                to: 10_f64.powf((most.log10() - 0.01).ceil()),
            },
        }
    }

    /// 0 at the axis' begin, 1 at its end.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).log10() / (self.to / self.from).log10(),
        }
    }

    /// Values with a label, and values with a line only.
    fn ticks(&self) -> (Vec<f64>, Vec<f64>) {
        match self.scale {
            Scale::Linear => {
                let step = nice(self.to / 4.5);
                ((0..=(self.to / step).round() as u32).map(|n| f64::from(n) * step).collect(), Vec::new())
            }
            Scale::Log => {
                let decades = (self.to / self.from).log10().round() as i32;
                let major: Vec<f64> = (0..=decades).map(|n| self.from * 10_f64.powi(n)).collect();
                let minor = major.iter().take(decades as usize).flat_map(|d| (2..10).map(move |n| d * f64::from(n)));
                (major.clone(), minor.collect())
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, about `step`.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= step * 0.999).unwrap_or(10.0);
    times * power
}

/// `1500000` → `1.5M`.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => v.to_string(),
    }
}

/// A whole SVG document.
pub fn draw(title: &str, note: &str, x_label: &str, panels: &[Panel]) -> String {
    let count = panels.len() as f64;
    let (width, height) = (LEFT + count * WIDTH + (count - 1.0) * GAP + 24.0, TOP + HEIGHT + BELOW);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <title>{title}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"46\" fill=\"{FAINT}\">{note}</text>\n"
    );
    let names = panels.first().map(|panel| panel.series.iter().map(|series| &series.name));
    let mut x = width - 24.0 - names.clone().map_or(0.0, |names| names.len() as f64 * 92.0);
    for (n, name) in names.into_iter().flatten().enumerate() {
        let _ = write!(out, "<path d=\"M{x} 21h26\" stroke=\"{}\" stroke-width=\"2\"/>", COLOURS[n % COLOURS.len()]);
        mark(&mut out, n, x + 13.0, 21.0);
        let _ = writeln!(out, "<text x=\"{}\" y=\"25\">{name}</text>", x + 32.0);
        x += 92.0;
    }
    for (n, panel) in panels.iter().enumerate() {
        draw_panel(&mut out, panel, LEFT + n as f64 * (WIDTH + GAP), x_label);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_panel(out: &mut String, panel: &Panel, left: f64, x_label: &str) {
    let values = || panel.series.iter().flat_map(|series| &series.points);
    let (xs, ys) = (
        Axis::around(values().map(|point| point.0), Scale::Log),
        Axis::around(values().map(|point| point.1), panel.scale),
    );
    let bottom = TOP + HEIGHT;
    let (at_x, at_y) = (|v: f64| left + xs.place(v) * WIDTH, |v: f64| bottom - ys.place(v) * HEIGHT);
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-size=\"14\" font-weight=\"600\">{}</text>",
        TOP - 16.0,
        panel.title
    );
    let line = |out: &mut String, from: (f64, f64), to: (f64, f64), width: f64| {
        let _ = writeln!(
            out,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{GRID}\" stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    };
    let (major, minor) = ys.ticks();
    for v in minor {
        line(out, (left, at_y(v)), (left + WIDTH, at_y(v)), 0.4);
    }
    for v in major {
        line(out, (left, at_y(v)), (left + WIDTH, at_y(v)), 1.0);
        let (x, y) = (left - 8.0, at_y(v) + 4.0);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", (panel.label)(v));
    }
    for v in xs.ticks().0 {
        line(out, (at_x(v), TOP), (at_x(v), bottom), 1.0);
        let (x, y) = (at_x(v), bottom + 18.0);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", short(v));
    }
    let _ = writeln!(out, "<path d=\"M{left} {TOP}V{bottom}H{}\" fill=\"none\" stroke=\"{FAINT}\"/>", left + WIDTH);
    let (x, y) = (left + WIDTH / 2.0, bottom + 40.0);
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"{FAINT}\">{x_label}</text>");
    match panel.guide {
        Guide::None => {}
        Guide::Slope => draw_slope(out, panel, &xs, &ys, left),
        Guide::Level(value, what) => {
            let y = at_y(value);
            let (right, x) = (left + WIDTH, left + WIDTH - 8.0);
            let _ = writeln!(out, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"{FAINT}\" stroke-dasharray=\"3 4\"/>");
            let style = format!("text-anchor=\"end\" fill=\"{FAINT}\" font-size=\"11\"");
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{:.1}\" {style}>{what}</text>", y + 15.0);
        }
    }
    for (n, series) in panel.series.iter().enumerate() {
        let points: Vec<String> =
            series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        let colour = COLOURS[n % COLOURS.len()];
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
            points.join(" ")
        );
        series.points.iter().for_each(|(x, y)| mark(out, n, at_x(*x), at_y(*y)));
        out.push('\n');
    }
}

/// How the first series' last value would have grown in proportion to x: a straight line of slope 1.
fn draw_slope(out: &mut String, panel: &Panel, xs: &Axis, ys: &Axis, left: f64) {
    let Some((x_last, y_last)) = panel.series.first().and_then(|series| series.points.last()).copied() else { return };
    let bottom = TOP + HEIGHT;
    let x_first = (x_last * ys.from / y_last).max(xs.from);
    let place = |x: f64| (left + xs.place(x) * WIDTH, bottom - ys.place(x * y_last / x_last) * HEIGHT);
    let (from, to) = (place(x_first), place(x_last));
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{FAINT}\" stroke-dasharray=\"3 4\"/>",
        from.0, from.1, to.0, to.1
    );
    let (x, y) = place((x_first * x_last).sqrt());
    let style = format!("text-anchor=\"end\" fill=\"{FAINT}\" font-size=\"11\"");
    let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" {style}>in proportion</text>", x - 8.0, y - 6.0);
}

/// A series' own mark: disc, square, triangle, diamond.
fn mark(out: &mut String, series: usize, x: f64, y: f64) {
    let colour = COLOURS[series % COLOURS.len()];
    let path = match series % 4 {
        0 => format!("M{:.1} {y:.1}a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z", x - 3.6),
        1 => format!("M{:.1} {:.1}h6.6v6.6h-6.6z", x - 3.3, y - 3.3),
        2 => format!("M{x:.1} {:.1}l4.4 7.4h-8.8z", y - 4.6),
        _ => format!("M{x:.1} {:.1}l4.4 4.4l-4.4 4.4l-4.4 -4.4z", y - 4.4),
    };
    let _ = write!(out, "<path d=\"{path}\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"0.8\"/>");
}
