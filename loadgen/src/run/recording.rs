//! Reads recordings of shows in Bilibili's XML, `<d p="time,mode,size,color,unixtime,pool,userhash,id">text</d>`.
//!
//! A broken entry is never guessed: it is reported with its line and reason, and the caller decides whether to refuse
//! the file or to skip the entry. Only the five entities of XML and character references are known; those of a DOCTYPE
//! are never expanded. A text's `/n` is a line break unless Volley wrote the file (see [`breaks`]). Does not know: how
//! recordings are replayed.

mod breaks;
mod entry;
mod summary;

use crate::run::messages::RecordedComment;
use entry::EntryFields;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::collections::BTreeMap;

pub use entry::Reason;

/// The largest file that is read: about 1.5 million comments.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// What to do with a broken entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBroken {
    #[default]
    Refuse,
    /// Leave the entry out and count it.
    Skip,
}

/// Why a file is not replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BrokenEntry {
    /// Line of the file, from 1.
    pub line: usize,
    pub reason: Reason,
}

/// A recording that is ready for a replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Comments of the replayed modes, in order of time.
    pub lines: Vec<RecordedComment>,
    /// Whole entries by mode number, including modes that are not replayed.
    pub by_mode: BTreeMap<u8, u64>,
    /// Entries of modes that are not replayed (7: positioned, 8: scripts).
    pub skipped_modes: u64,
    /// Broken entries that were left out.
    pub broken: BTreeMap<Reason, u64>,
    /// Texts without a visible character, which the server will refuse as `empty`.
    pub empty: u64,
    /// Texts over 512 characters or 2 KiB, which the server will refuse as `too_long`.
    pub too_long: u64,
    /// Texts with a line break written as `/n`.
    pub breaks: u64,
    /// Font sizes outside the server's range, which were set to the nearest allowed one.
    pub sizes_clamped: u64,
}

/// Reads a recording.
///
/// # Errors
/// [`BrokenEntry`]: the first broken entry if such entries are refused, or a file that is not a recording.
pub fn parse(bytes: &[u8], on_broken: OnBroken) -> Result<Recording, BrokenEntry> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(BrokenEntry { line: 1, reason: Reason::FileTooBig });
    }
    let mut parser = Parser {
        bytes,
        on_broken,
        at_line: (0, 1),
        out: Recording::default(),
        root: Root::Before,
        server: None,
        open: None,
    };
    parser.run()?;
    let is_ours = matches!(&parser.server, Some(ChatServer { name, .. }) if name.trim() == OUR_SERVER);
    let mut recording = parser.out;
    for line in &mut recording.lines {
        if !is_ours {
            let text = breaks::read(&line.text);
            recording.breaks += u64::from(text != line.text);
            line.text = text;
        }
        recording.empty += u64::from(line.text.trim().is_empty());
        recording.too_long += u64::from(entry::is_too_long(&line.text));
    }
    if recording.by_mode.is_empty() {
        return Err(BrokenEntry { line: 1, reason: Reason::NoEntries });
    }
    recording.lines.sort_by_key(|line| line.at_ms);
    Ok(recording)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Before,
    Inside,
    After,
}

/// `chatserver` of the files that Volley's own export writes.
const OUR_SERVER: &str = "volley";

/// The element `chatserver`, which names the program that wrote the file.
struct ChatServer {
    name: String,
    is_open: bool,
}

/// An entry whose end has not been read.
struct OpenEntry {
    line: usize,
    fields: Result<EntryFields, Reason>,
    text: String,
    /// The first thing wrong with its content.
    wrong: Option<Reason>,
    /// Open elements inside the entry.
    inner: u32,
}

struct Parser<'a> {
    bytes: &'a [u8],
    on_broken: OnBroken,
    /// A byte position and its line, from which lines are counted.
    at_line: (usize, usize),
    out: Recording,
    root: Root,
    /// The first `chatserver` of the file.
    server: Option<ChatServer>,
    open: Option<OpenEntry>,
}

impl<'a> Parser<'a> {
    /// Parses the whole file. If broken entries are skipped, it continues after a syntax error at the next `<d`.
    fn run(&mut self) -> Result<(), BrokenEntry> {
        let mut base = 0;
        while base < self.bytes.len() {
            match self.run_from(base)? {
                Some(next) => base = next,
                None => break,
            }
        }
        let end = self.bytes.len();
        self.end_open(Reason::Unclosed)?;
        match self.root {
            Root::Before => Err(BrokenEntry { line: 1, reason: Reason::NotARecording }),
            Root::Inside => self.broken_at(end, Reason::UnclosedRoot),
            Root::After => Ok(()),
        }
    }

    /// Parses from byte `base`. Returns the position to continue at after a syntax error.
    fn run_from(&mut self, base: usize) -> Result<Option<usize>, BrokenEntry> {
        let mut reader = Reader::from_reader(&self.bytes[base..]);
        let config = reader.config_mut();
        // The structure is checked here, where an error can name the line.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            let at = base + usize::try_from(reader.buffer_position()).unwrap_or(0);
            match reader.read_event() {
                Ok(Event::Eof) => return Ok(None),
                Ok(Event::Start(tag) | Event::Empty(tag)) if tag.contains(&b'<') => {
                    // An unclosed quote or tag has swallowed the next tag.
                    self.drop_open_as(at, Reason::Syntax)?;
                    return Ok(Some(self.next_entry(at + 1)));
                }
                Ok(event) => self.event(event, at)?,
                Err(_) => {
                    self.drop_open_as(at, Reason::Syntax)?;
                    return Ok(Some(self.next_entry(at + 1)));
                }
            }
        }
    }

    fn event(&mut self, event: Event<'a>, at: usize) -> Result<(), BrokenEntry> {
        match event {
            Event::Start(tag) => self.start(&tag, at),
            Event::Empty(tag) => {
                self.start(&tag, at)?;
                self.end(tag.name().as_ref(), at)
            }
            Event::End(tag) => self.end(tag.name().as_ref(), at),
            Event::Text(text) => self.text(std::str::from_utf8(&text), at),
            Event::CData(text) => self.text(std::str::from_utf8(&text), at),
            Event::GeneralRef(name) => {
                let Some(open) = &mut self.open else { return self.outside(at) };
                match entry::entity(&name) {
                    Some(c) => open.text.push(c),
                    None => open.spoil(Reason::BadEntity),
                }
                Ok(())
            }
            Event::DocType(_) => self.broken_at(at, Reason::Doctype),
            Event::Comment(_) | Event::PI(_) => {
                if let Some(open) = &mut self.open {
                    open.spoil(Reason::Markup);
                }
                Ok(())
            }
            Event::Decl(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: usize) -> Result<(), BrokenEntry> {
        let name = tag.name();
        match (self.root, name.as_ref()) {
            (Root::Before, b"i") => {
                self.root = Root::Inside;
                return Ok(());
            }
            (Root::Before, _) => return Err(BrokenEntry { line: self.line(at), reason: Reason::NotARecording }),
            (Root::After, _) => return self.broken_at(at, Reason::AfterRoot),
            (Root::Inside, b"d") => {}
            (Root::Inside, b"chatserver") if self.open.is_none() && self.server.is_none() => {
                self.server = Some(ChatServer { name: String::new(), is_open: true });
                return Ok(());
            }
            (Root::Inside, _) => {
                // Elements such as chatserver and chatid between the entries; inside an entry they are markup.
                if let Some(open) = &mut self.open {
                    open.spoil(Reason::Markup);
                    open.inner += 1;
                }
                return Ok(());
            }
        }
        self.end_open(Reason::Unclosed)?;
        let line = self.line(at);
        self.open = Some(OpenEntry { line, fields: entry::fields(tag), text: String::new(), wrong: None, inner: 0 });
        Ok(())
    }

    fn end(&mut self, name: &[u8], at: usize) -> Result<(), BrokenEntry> {
        if let Some(server) = &mut self.server {
            server.is_open = false;
        }
        match (&mut self.open, name) {
            (Some(open), b"d") => {
                let reason = if open.inner > 0 { Reason::Markup } else { Reason::Unclosed };
                if open.inner > 0 { self.end_open(reason) } else { self.finish() }
            }
            (Some(_), b"i") => {
                self.end_open(Reason::Unclosed)?;
                self.root = Root::After;
                Ok(())
            }
            (Some(open), _) => {
                open.inner = open.inner.saturating_sub(1);
                open.spoil(Reason::Markup);
                Ok(())
            }
            (None, b"d") => self.broken_at(at, Reason::StrayEnd),
            (None, b"i") if self.root == Root::Inside => {
                self.root = Root::After;
                Ok(())
            }
            (None, b"i") => self.broken_at(at, Reason::AfterRoot),
            (None, _) => Ok(()),
        }
    }

    fn text(&mut self, text: Result<&str, std::str::Utf8Error>, at: usize) -> Result<(), BrokenEntry> {
        let Some(open) = &mut self.open else {
            if let (Some(server @ ChatServer { is_open: true, .. }), Ok(name)) = (&mut self.server, text) {
                server.name.push_str(name);
            }
            return match (text, self.root) {
                (Err(_), _) => self.broken_at(at, Reason::InvalidUtf8),
                (Ok(text), Root::Inside) if !text.contains('&') => Ok(()),
                (Ok(text), _) if text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() => Ok(()),
                _ => self.outside(at),
            };
        };
        match text {
            Err(_) => open.spoil(Reason::InvalidUtf8),
            Ok(text) if text.contains('&') => open.spoil(Reason::BadEntity),
            Ok(text) => open.text.push_str(text),
        }
        Ok(())
    }

    /// Handles text or entities before or after the root, and entities between entries.
    fn outside(&mut self, at: usize) -> Result<(), BrokenEntry> {
        match self.root {
            Root::Before => Err(BrokenEntry { line: self.line(at), reason: Reason::NotARecording }),
            Root::Inside => self.broken_at(at, Reason::BadEntity),
            Root::After => self.broken_at(at, Reason::AfterRoot),
        }
    }

    /// Counts a whole entry, and keeps it if its mode is replayed.
    fn finish(&mut self) -> Result<(), BrokenEntry> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let fields = match (open.fields, open.wrong) {
            (Ok(fields), None) => fields,
            (Err(reason), _) | (Ok(_), Some(reason)) => return self.broken(open.line, reason),
        };
        let out = &mut self.out;
        *out.by_mode.entry(fields.mode).or_default() += 1;
        let Some(mode) = entry::replayed(fields.mode) else {
            out.skipped_modes += 1;
            return Ok(());
        };
        let (size, is_clamped) = entry::size(fields.size);
        out.sizes_clamped += u64::from(is_clamped);
        out.lines.push(RecordedComment { at_ms: fields.at_ms, mode, color: fields.color, size, text: open.text });
        Ok(())
    }

    /// Ends the open entry, if there is one, as broken.
    fn end_open(&mut self, reason: Reason) -> Result<(), BrokenEntry> {
        match self.open.take() {
            // The first error is the cause, later ones may follow from it.
            Some(open) => self.broken(open.line, open.fields.err().or(open.wrong).unwrap_or(reason)),
            None => Ok(()),
        }
    }

    /// Counts a syntax error at `at` as one broken entry, which is the open one if there is one.
    fn drop_open_as(&mut self, at: usize, reason: Reason) -> Result<(), BrokenEntry> {
        match self.open.take() {
            Some(open) => {
                self.broken(open.line, open.fields.err().or(open.wrong).unwrap_or(Reason::Unclosed))?;
                self.broken_at(at, reason)
            }
            None => self.broken_at(at, reason),
        }
    }

    fn broken_at(&mut self, at: usize, reason: Reason) -> Result<(), BrokenEntry> {
        let line = self.line(at);
        self.broken(line, reason)
    }

    fn broken(&mut self, line: usize, reason: Reason) -> Result<(), BrokenEntry> {
        match self.on_broken {
            OnBroken::Refuse => Err(BrokenEntry { line, reason }),
            OnBroken::Skip => {
                *self.out.broken.entry(reason).or_default() += 1;
                Ok(())
            }
        }
    }

    fn line(&mut self, at: usize) -> usize {
        let (from, line) = self.at_line;
        let (from, line) = if at < from { (0, 1) } else { (from, line) };
        let line = line + self.bytes[from..at].iter().filter(|b| **b == b'\n').count();
        self.at_line = (at, line);
        line
    }

    /// The beginning of the next entry from `at` on, or the file's end.
    fn next_entry(&self, at: usize) -> usize {
        let is_entry = |w: &[u8]| w == b"<d " || w == b"</i" || w == b"<d>" || w == b"<d/";
        self.bytes[at..].windows(3).position(is_entry).map_or(self.bytes.len(), |i| at + i)
    }
}

impl OpenEntry {
    fn spoil(&mut self, reason: Reason) {
        self.wrong.get_or_insert(reason);
    }
}
