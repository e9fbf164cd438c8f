//! The checks of a client's message before it reaches a room: identity, rates, text.
//!
//! Does not know: sockets, shards, rooms, the log. Time comes in as an argument (only
//! [`admission::Admission::sweep`] reads the clock, for its caller's convenience).

pub mod admission;
pub mod auth;
pub mod posts;
pub mod rate;
pub mod said;
pub mod text;

/// Whether `value` is at most `bytes_max` bytes of JSON, without writing it anywhere.
fn json_fits(value: &impl serde::Serialize, bytes_max: usize) -> bool {
    struct Room(usize);
    impl std::io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(bytes_max), value).is_ok()
}
