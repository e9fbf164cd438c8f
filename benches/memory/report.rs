//! Makes a table of live blocks: what they are, bytes per viewer, and the code that allocated them.

use super::watched::{self, SMALL_MAX};
use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;

const PAGE_BYTES: usize = 4_096;

/// Block sizes that fewer than this share of the viewers have are not attributed to viewers.
const SHARE_MIN: f64 = 0.05;

/// The live blocks at one moment.
pub struct Snapshot {
    small: Vec<i32>,
    tables: BTreeMap<usize, usize>,
    resident_bytes: usize,
}

impl Snapshot {
    pub fn take() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).expect("pages");
        let mut tables = BTreeMap::new();
        watched::known(|address, block| {
            if block.bytes > SMALL_MAX {
                tables.insert(address, resident(address, block.bytes));
            }
        });
        Self { small: watched::live(), tables, resident_bytes: pages * PAGE_BYTES }
    }
}

/// One row: bytes per viewer, and what they are.
struct Row {
    bytes: f64,
    what: String,
}

/// `viewers` are connected; `came` of them connected between the snapshots, and `close` of those were traced.
pub fn report(viewers: usize, came: usize, close: usize, before: &Snapshot, after: &Snapshot) -> String {
    let per_viewer = |bytes: f64| bytes / came as f64;
    let mut asked = asked_by(close);
    let (mut rows, mut rest, mut rounding) = (Vec::new(), 0.0, 0.0);
    for (bytes, (then, now)) in before.small.iter().zip(&after.small).enumerate() {
        let blocks = per_viewer(f64::from(now - then));
        rounding += blocks * (chunk(bytes) - bytes) as f64;
        if blocks >= SHARE_MIN {
            let who = asked.remove(&bytes).unwrap_or_else(|| "(of no viewer that was looked at closely)".into());
            rows.push(Row { bytes: blocks * bytes as f64, what: format!("{blocks:.2} × {bytes} B: {who}") });
        } else {
            rest += blocks * bytes as f64;
        }
    }
    // Tables by the code that allocated them: number, bytes, resident bytes, and new resident bytes.
    let mut tables: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    watched::known(|address, block| {
        let Some(now) = after.tables.get(&address) else { return };
        let grew = now.saturating_sub(before.tables.get(&address).copied().unwrap_or(0));
        if grew > 0 {
            let sums = tables.entry(asker(&block.asked_by)).or_default();
            [1, block.bytes, *now, grew].into_iter().zip(sums).for_each(|(more, sum)| *sum += more);
        }
    });
    for (who, [count, whole, now, grew]) in tables {
        let what = format!("{count} × table, together {} KiB, {} KiB resident: {who}", whole >> 10, now >> 10);
        rows.push(Row { bytes: per_viewer(grew as f64), what });
    }
    let gone: usize =
        before.tables.iter().filter(|(at, _)| !after.tables.contains_key(at)).map(|(_, bytes)| bytes).sum();
    rows.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
    rows.push(Row { bytes: rounding, what: "glibc's headers and rounding of those blocks".into() });
    rows.push(Row { bytes: rest, what: "blocks that are no viewer's".into() });
    rows.push(Row { bytes: -per_viewer(gone as f64), what: "tables that were replaced by larger ones".into() });
    let total = per_viewer((after.resident_bytes - before.resident_bytes) as f64);
    let known: f64 = rows.iter().map(|row| row.bytes).sum();
    rows.push(Row { bytes: total - known, what: "freed but not given back, stacks, pages in part".into() });
    let mut out =
        format!("\n{viewers} viewers: {:.2} KiB resident per viewer\n\n| bytes | what |\n|---|---|\n", total / 1_024.0);
    for row in rows.iter().filter(|row| row.bytes.abs() >= 0.5) {
        writeln!(out, "| {:.0} | {} |", row.bytes, row.what).expect("a String takes all");
    }
    out
}

/// The block sizes of traced viewers, and the lines that allocated them.
fn asked_by(close: usize) -> BTreeMap<usize, String> {
    let mut found: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    watched::known(|_, block| {
        if block.bytes <= SMALL_MAX {
            *found.entry(block.bytes).or_default().entry(asker(&block.asked_by)).or_default() += 1;
        }
    });
    let text = |askers: BTreeMap<String, usize>| {
        let mut all: Vec<_> = askers.into_iter().filter(|(_, blocks)| blocks * 2 >= close).collect();
        all.sort_by_key(|(_, blocks)| std::cmp::Reverse(*blocks));
        all.into_iter().map(|(asker, _)| asker).collect::<Vec<_>>().join("; ")
    };
    found.into_iter().map(|(bytes, askers)| (bytes, text(askers))).filter(|(_, text)| !text.is_empty()).collect()
}

/// The innermost function of Volley in the backtrace, as `function (file:line)`.
fn asker(backtrace: &Backtrace) -> String {
    let text = backtrace.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let ours = lines.windows(2).find(|pair| pair[1].starts_with("at ./src/") || pair[1].contains("/src/shard/"));
    let Some([function, place]) = ours else { return "(outside of our code)".into() };
    let name = without_generics(function.split_once(": ").map_or(*function, |(_, name)| name));
    let name = name.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or_default();
    let place = place.trim_start_matches("at ./src/");
    let place = place.rsplit_once(':').map_or(place, |(place, _column)| place);
    format!("{name} ({place})")
}

/// A symbol without the parts in angle brackets.
fn without_generics(symbol: &str) -> String {
    let mut depth = 0;
    let mut keeps = |c: char| {
        depth += i32::from(c == '<');
        let is_outside = depth == 0;
        depth -= i32::from(c == '>');
        is_outside
    };
    symbol.chars().filter(|c| keeps(*c)).collect()
}

/// The size of a block in glibc: 8 bytes more, a multiple of 16, at least 32.
fn chunk(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

/// Bytes of a block whose pages are in memory (`/proc/self/pagemap` has 8 bytes per page; the highest bit means
/// resident).
fn resident(address: usize, bytes: usize) -> usize {
    let Ok(map) = File::open("/proc/self/pagemap") else { return bytes };
    let (first, last) = (address / PAGE_BYTES, (address + bytes - 1) / PAGE_BYTES);
    let mut entries = vec![0; (last - first + 1) * 8];
    if map.read_exact_at(&mut entries, first as u64 * 8).is_err() {
        return bytes;
    }
    entries.chunks_exact(8).filter(|entry| entry[7] & 0x80 != 0).count() * PAGE_BYTES
}
