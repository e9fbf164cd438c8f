//! What of a room stands until it is changed: its settings, and what a newcomer needs to see of them.
//!
//! It follows from the log alone.
//!
//! Does not know: comments, frames, clocks.

use super::timeline::Timeline;
use crate::log::Record;
use crate::protocol::event::Event;
use crate::protocol::kind::Kind;
use crate::protocol::message::Snapshot;
use crate::protocol::settings::RoomSettings;

/// See the module's page.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    timeline: Timeline,
}

impl Board {
    /// The board of a room that nothing has happened in.
    pub fn new(settings: RoomSettings) -> Self {
        Self { timeline: Timeline::new(settings) }
    }

    /// Takes the log's next record.
    pub fn apply(&mut self, record: &Record) {
        if let Event::Post(post) = &record.event
            && let Kind::Settings(patch) = &post.kind
        {
            let mut settings = RoomSettings::clone(self.timeline.newest());
            settings.change(patch);
            self.timeline.change(record.at_ms, settings);
        }
    }

    /// Which settings were in force when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Puts what stands into a newcomer's snapshot.
    pub fn fill(&self, snapshot: &mut Snapshot) {
        snapshot.settings = Some(Box::new(RoomSettings::clone(self.timeline.newest())));
    }
}
