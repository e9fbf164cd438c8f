//! The part of a run's report on the replayed recording.

use super::Recording;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Recording {
    /// Text for people: what was read, and what was left out or changed.
    pub fn summary(&self) -> String {
        let modes = self.by_mode.iter().map(|(mode, n)| format!("mode {mode}: {n}")).collect::<Vec<_>>().join(", ");
        let mut text =
            format!("{} comments ({modes}), {} of other modes skipped", self.lines.len(), self.skipped_modes);
        if self.breaks > 0 {
            text.push_str(&format!("\n{} with a line break spelled /n or \\n, read as one", self.breaks));
        }
        for (reason, n) in &self.broken {
            text.push_str(&format!("\n{n} broken: {reason}"));
        }
        text
    }

    pub fn json(&self) -> Value {
        json!({
            "replayed": self.lines.len(),
            "by_mode": self.by_mode.iter().map(|(mode, n)| (mode.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "skipped_modes": self.skipped_modes,
            "broken": self.broken.iter().map(|(reason, n)| (reason.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "empty": self.empty,
            "too_long": self.too_long,
            "sizes_clamped": self.sizes_clamped,
            "breaks": self.breaks,
        })
    }
}
