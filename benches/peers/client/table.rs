//! The results of all rounds as Markdown: medians, and the spread of the most important figures.

use serde_json::Value;

/// A client that was this busy may be the bottleneck.
const CLIENT_FULL: f64 = 0.9;

/// # Errors
/// The file is missing, or has malformed lines.
pub fn main(args: &[String]) -> Result<(), String> {
    let path = args.first().ok_or("table FILE")?;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let lines: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(|e| format!("{path}: {e}"))?;
    let mut peers: Vec<&str> = Vec::new();
    for line in &lines {
        let peer = line["peer"].as_str().unwrap_or_default();
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let all = |peer: &str, workload: &str| Rounds {
        lines: lines.iter().filter(|l| l["peer"] == peer && l["workload"] == workload).collect(),
    };
    per_message(&peers, &all);
    show(&peers, &all);
    println!("\n| peer | what it is |\n|---|---|");
    for peer in &peers {
        let about = lines.iter().find(|l| l["peer"] == *peer).and_then(|l| l["about"].as_str());
        println!("| {peer} | {} |", about.unwrap_or_default());
    }
    Ok(())
}

/// One peer's rounds under one workload.
struct Rounds<'a> {
    lines: Vec<&'a Value>,
}

impl Rounds<'_> {
    fn values(&self, name: &str) -> Vec<f64> {
        let mut values: Vec<f64> = self.lines.iter().filter_map(|line| line[name].as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median; of two rounds the lower.
    fn median(&self, name: &str) -> Option<f64> {
        let values = self.values(name);
        values.get(values.len().saturating_sub(1) / 2).copied()
    }

    fn show(&self, name: &str, factor: f64, digits: usize) -> String {
        self.median(name).map_or_else(|| "–".into(), |value| grouped(value * factor, digits))
    }

    /// Smallest and largest of several rounds.
    fn spread(&self, name: &str, factor: f64, digits: usize) -> String {
        let values = self.values(name);
        match (values.first(), values.last()) {
            (Some(low), Some(high)) if values.len() > 1 => {
                format!(" ({}–{})", grouped(low * factor, digits), grouped(high * factor, digits))
            }
            _ => String::new(),
        }
    }

    /// The client's own load, marked if it may be the bottleneck.
    fn client(&self) -> String {
        let full = self.median("client_load").is_some_and(|load| load >= CLIENT_FULL);
        format!("{} %{}", self.show("client_load", 100.0, 0), if full { " **full**" } else { "" })
    }

    /// Errors, for the last column.
    fn remarks(&self) -> String {
        let mut remarks: Vec<String> = Vec::new();
        if let Some(error) = self.lines.iter().find_map(|line| line["error"].as_str()) {
            remarks.push(error.to_owned());
        }
        if let Some(lost) = self.median("lost").filter(|lost| *lost > 0.0) {
            remarks.push(format!("cut off {lost} viewers"));
        }
        if let Some(gaps) = self.median("gaps").filter(|gaps| *gaps > 0.0) {
            remarks.push(format!("{gaps} announced gaps"));
        }
        if let Some(holes) = self.median("holes").filter(|holes| *holes > 0.0) {
            remarks.push(format!("**{holes} silent holes**"));
        }
        remarks.join("; ")
    }
}

type Of<'a, 'b> = &'b dyn Fn(&str, &str) -> Rounds<'a>;

fn per_message(peers: &[&str], of: Of<'_, '_>) {
    let bare = of("bare", "paced").median("cpu_us_per_delivery");
    println!(
        "| peer | CPU µs per delivery | ÷ bare | delivered | its core | client | unbounded: deliveries/s | client | KiB per idle viewer | |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for peer in peers {
        let (paced, unbounded) = (of(peer, "paced"), of(peer, "unbounded"));
        if paced.lines.is_empty() && unbounded.lines.is_empty() {
            continue;
        }
        let ratio = paced.median("cpu_us_per_delivery").zip(bare).map(|(own, bare)| format!("{:.2}", own / bare));
        println!(
            "| {peer} | {}{} | {} | {} % | {} % | {} | {}{} | {} | {} | {} |",
            paced.show("cpu_us_per_delivery", 1.0, 2),
            paced.spread("cpu_us_per_delivery", 1.0, 2),
            ratio.unwrap_or_else(|| "–".into()),
            paced.show("delivered_share", 100.0, 1),
            paced.show("server_load", 100.0, 0),
            paced.client(),
            unbounded.show("deliveries_per_s", 1.0, 0),
            unbounded.spread("deliveries_per_s", 1.0, 0),
            unbounded.client(),
            paced.show("kib_per_viewer", 1.0, 2),
            [paced.remarks(), unbounded.remarks()].join(" ").trim(),
        );
    }
}

fn show(peers: &[&str], of: Of<'_, '_>) {
    println!(
        "\n| peer | comments delivered per core-second | delivered | p50 | p99 | its core | client | bytes per viewer and comment | KiB/s per viewer | |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for peer in peers {
        let show = of(peer, "show");
        if show.lines.is_empty() {
            continue;
        }
        println!(
            "| {peer} | {}{} | {} % | {} ms | {} ms | {} % | {} | {} | {} | {} |",
            show.show("deliveries_per_core_s", 1.0, 0),
            show.spread("deliveries_per_core_s", 1.0, 0),
            show.show("delivered_share", 100.0, 1),
            show.show("p50_ms", 1.0, 0),
            show.show("p99_ms", 1.0, 0),
            show.show("server_load", 100.0, 0),
            show.client(),
            show.show("wire_bytes_per_delivery", 1.0, 0),
            show.show("wire_kib_per_viewer_s", 1.0, 1),
            show.remarks(),
        );
    }
}

/// `1234567.8` as `1,234,568`.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(w, f)| (w, f));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if fraction.is_empty() { out } else { format!("{out}.{fraction}") }
}
