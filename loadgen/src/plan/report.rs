//! A plan for people (a table with the formulas) and for programs (JSON).

use super::cost::{
    BASE_BYTES, COMMENT_SENDS, FRAME_SENDS, Forecast, KIB, LIKES_SENDS, MIB, SHARD_FACTOR, VIEWER_BYTES,
};
use super::machine::Machine;
use super::show::{Show, Traffic};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use volley::config::capacity::{RESERVED_DESCRIPTORS, RESERVED_DESCRIPTORS_PER_SHARD};
use volley::protocol::variant::Encoding;

/// Columns of the table, on a terminal or not.
const TABLE_WIDTH: u16 = 118;

/// `12345.6` → `12,346`.
fn grouped(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(n: f64) -> String {
    match n {
        n if n >= 1_024.0 * MIB => format!("{:.1} GiB", n / MIB / 1_024.0),
        n if n >= MIB => format!("{:.1} MiB", n / MIB),
        n => format!("{:.1} KiB", n / KIB),
    }
}

fn bits_per_s(bytes_per_s: f64) -> String {
    let bits = bytes_per_s * 8.0;
    if bits >= 1e9 { format!("{:.2} Gbit/s", bits / 1e9) } else { format!("{:.1} Mbit/s", bits / 1e6) }
}

/// The table, and notes on it.
pub fn table(show: &Show, t: &Traffic, machine: &Machine, f: &Forecast) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    let mut row = |name: &str, value: String, how: String| {
        table.add_row(vec![name.to_owned(), value, how]);
    };
    row(
        "frames",
        format!("{:.2}/s a room, of {} bytes", t.frames_per_s, grouped(t.send_bytes)),
        format!(
            "(1 − e^(−things/s × tick)) ÷ tick; ({} + {:.1} comments × {:.1} bytes){}, from the encoder",
            grouped(t.frame_bytes),
            t.shown_per_frame,
            t.comment_bytes,
            if show.compression_ratio < 1.0 { format!(" × {}", show.compression_ratio) } else { String::new() }
        ),
    );
    row("deliveries", format!("{}/s", grouped(t.deliveries_per_s)), "viewers × frames/s".into());
    row(
        "egress",
        bits_per_s(t.egress_bytes_per_s),
        format!("deliveries/s × bytes + acks; {} with TCP, IP and Ethernet", bits_per_s(t.wire_bytes_per_s)),
    );
    row(
        "CPU",
        format!("{:.2} cores", f.cpu.total()),
        format!(
            "deliveries/s × {:.2} µs × {SHARD_FACTOR} = {:.2}, comments/s × {COMMENT_SENDS} sends = {:.3}, \
             likes/s × {LIKES_SENDS} = {:.3}, frames/s × {FRAME_SENDS} = {:.3}",
            f.send_us, f.cpu.deliveries, f.cpu.comments, f.cpu.likes, f.cpu.frames
        ),
    );
    row(
        "memory",
        bytes(f.memory.total()),
        format!(
            "{} + viewers × {:.2} KiB = {}, rings {}, logs {}, ids {}, {} s into the show",
            bytes(BASE_BYTES),
            VIEWER_BYTES / KIB,
            bytes(f.memory.viewers),
            bytes(f.memory.rings),
            if show.is_log_in_memory { bytes(f.memory.logs) } else { "on disk".into() },
            bytes(f.memory.ids),
            grouped(show.seconds)
        ),
    );
    row(
        "kernel memory",
        bytes(f.kernel.total()),
        format!(
            "sockets × {} = {}, a frame on its way to all {}, {:.0} % of the viewers not reading {}",
            bytes(machine.socket_bytes),
            bytes(f.kernel.sockets),
            bytes(f.kernel.frames),
            show.stalled_share * 100.0,
            bytes(f.kernel.stalled)
        ),
    );
    row(
        "descriptors",
        grouped(f.descriptors),
        format!("viewers, and for each node {RESERVED_DESCRIPTORS} and {RESERVED_DESCRIPTORS_PER_SHARD} a shard"),
    );
    let bounds: Vec<String> = f.bounds.iter().map(|bound| format!("{} {:.2}", bound.by, bound.nodes)).collect();
    row("nodes", grouped(f.nodes), format!("the most of: {}", bounds.join(", ")));
    format!("{}\n{table}\n{}", head(show, machine), notes(show, t, machine, f))
}

fn head(show: &Show, machine: &Machine) -> String {
    let encoding = if show.encoding == Encoding::Json { "JSON" } else { "MessagePack" };
    let memory = machine.memory_bytes.map_or(String::new(), |b| format!(", {}", bytes(b)));
    let nic = machine.nic_bits_per_s.map_or(String::new(), |b| format!(", {:.1} Gbit/s", b / 1e9));
    format!(
        "show:    {} viewers in {} room{}, {} comments/s of {}–{} characters, {} messages with likes/s, tick {} ms, {encoding}\n\
         machine: {}\n         a send of so many bytes costs CPU µs: --send-us {}\n         \
         a node: {} cores{memory}{nic}, {} descriptors",
        grouped(show.viewers),
        grouped(show.rooms),
        if show.rooms > 1.0 { "s" } else { "" },
        show.comments_per_s,
        show.chars.0,
        show.chars.1,
        show.likes_per_s,
        show.tick_s * 1e3,
        machine.says,
        machine.sends,
        machine.cores,
        grouped(machine.descriptors),
    )
}

fn notes(show: &Show, t: &Traffic, machine: &Machine, f: &Forecast) -> String {
    let mut out = String::new();
    let mut note = |text: String| out.push_str(&format!("note: {text}\n"));
    if let Some(joined_us) = machine.joined_us {
        note(format!(
            "a core that falls behind joins frames: then it sends up to {} frames of 512 bytes per second, late but complete",
            grouped(1e6 / joined_us)
        ));
    }
    if t.comments_per_frame > t.shown_per_frame {
        note(format!(
            "a tick has {:.0} comments, and a frame shows {:.0} (room.frame_events_max); the rest is shed and counted",
            t.comments_per_frame, t.shown_per_frame
        ));
    }
    if machine.nic_bits_per_s.is_none() {
        note("the network was not considered: give --nic-gbit".into());
    }
    if f.nodes > 1.0 {
        note(format!(
            "the number of nodes is determined by the {}. In this version a room's log is on one node: rooms can be spread over nodes, a room cannot",
            f.bound().by
        ));
    }
    if show.compression_ratio < 1.0 {
        note("the cost of compression, once per room, frame and encoding, is not in the CPU above".into());
    }
    note("CPU includes the receiving kernel's share when sends were measured over loopback; real viewers pay it themselves".into());
    out
}

pub fn json(show: &Show, t: &Traffic, machine: &Machine, f: &Forecast) -> Value {
    json!({
        "show": {
            "viewers": show.viewers,
            "rooms": show.rooms,
            "comments_per_s": show.comments_per_s,
            "likes_per_s": show.likes_per_s,
            "tick_ms": show.tick_s * 1e3,
            "text_chars": [show.chars.0, show.chars.1],
            "encoding": show.encoding,
            "compression_ratio": show.compression_ratio,
            "stalled_share": show.stalled_share,
            "after_s": show.seconds,
        },
        "machine": {
            "says": machine.says,
            "send_us": machine.sends.to_string(),
            "joined_us": machine.joined_us,
            "socket_bytes": machine.socket_bytes,
            "cores": machine.cores,
            "memory_bytes": machine.memory_bytes,
            "nic_bits_per_s": machine.nic_bits_per_s,
            "descriptors": machine.descriptors,
        },
        "frames_per_s": t.frames_per_s,
        "frame_bytes": t.send_bytes,
        "deliveries_per_s": t.deliveries_per_s,
        "egress_bytes_per_s": t.egress_bytes_per_s,
        "wire_bytes_per_s": t.wire_bytes_per_s,
        "cpu_us_per_delivery": f.cpu.total() * 1e6 / t.deliveries_per_s,
        "cpu_cores": {
            "total": f.cpu.total(),
            "deliveries": f.cpu.deliveries,
            "comments": f.cpu.comments,
            "likes": f.cpu.likes,
            "frames": f.cpu.frames,
        },
        "memory_bytes": {
            "total": f.memory.total(),
            "base": f.memory.base,
            "viewers": f.memory.viewers,
            "rings": f.memory.rings,
            "logs": f.memory.logs,
            "ids": f.memory.ids,
        },
        "kernel_bytes": {
            "total": f.kernel.total(),
            "sockets": f.kernel.sockets,
            "frames": f.kernel.frames,
            "stalled": f.kernel.stalled,
        },
        "descriptors": f.descriptors,
        "nodes": f.nodes,
        "nodes_by": f.bounds.iter().map(|bound| (bound.by, bound.nodes)).collect::<std::collections::BTreeMap<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::machine::Preset;
    use super::super::show::tests::show;
    use super::*;

    #[test]
    fn the_table_shows_every_resource_with_its_formula_and_its_limits() {
        let show = Show { viewers: 1_000_000.0, comments_per_s: 5_000.0, ..show() };
        let (traffic, machine) = (Traffic::of(&show), Preset::find("vm").unwrap().machine());
        let forecast = Forecast::new(&show, &traffic, &machine, 0.7);
        let text = table(&show, &traffic, &machine, &forecast);
        for said in ["egress", "CPU", "memory", "kernel memory", "descriptors", "nodes", "viewers × frames/s", "× 1.03"]
        {
            assert!(text.contains(said), "no {said:?} in\n{text}");
        }
        for note in ["--nic-gbit", "frame_events_max", "a room cannot", "loopback"] {
            assert!(text.contains(note), "no {note:?} in\n{text}");
        }
        assert!(text.contains("1,000,000 viewers in 1 room,") && text.contains("--send-us 512:4.39"), "{text}");
    }

    #[test]
    fn json_has_the_same_numbers() {
        let show = show();
        let (traffic, machine) = (Traffic::of(&show), Preset::find("vm").unwrap().machine());
        let forecast = Forecast::new(&show, &traffic, &machine, 0.7);
        let json = json(&show, &traffic, &machine, &forecast);
        assert_eq!(json["cpu_cores"]["total"], forecast.cpu.total());
        assert_eq!(json["memory_bytes"]["total"], forecast.memory.total());
        assert_eq!(json["nodes_by"]["CPU"], forecast.bound().nodes);
        assert_eq!(json["show"]["viewers"], 10_000.0);
    }
}
