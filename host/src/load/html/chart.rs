//! One chart as inline SVG: axes with units, round ticks, a grid, and what is drawn between them.

use std::fmt::Write as _;

use crate::load::words::number_text;

/// Size of a chart in its own units, which are pixels on a page of full width.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 46.0;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// Quantiles, by the logarithm of 1/(1 - quantile), up to this power of ten.
    Quantile(u32),
}

impl Scale {
    /// A linear scale that ends at a round value at or above `max`.
    pub(super) fn up_to(max: f64) -> Self {
        let step = step(max);
        Self::Linear((max / step).ceil().max(1.0) * step)
    }

    /// Where a value is, from 0 to 1.
    fn share(self, value: f64) -> f64 {
        match self {
            Self::Linear(max) => value / max,
            Self::Quantile(powers) => -(1.0 - value).log10() / f64::from(powers),
        }
    }

    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Linear(max) => {
                let step = step(max);
                let digits = decimals(step);
                let count = (max / step).round();
                (0..=20_u32)
                    .map(f64::from)
                    .take_while(|number| *number <= count)
                    .map(|number| (number * step, number_text(number * step, digits)))
                    .collect()
            }
            Self::Quantile(powers) => {
                let nines = |power: u32| match power {
                    0 => (0.0, "min".to_owned()),
                    1 => (0.9, "p90".to_owned()),
                    2 => (0.99, "p99".to_owned()),
                    power => {
                        let quantile = 1.0 - 10_f64.powi(-i32::try_from(power).unwrap_or(i32::MAX));
                        (quantile, format!("p99.{}", "9".repeat(power as usize - 2)))
                    }
                };
                let mut ticks: Vec<(f64, String)> = (0..=powers).map(nines).collect();
                ticks.insert(1, (0.5, "p50".to_owned()));
                ticks
            }
        }
    }
}

/// A round distance between ticks: four to eight of them.
fn step(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((max / 4.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0].map(|factor| factor * power);
    steps.into_iter().rev().find(|step| max / step >= 4.0).unwrap_or(power)
}

fn decimals(step: f64) -> usize {
    (0..6)
        .find(|digits| {
            let scaled = step * 10_f64.powi(i32::try_from(*digits).unwrap_or(0));
            (scaled - scaled.round()).abs() < 1e-6
        })
        .unwrap_or(6)
}

/// A chart under construction.
pub(super) struct Chart {
    x: Scale,
    y: Scale,
    body: String,
}

impl Chart {
    /// An empty one with axes and grid.
    pub(super) fn new(x: Scale, x_label: &str, y: Scale, y_label: &str) -> Self {
        let mut chart = Self { x, y, body: String::new() };
        for (value, text) in y.ticks() {
            let at = chart.y_at(value);
            chart.push(format_args!(
                "<line class=grid x1={LEFT} x2={:.1} y1={at:.1} y2={at:.1} /><text class=tick text-anchor=end x={:.1} y={:.1}>{text}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            ));
        }
        let floor = HEIGHT - BOTTOM;
        for (value, text) in x.ticks() {
            let at = chart.x_at(value);
            // The last label ends with the axis, so that none is cut off.
            let (anchor, text_x) = if at > WIDTH - 30.0 { ("end", WIDTH) } else { ("middle", at) };
            chart.push(format_args!(
                "<line class=axis x1={at:.1} x2={at:.1} y1={floor:.1} y2={:.1} /><text class=tick text-anchor={anchor} x={text_x:.1} y={:.1}>{text}</text>",
                floor + 5.0,
                floor + 19.0
            ));
        }
        let (middle_x, middle_y) = ((LEFT + WIDTH - RIGHT) / 2.0, (TOP + floor) / 2.0);
        chart.push(format_args!(
            "<line class=axis x1={LEFT} x2={:.1} y1={floor:.1} y2={floor:.1} />\
             <text class=label text-anchor=middle x={middle_x:.1} y={:.1}>{x_label}</text>\
             <text class=label text-anchor=middle transform=\"translate(14 {middle_y:.1}) rotate(-90)\">{y_label}</text>",
            WIDTH - RIGHT,
            HEIGHT - 6.0
        ));
        chart
    }

    fn push(&mut self, what: std::fmt::Arguments<'_>) {
        self.body.write_fmt(what).expect("writing to a string cannot fail");
    }

    fn x_at(&self, value: f64) -> f64 {
        LEFT + self.x.share(value).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        let floor = HEIGHT - BOTTOM;
        floor - self.y.share(value).clamp(0.0, 1.0) * (floor - TOP)
    }

    /// Dots, small and transparent: there may be thousands.
    pub(super) fn dots(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        self.push(format_args!("<g class={class}>"));
        for (x, y) in points {
            let (x, y) = (self.x_at(x), self.y_at(y));
            self.push(format_args!("<circle cx={x:.1} cy={y:.1} r=1.6 />"));
        }
        self.push(format_args!("</g>"));
    }

    /// A line through the points, in order.
    pub(super) fn line(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<String> =
            points.map(|(x, y)| format!("{:.1},{:.1}", self.x_at(x), self.y_at(y))).collect();
        self.push(format_args!("<polyline class={class} points=\"{}\" />", points.join(" ")));
    }

    /// A vertical mark with a few words beside its top.
    pub(super) fn mark(&mut self, x: f64, y: f64, text: &str) {
        let (x, y) = (self.x_at(x), self.y_at(y));
        let (anchor, text_x) = if x > WIDTH * 0.85 { ("end", x) } else { ("middle", x - 4.0) };
        let text_y = y - 9.0;
        self.push(format_args!(
            "<circle class=mark cx={x:.1} cy={y:.1} r=3.5 /><text class=value text-anchor={anchor} x={text_x:.1} y={text_y:.1}>{text}</text>"
        ));
    }

    /// A bar from one value to another, with words that show when it is pointed at.
    pub(super) fn bar(&mut self, x: (f64, f64), y: (f64, f64), color: &str, title: &str) {
        let (left, right) = (self.x_at(x.0), self.x_at(x.1));
        let (low, high) = (self.y_at(y.0), self.y_at(y.1));
        let (gap, width) = (((right - left) * 0.08).min(1.0), right - left);
        self.push(format_args!(
            "<rect x={:.2} y={high:.2} width={:.2} height={:.2} fill=\"{color}\"><title>{title}</title></rect>",
            left + gap / 2.0,
            (width - gap).max(0.3),
            low - high
        ));
    }

    /// The finished chart; `name` is what a screen reader says.
    pub(super) fn svg(self, name: &str) -> String {
        let body = self.body;
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{name}\">{body}</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for max in [0.003, 0.7, 1.0, 7.3, 99.0, 1234.0, 1e6] {
            let scale = Scale::up_to(max);
            let Scale::Linear(end) = scale else { unreachable!() };
            let ticks = scale.ticks();
            assert!(end >= max && (4..=11).contains(&ticks.len()), "{max}: {ticks:?}");
            assert!((ticks.last().unwrap().0 / end - 1.0).abs() < 1e-9, "{max}: {ticks:?}");
        }
        let texts: Vec<String> = Scale::up_to(1234.0).ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0", "250", "500", "750", "1,000", "1,250"]);
        let texts: Vec<String> = Scale::Quantile(3).ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["min", "p50", "p90", "p99", "p99.9"]);
    }
}
