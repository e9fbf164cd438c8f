//! Advanced SubStation Alpha: subtitles that players such as mpv draw over a recorded picture.

use super::Writer;
use super::lanes::Lanes;
use super::timeline::Timeline;
use crate::log::Record;
use crate::protocol::event::{Comment, Mode, Style};
use crate::protocol::ids::RoomId;
use std::io::Write as _;

/// The picture that positions refer to; players scale it.
const WIDTH: u64 = 1_920;
const HEIGHT: u64 = 1_080;

/// Pixels per unit of a comment's size: normal ones (25) are then a twentieth of the picture's height.
const SCALE: u64 = 2;

/// Height of a row: a normal text and a little air.
const ROW: u64 = 54;
const ROWS: usize = (HEIGHT / ROW) as usize;

const MOVES_MS: u64 = 10_000;
const STANDS_MS: u64 = 4_000;

pub(super) struct Ass {
    room: RoomId,
    timeline: Timeline,
    scroll: Lanes,
    reverse: Lanes,
    top: Lanes,
    bottom: Lanes,
}

impl Ass {
    pub(super) fn new(room: &RoomId) -> Self {
        Self {
            room: room.clone(),
            timeline: Timeline::default(),
            scroll: Lanes::moving(ROWS, WIDTH, MOVES_MS),
            reverse: Lanes::moving(ROWS, WIDTH, MOVES_MS),
            top: Lanes::standing(ROWS, WIDTH, STANDS_MS),
            bottom: Lanes::standing(ROWS, WIDTH, STANDS_MS),
        }
    }

    /// The override tags that put a text where it belongs.
    fn position(&mut self, comment: &Comment, at_ms: u64) -> String {
        let size = u64::from(comment.style.size) * SCALE;
        let width = width(&comment.text, size);
        let rows = usize::try_from(size.div_ceil(ROW)).unwrap_or(1);
        let lanes = match comment.style.mode {
            Mode::Scroll => &mut self.scroll,
            Mode::Reverse => &mut self.reverse,
            Mode::Top => &mut self.top,
            Mode::Bottom => &mut self.bottom,
        };
        let y = lanes.take(at_ms, width, rows) as u64 * ROW;
        let middle = WIDTH / 2;
        match comment.style.mode {
            Mode::Scroll => format!("\\an7\\move({WIDTH},{y},-{width},{y})"),
            Mode::Reverse => format!("\\an7\\move(-{width},{y},{WIDTH},{y})"),
            Mode::Top => format!("\\an8\\pos({middle},{y})"),
            Mode::Bottom => format!("\\an2\\pos({middle},{})", HEIGHT - y),
        }
    }
}

impl Writer for Ass {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let size = u64::from(Style::default().size) * SCALE;
        // Encoding −1 is no character set: libass takes the direction of each line from its text then, instead of from
        // left to right. A Vec takes every write.
        let _ = write!(
            out,
            "[Script Info]\nTitle: {room}\nScriptType: v4.00+\nPlayResX: {WIDTH}\nPlayResY: {HEIGHT}\nWrapStyle: 2\n\
             ScaledBorderAndShadow: yes\nCollisions: Normal\n\n\
             [V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
             Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, \
             MarginL, MarginR, MarginV, Encoding\n\
             Style: Danmaku,sans-serif,{size},&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,0,7,0,0,0,-1\n\n\
             [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n",
            room = self.room,
        );
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        let Some((comment, at_ms)) = self.timeline.place(record) else { return };
        let (layer, stays_ms) = match comment.style.mode {
            Mode::Scroll | Mode::Reverse => (0, MOVES_MS),
            Mode::Top | Mode::Bottom => (1, STANDS_MS),
        };
        let mut tags = self.position(comment, at_ms);
        if comment.style.size != Style::default().size {
            tags += &format!("\\fs{}", u64::from(comment.style.size) * SCALE);
        }
        if comment.style.color != Style::COLOR_MAX {
            tags += &format!("\\c{}", color(comment.style.color));
            if is_dark(comment.style.color) {
                tags += "\\3c&HFFFFFF&"; // Nothing can be read in a black outline.
            }
        }
        let (start, end) = (time(at_ms), time(at_ms.saturating_add(stays_ms)));
        let _ = write!(out, "Dialogue: {layer},{start},{end},Danmaku,,0,0,0,,{{{tags}}}");
        text(&comment.text, out);
        out.push(b'\n');
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// `H:MM:SS.cc`.
fn time(ms: u64) -> String {
    let (s, cs) = (ms / 1_000, ms % 1_000 / 10);
    format!("{}:{:02}:{:02}.{cs:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// `&HBBGGRR&`.
fn color(rgb: u32) -> String {
    let [_, r, g, b] = rgb.to_be_bytes();
    format!("&H{b:02X}{g:02X}{r:02X}&")
}

/// Luma (ITU-R BT.601) below a fifth.
fn is_dark(rgb: u32) -> bool {
    let [_, r, g, b] = rgb.to_be_bytes().map(u32::from);
    299 * r + 587 * g + 114 * b < 51_000
}

/// About how wide a text is: full-width characters are as wide as high, Latin ones half of that.
fn width(text: &str, size: u64) -> u64 {
    let halves: u64 = text.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum();
    (halves * size).div_ceil(2)
}

/// Braces begin override tags and a backslash begins an escape, in some renderers whatever stands before them: their
/// full-width forms look the same and are plain text everywhere.
fn text(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '{' => out.extend_from_slice("｛".as_bytes()),
            '}' => out.extend_from_slice("｝".as_bytes()),
            '\\' => out.extend_from_slice("＼".as_bytes()),
            '\n' => out.extend_from_slice(b"\\N"),
            c if c.is_control() => {}
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::suite::comment;
    use crate::protocol::event::Event;
    use crate::protocol::ids::Hex64;

    /// The dialogue lines of comments, said at once.
    fn lines(all: &[(&str, Style, u64)]) -> Vec<String> {
        let mut ass = Ass::new(&RoomId::new("r").unwrap());
        let mut out = Vec::new();
        ass.begin(&mut out);
        let head = out.len();
        for (n, (said, style, media_ms)) in all.iter().enumerate() {
            let mut comment = comment("u", said);
            (comment.style, comment.media_ms) = (*style, Some(*media_ms));
            let event = Event::Comment(comment);
            ass.record(&Record { offset: n as u64 + 1, at_ms: 1_000, digest: Hex64(0), event }, &mut out);
        }
        ass.end(&mut out);
        String::from_utf8(out[head..].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn modes_colours_sizes_and_times_become_tags() {
        let style = |mode, color, size| Style { mode, color, size };
        let lines = lines(&[
            ("好ab", Style::default(), 0),
            ("好", style(Mode::Reverse, 0xff_ffff, 36), 61_239),
            ("顶", style(Mode::Top, 0xff_8000, 25), 3_600_000),
            ("底", style(Mode::Bottom, 0x00_0010, 18), 3_599_999),
            ("底", style(Mode::Bottom, 0xff_ffff, 25), 3_600_500),
        ]);
        assert_eq!(
            lines,
            [
                "Dialogue: 0,0:00:00.00,0:00:10.00,Danmaku,,0,0,0,,{\\an7\\move(1920,0,-100,0)}好ab",
                "Dialogue: 0,0:01:01.23,0:01:11.23,Danmaku,,0,0,0,,{\\an7\\move(-72,0,1920,0)\\fs72}好",
                "Dialogue: 1,1:00:00.00,1:00:04.00,Danmaku,,0,0,0,,{\\an8\\pos(960,0)\\c&H0080FF&}顶",
                "Dialogue: 1,0:59:59.99,1:00:03.99,Danmaku,,0,0,0,,{\\an2\\pos(960,1080)\\fs36\\c&H100000&\\3c&HFFFFFF&}底",
                "Dialogue: 1,1:00:00.50,1:00:04.50,Danmaku,,0,0,0,,{\\an2\\pos(960,1026)}底",
            ]
        );
    }

    #[test]
    fn a_line_from_right_to_left_has_its_own_direction_and_its_own_text() {
        let mut head = Vec::new();
        Ass::new(&RoomId::new("r").unwrap()).begin(&mut head);
        let head = String::from_utf8(head).unwrap();
        let field = |line: &str, n: usize| line.split(',').nth(n).unwrap().trim().to_owned();
        let of = |start: &str| head.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let (format, style) = (of("Format: Name, Fontname"), of("Style: Danmaku"));
        let encoding = format.split(',').position(|name| name.trim() == "Encoding").unwrap();
        assert_eq!(field(&style, encoding), "-1", "{style}");
        let said = "(מחיר: 50 ₪)";
        assert!(lines(&[(said, Style::default(), 0)])[0].ends_with(&format!("}}{said}")));
    }

    #[test]
    fn no_text_is_a_tag_or_another_line() {
        let lines = lines(&[("{\\pos(0,0)}\\N\\h a,b\nDialogue: x\r", Style::default(), 0)]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with("}｛＼pos(0,0)｝＼N＼h a,b\\NDialogue: x"), "{}", lines[0]);
    }
}
