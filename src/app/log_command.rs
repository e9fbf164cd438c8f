//! `volley log`: lists the rooms of a log on disk, and checks whether they are whole.

use super::{fail, say};
use crate::config::cli::{Args, EXIT_CONFIG};
use crate::config::{self, Data};
use crate::log::disk::DiskError;
use crate::log::disk::inspect::Inspector;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Prints the rooms; with `verify` it checks every record. Exits with 0 if the log is whole, with 1 if a record is
/// damaged or cannot be read.
pub(super) fn run(args: &Args, verify: bool) -> ExitCode {
    let loaded = match config::load_process(args) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(EXIT_CONFIG, &errors.to_string()),
    };
    let Data::Directory(directory) = &loaded.config.data else {
        return fail(EXIT_CONFIG, "a log in memory ends with its server; --data must name a directory");
    };
    match report(directory, verify) {
        Ok((text, 0)) => say(&text),
        Ok((text, damaged)) => {
            let _ = say(&text);
            fail(1, &format!("{damaged} of these are damaged; the server heals them at its next start"))
        }
        Err(error) => fail(1, &error.to_string()),
    }
}

/// The table, and the number of its lines that report damage.
fn report(directory: &Path, verify: bool) -> Result<(String, usize), DiskError> {
    let mut inspector = Inspector::open(directory)?;
    let mut out = String::new();
    let (mut rooms, mut events, mut bytes, mut damaged) = (0_usize, 0_usize, 0_usize, 0);
    let _ = writeln!(
        out,
        "{:<24} {:<16} {:>10} {:>10} {:>10} {:>12}  newest at (ms)",
        "room", "epoch", "first", "last", "events", "bytes"
    );
    while let Some(room) = inspector.next(verify)? {
        let newest = if room.at_ms == 0 { "-".to_owned() } else { room.at_ms.to_string() };
        let _ = write!(
            out,
            "{:<24} {} {:>10} {:>10} {:>10} {:>12}  {newest}",
            room.name, room.epoch, room.first, room.last, room.events, room.bytes
        );
        if let Some(damage) = room.damage {
            let _ = write!(out, "  DAMAGED {damage}");
            damaged += 1;
        }
        let _ = writeln!(out);
        (rooms, events, bytes) = (rooms + 1, events + room.events, bytes + room.bytes);
    }
    let _ = writeln!(out, "{rooms} rooms, {events} events, {bytes} bytes");
    let aside = inspector.put_aside()?;
    if aside > 0 {
        let _ = writeln!(out, "{aside} damaged events were put aside by earlier starts (table damaged_events)");
    }
    if verify {
        if let Some(said) = inspector.structure()? {
            let _ = writeln!(out, "DAMAGED structure: {said}");
            damaged += 1;
        }
        if damaged == 0 {
            let _ = writeln!(out, "every record was checked: no damage");
        }
    }
    Ok((out, damaged))
}
