//! Encodes a message to all subscribers of a room: once per encoding in use, and compresses it at most once per
//! encoding.
//!
//! Does not know: subscribers, or how bytes reach them.

use crate::faults::spoil;
use crate::protocol::deflate::Deflate;
use crate::protocol::encode;
use crate::protocol::frame::EncodedFrame;
use crate::protocol::message::{Gap, ServerMessage};
use crate::protocol::variant::{Encoding, Rendition, Variant};
use crate::room::registry::RoomHandle;
use std::sync::atomic::Ordering;

/// The bytes of every variant in use on this node, with the message that `of` has for each rendition; `None` when no
/// variant is in use.
///
/// Below the threshold the compressed variant shares the bytes of the plain one: a connection with compression accepts
/// uncompressed messages too.
pub(super) fn publish<'m>(
    of: impl Fn(Rendition) -> Option<&'m ServerMessage>,
    room: &RoomHandle,
    deflate: &Deflate,
) -> Option<EncodedFrame> {
    let mut frame = EncodedFrame::new(room.key, 0, 0, 0);
    let mut used = false;
    for rendition in Rendition::ALL {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let [plain, packed] = [false, true].map(|compressed| Variant::new(encoding, compressed).with(rendition));
            let (uses_plain, uses_packed) = (room.uses(plain), room.uses(packed));
            if !uses_plain && !uses_packed {
                continue;
            }
            let Some(message) = of(rendition) else { continue };
            used = true;
            room.figures.encodes[rendition.index()].fetch_add(1, Ordering::Relaxed);
            let payload = encode::payload(message, encoding);
            let blocks = if uses_packed { encode::deflated(&payload, packed, deflate) } else { None };
            if uses_plain || blocks.is_none() {
                let bytes = spoil!(swapped_frames, encode::framed(&payload, plain), room.key.0);
                if uses_plain {
                    frame.set(plain, bytes.clone());
                }
                if uses_packed {
                    frame.set(packed, bytes);
                }
            }
            if let Some(blocks) = blocks {
                frame.set(packed, blocks);
            }
        }
    }
    used.then_some(frame)
}

/// Adds to `frame` the gap message for subscribers that miss the frame, in the encodings in use.
pub(super) fn keep(frame: &mut EncodedFrame, missed: Gap) {
    let comments: Vec<_> =
        missed.events.iter().filter(|event| event.as_comment().is_some()).map(|event| event.offset).collect();
    let missed = ServerMessage::Gap(missed);
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let is_read = |variant: &Variant| variant.encoding == encoding && !frame.get(*variant).is_empty();
        if Variant::ALL.iter().any(is_read) {
            frame.keep(encoding, encode::message(&missed, encoding), &comments);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::deflate::inflate;
    use crate::protocol::frame::Frame;
    use crate::protocol::ids::RoomId;
    use crate::protocol::local::RoomKey;
    use crate::protocol::variant::VARIANTS;
    use crate::room::tests::shown;

    const THRESHOLD_BYTES: usize = 1_000;

    fn published(variants: &[Variant], comments: u64) -> (ServerMessage, Option<EncodedFrame>) {
        let room = RoomHandle::new(RoomKey(1), RoomId::new("r").unwrap(), 0, 2);
        variants.iter().for_each(|variant| room.arrive(1, *variant));
        let events = (1..=comments).map(|offset| shown(offset, "还有吗")).collect();
        let message = ServerMessage::Frame(Frame { last: comments, events, ..Frame::default() });
        let frame = publish(|_| Some(&message), &room, &Deflate::new(THRESHOLD_BYTES, || 0));
        (message, frame)
    }

    #[test]
    fn exactly_the_variants_in_use_have_bytes() {
        for used in (0..1_u32 << VARIANTS).step_by(7) {
            let variants: Vec<_> = Variant::ALL.into_iter().filter(|v| used & 1 << v.index() != 0).collect();
            for comments in [1, 100] {
                let (_, frame) = published(&variants, comments);
                assert_eq!(frame.is_some(), used > 0);
                for variant in Variant::ALL {
                    let is_there = frame.as_ref().is_some_and(|frame| !frame.get(variant).is_empty());
                    assert_eq!(is_there, variants.contains(&variant), "{variants:?}: {variant:?}");
                }
            }
        }
    }

    #[test]
    fn a_small_frame_has_the_same_bytes_with_and_without_compression() {
        let (_, frame) = published(&Variant::ALL, 1);
        let frame = frame.unwrap();
        for (plain, packed) in [(0, 2), (1, 3)] {
            let [plain, packed] = [plain, packed].map(|index| frame.get(Variant::ALL[index]));
            assert!(std::ptr::eq(plain.as_ptr(), packed.as_ptr()) && plain.len() == packed.len(), "shared, not copied");
        }
    }

    #[test]
    fn a_large_frame_has_the_same_content_in_all_four_variants() {
        let (message, frame) = published(&Variant::ALL, 100);
        let frame = frame.unwrap();
        for variant in Variant::ALL {
            let (bytes, payload) = (frame.get(variant), encode::payload(&message, variant.encoding));
            if !variant.compressed {
                assert_eq!(*bytes, encode::framed(&payload, variant));
                continue;
            }
            let opcode = if variant.encoding == Encoding::Json { 1 } else { 2 };
            assert_eq!((bytes[0], bytes[1]), (0xc0 | opcode, 126), "final, RSV1, a length of two bytes");
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len() - 4);
            assert_eq!(inflate(&bytes[4..], payload.len()).unwrap(), payload);
            assert!(bytes.len() * 3 < payload.len());
        }
    }
}
