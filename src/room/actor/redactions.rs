//! Deletions that are in the log and in no frame yet.
//!
//! A deletion is answered only when later newcomers no longer see the text, which holds from the next frame on.
//!
//! Does not know: the deleted texts, frames.

use super::effect::Effect;
use crate::protocol::ids::Offset;

#[derive(Debug, Default)]
pub(super) struct Redactions {
    offsets: Vec<Offset>,
    held: Vec<Effect>,
}

impl Redactions {
    /// Call when the log has a deletion of the comment at `offset`.
    pub(super) fn add(&mut self, offset: Offset) {
        self.offsets.push(offset);
    }

    /// Comments whose deletion is in the next frame.
    pub(super) fn offsets(&self) -> &[Offset] {
        &self.offsets
    }

    /// Holds back the answers from `begin` on if a deletion waits for its frame.
    pub(super) fn hold(&mut self, begin: usize, out: &mut Vec<Effect>) {
        if !self.offsets.is_empty() {
            self.held.extend(out.drain(begin..));
        }
    }

    /// Call when the frame is out: pages made before are void, and the answers held back go out.
    pub(super) fn release(&mut self, out: &mut Vec<Effect>) {
        if !self.offsets.is_empty() {
            self.offsets = Vec::new();
            out.push(Effect::Redacted);
            out.append(&mut self.held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::request::PostError;

    fn answer(ticket: u64) -> Effect {
        Effect::Posted { ticket, result: Err(PostError::Unavailable) }
    }

    #[test]
    fn answers_wait_for_the_frame_only_behind_a_deletion() {
        let (mut redactions, mut out) = (Redactions::default(), vec![answer(1)]);
        redactions.hold(0, &mut out);
        redactions.release(&mut out);
        assert_eq!(out.len(), 1, "nothing was deleted");
        redactions.add(7);
        out.push(answer(2));
        redactions.hold(1, &mut out);
        assert_eq!((out.len(), redactions.offsets()), (1, &[7][..]));
        redactions.release(&mut out);
        assert!(matches!(out[1..], [Effect::Redacted, Effect::Posted { ticket: 2, .. }]), "{out:?}");
        assert!(redactions.offsets().is_empty() && redactions.held.is_empty());
    }
}
