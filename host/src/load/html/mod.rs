//! A run as one page of HTML with nothing from elsewhere: figures, outcomes, verification and three charts.

mod chart;
mod series;

use std::fmt::Write as _;

use chart::{Chart, Scale};
use series::Series;

use super::Finished;
use super::report::{Because, Latency, Report};
use super::words::{broken, count, kept, ms, offered, rate};

/// Style and nothing else: no script, no font, no host.
const STYLE: &str = include_str!("style.css");
/// Colours of nodes, told apart on light and on dark ground; a ninth node has the first's again.
const COLORS: [&str; 8] =
    ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5"];

/// The page.
#[must_use]
pub fn page(finished: &Finished) -> String {
    let report = &finished.report;
    let series = Series::of(&finished.closed, report.nodes.len());
    let mut out = String::new();
    out.push_str("<!doctype html>\n<html lang=en><meta charset=utf-8>");
    out.push_str("<meta name=viewport content=\"width=device-width, initial-scale=1\">");
    add(&mut out, format_args!("<title>dseq load {}</title><style>{STYLE}</style><main>", report.run));
    add(&mut out, format_args!("<h1>Load test</h1><p class=sub>{}</p>", escape(&offered(report))));
    out.push_str(&verdict(report));
    out.push_str(&tiles(report));
    if let Some(latency) = &report.latency {
        out.push_str(&latency_over_time(&series));
        out.push_str(&percentile_curve(finished, latency));
        out.push_str(&throughput(report, &series));
    }
    out.push_str("<div class=columns>");
    out.push_str(&outcomes(report));
    out.push_str(&percentiles(report));
    out.push_str("</div>");
    out.push_str(&nodes(report));
    add(
        &mut out,
        format_args!(
            "<footer>Run {} of {}. Latency counts from when a transaction was due to when its node has committed it.</footer></main>\n",
            report.run, report.started
        ),
    );
    out
}

fn add(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("writing to a string cannot fail");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn verdict(report: &Report) -> String {
    let mut out = String::new();
    if let Some(why) = &report.generator.invalid_because {
        add(&mut out, format_args!("<p class=\"verdict bad\"><b>Invalid run:</b> {}.</p>", escape(why)));
    }
    if report.stopped_early {
        out.push_str("<p class=\"verdict note\">The run was stopped before its end.</p>");
    }
    match &report.verification {
        None => out.push_str("<p class=\"verdict bad\">Not verified: the run was ended before.</p>"),
        Some(verification) if verification.is_good() => {
            add(&mut out, format_args!("<p class=\"verdict good\">{}</p>", escape(&kept(verification))));
        }
        Some(verification) => {
            add(
                &mut out,
                format_args!("<div class=\"verdict bad\"><b>{}</b><ul>", escape(&broken(verification))),
            );
            for problem in &verification.examples {
                add(&mut out, format_args!("<li>{}: {}</li>", escape(&problem.node), escape(&problem.what)));
            }
            out.push_str("</ul></div>");
        }
    }
    out
}

fn tiles(report: &Report) -> String {
    let tile = |name: &str, value: String, unit: &str| {
        format!("<div class=tile><span>{name}</span><b>{value}</b><i>{unit}</i></div>")
    };
    let mut out = "<div class=tiles>".to_owned();
    out.push_str(&tile("Committed", rate(report.tx_per_second), "tx/s"));
    out.push_str(&tile("Bytes", rate(report.mb_per_second), "MB/s"));
    if let Some(latency) = &report.latency {
        for (name, value) in [("p50", latency.p50), ("p99", latency.p99), ("Longest", latency.max)] {
            out.push_str(&tile(name, ms(value), "ms"));
        }
    }
    out.push_str("</div>");
    out
}

fn figure(title: &str, legend: &str, svg: &str) -> String {
    format!("<figure><figcaption><b>{title}</b>{legend}</figcaption>{svg}</figure>")
}

fn key(class: &str, text: &str) -> String {
    format!("<span class=key><i class={class}></i>{text}</span>")
}

fn latency_over_time(series: &Series) -> String {
    let mut chart = Chart::new(
        Scale::up_to(series.seconds),
        "seconds since the run began, when the transaction was due",
        Scale::up_to(series.latency_max),
        "latency, ms",
    );
    chart.dots(series.requests.iter().copied(), "dots");
    let line = |of: fn(&series::Bucket) -> f64| {
        series.latency.iter().map(move |bucket| (bucket.seconds, of(bucket)))
    };
    chart.line(line(|bucket| bucket.p50), "p50");
    chart.line(line(|bucket| bucket.p99), "p99");
    let legend = [key("dots", "one transaction"), key("p50", "p50"), key("p99", "p99")].concat();
    figure("Latency over time", &legend, &chart.svg("Latency over time"))
}

fn percentile_curve(finished: &Finished, latency: &Latency) -> String {
    let histogram = &finished.closed.latencies;
    let powers = (1..=6_u32).find(|power| 10_u64.pow(*power) >= histogram.len()).unwrap_or(6);
    let mut chart = Chart::new(
        Scale::Quantile(powers),
        "share of the transactions that were at least as fast",
        Scale::up_to(latency.max),
        "latency, ms",
    );
    let end = 1.0 - 10_f64.powf(-f64::from(powers));
    let steps = 240_u32;
    let quantile = |step: u32| 1.0 - 10_f64.powf(-f64::from(powers) * f64::from(step) / f64::from(steps));
    let value = |quantile| super::report::millis(histogram.value_at_quantile(quantile));
    chart.line((0..=steps).map(|step| (quantile(step), value(quantile(step)))), "p50");
    for mark in [0.5, 0.9, 0.99, 0.999, 0.9999].into_iter().filter(|mark| *mark <= end + 1e-12) {
        let at = value(mark);
        chart.mark(mark, at, &ms(at));
    }
    figure("Latency by percentile", "", &chart.svg("Latency by percentile"))
}

fn throughput(report: &Report, series: &Series) -> String {
    let totals = series.commits.iter().map(|of_nodes| of_nodes.iter().sum::<u64>());
    let max = totals.max().unwrap_or(0) as f64 / series.width;
    let mut chart = Chart::new(
        Scale::up_to(series.seconds),
        "seconds since the run began, when the block was committed",
        Scale::up_to(max),
        "committed, tx/s",
    );
    for (at, of_nodes) in (0_u32..).zip(&series.commits) {
        let from = f64::from(at) * series.width;
        let mut low = 0.0;
        for (node, committed) in of_nodes.iter().enumerate().filter(|(_, committed)| **committed > 0) {
            let per_second = *committed as f64 / series.width;
            let title = format!("{}: {} tx/s", escape(&report.nodes[node].node), rate(per_second));
            let color = COLORS[node % COLORS.len()];
            chart.bar((from, from + series.width), (low, low + per_second), color, &title);
            low += per_second;
        }
    }
    let names = report.nodes.iter().zip(COLORS.iter().cycle());
    let mut legend: String = names
        .take(COLORS.len())
        .map(|(share, color)| {
            let node = escape(&share.node);
            format!("<span class=key><i style=\"background:{color}\"></i>{node}</span>")
        })
        .collect();
    if report.nodes.len() > COLORS.len() {
        let more = report.nodes.len() - COLORS.len();
        add(&mut legend, format_args!("<span class=key>and {more} more</span>"));
    }
    figure("Throughput per node", &legend, &chart.svg("Throughput per node"))
}

fn outcomes(report: &Report) -> String {
    let counts = &report.counts;
    let mut out = "<section><h2>Outcomes</h2><table>".to_owned();
    let mut row = |name: &str, value: u64, class: &str| {
        add(
            &mut out,
            format_args!("<tr class=\"{class}\"><td>{}</td><td>{}</td></tr>", escape(name), count(value)),
        );
    };
    row("Committed", counts.committed, "");
    let mut group = |name: &str, value: u64, why: &[Because]| {
        row(name, value, "");
        for Because { reason, count } in why {
            let name = match &reason.code {
                Some((codespace, code)) => format!("{codespace} {code}: {}", reason.words),
                None => reason.words.clone(),
            };
            row(&name, *count, "why");
        }
    };
    group("Rejected", counts.rejected, &report.rejected);
    group("Failed", counts.failed, &report.failed);
    group("Unknown", counts.unknown, &report.unknown);
    out.push_str("</table></section>");
    out
}

fn percentiles(report: &Report) -> String {
    let mut out = "<section><h2>Milliseconds</h2><table><tr><th></th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>".to_owned();
    let rows = [
        ("Due to committed", &report.latency),
        ("Due to the node's answer", &report.answer),
        ("Due to sent", &report.generator.lag),
    ];
    for (name, latency) in rows {
        if let Some(Latency { p50, p90, p99, p999, max, .. }) = latency {
            let cells: String = [p50, p90, p99, p999, max]
                .into_iter()
                .map(|value| format!("<td>{}</td>", ms(*value)))
                .collect();
            add(&mut out, format_args!("<tr><td>{name}</td>{cells}</tr>"));
        }
    }
    out.push_str("</table></section>");
    out
}

fn nodes(report: &Report) -> String {
    let mut out = "<section><h2>Nodes</h2><table><tr><th></th><th>offered</th><th>committed</th><th>tx/s</th><th>p50, ms</th><th>p99, ms</th></tr>".to_owned();
    for share in &report.nodes {
        let of = |value: fn(&Latency) -> f64| {
            share.latency.as_ref().map_or("–".to_owned(), |latency| ms(value(latency)))
        };
        add(
            &mut out,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&share.node),
                count(share.offered),
                count(share.committed),
                rate(share.tx_per_second),
                of(|latency| latency.p50),
                of(|latency| latency.p99)
            ),
        );
    }
    out.push_str("</table></section>");
    out
}
