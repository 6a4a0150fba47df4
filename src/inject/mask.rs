//! Replaces values in a stream of bytes by `[unsaid:NAME]`, whatever pieces the stream comes in.
//!
//! The result does not depend on how the stream was cut. Only a suffix that may be the beginning of a pattern is
//! held back, at most [`TRIGGER_BYTES`] − 1 bytes, until the next bytes decide. See [`Masker::pause`] for the one
//! exception, which terminals need.
use super::anchors::{ANCHOR_BYTES, Anchors};
use super::encodings;
use crate::secret::SecretBytes;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

/// So much of a pattern proves that it is there, even when the rest never comes: a long value that is cut off or
/// changed further on is masked as far as it goes.
const TRIGGER_BYTES: usize = 128;
/// What a pause shows of a beginning: fewer bytes than say anything.
const SHOWN_AT_A_PAUSE: usize = 3;
/// A stream that ends within a value ends with so much of it that it must not be seen.
const MASKED_AT_THE_END_FROM: usize = 16;

struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    marker: usize,
    /// How many of its first bytes are no secret, or too few to matter.
    open_bytes: usize,
}

/// What to look for; shared by the streams of one child.
pub struct Patterns {
    /// Sorted, so that all that begin alike are neighbours and the shortest comes first.
    sorted: Vec<Pattern>,
    markers: Vec<String>,
    /// The first bytes of each.
    anchors: Anchors,
    begins: [bool; 256],
}

impl Patterns {
    /// Patterns for each `(label, value)`. Values under [`encodings::MASKED_FROM_BYTES`] bytes have none.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a SecretBytes)>) -> Self {
        let mut texts = Vec::new();
        let mut markers = Vec::new();
        for (label, value) in values {
            let of_value = value.expose(encodings::of_value);
            // A marker must not print what it hides.
            let marker = format!("[unsaid:{label}]");
            let tells =
                |text: &Zeroizing<Vec<u8>>| marker.as_bytes().windows(text.len()).any(|w| w == &text[..]);
            markers.push(if of_value.iter().any(tells) { "[***]".to_owned() } else { marker });
            texts.extend(of_value.into_iter().map(|text| (text, markers.len() - 1)));
        }
        // Of equal texts the first value's stays.
        texts.sort_unstable_by(|a, b| (&a.0[..], a.1).cmp(&(&b.0[..], b.1)));
        texts.dedup_by(|b, a| b.0[..] == a.0[..]);
        let sorted: Vec<Pattern> = texts
            .into_iter()
            .map(|(bytes, marker)| {
                let open_bytes = encodings::scheme_bytes(&bytes).max(SHOWN_AT_A_PAUSE);
                Pattern { bytes, marker, open_bytes }
            })
            .collect();
        let first = |pattern: &Pattern| {
            *pattern.bytes.first_chunk::<ANCHOR_BYTES>().expect("shorter values have no patterns")
        };
        let anchors = Anchors::new(sorted.iter().map(first));
        let mut begins = [false; 256];
        sorted.iter().for_each(|pattern| begins[usize::from(pattern.bytes[0])] = true);
        Self { sorted, markers, anchors, begins }
    }

    /// Whether `text` has the beginning of a pattern in it. Where it has not, and is all there is, nothing is masked.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.anchors.find(text, 0).is_some()
    }

    /// The patterns of `range` that have `byte` at `depth`; all of `range` agree before that.
    fn narrow(&self, range: Range<usize>, depth: usize, byte: u8) -> Range<usize> {
        let at = |pattern: &Pattern| pattern.bytes.get(depth).map_or(-1, |&byte| i32::from(byte));
        let within = &self.sorted[range.clone()];
        let from = within.partition_point(|pattern| at(pattern) < i32::from(byte));
        let to = from + within[from..].partition_point(|pattern| at(pattern) == i32::from(byte));
        range.start + from..range.start + to
    }

    /// Whether a pattern begins where `text` does.
    fn at_start(&self, text: &[u8]) -> Found {
        let mut range = 0..self.sorted.len();
        for (depth, &byte) in text.iter().enumerate() {
            range = self.narrow(range, depth, byte);
            if range.is_empty() {
                return Found::Nothing;
            }
            if depth + 1 == self.sorted[range.start].bytes.len().min(TRIGGER_BYTES) {
                return Found::Value(Tail { range, depth: depth + 1, complete: None });
            }
        }
        Found::MaybeLater(range)
    }

    /// The first place from `from` on where a pattern may begin that the end of `buffer` cuts off.
    fn first_cut_off(&self, buffer: &[u8], from: usize) -> usize {
        (from.max(buffer.len().saturating_sub(TRIGGER_BYTES - 1))..buffer.len())
            .find(|&at| {
                self.begins[usize::from(buffer[at])]
                    && matches!(self.at_start(&buffer[at..]), Found::MaybeLater(_))
            })
            .unwrap_or(buffer.len())
    }
}

enum Found {
    Nothing,
    /// These patterns still may.
    MaybeLater(Range<usize>),
    Value(Tail),
}

/// Within a value: what follows is dropped as long as it goes on like one of `range`.
struct Tail {
    range: Range<usize>,
    depth: usize,
    /// The longest pattern that was there in full.
    complete: Option<usize>,
}

/// The masker of one stream.
pub struct Masker {
    patterns: Arc<Patterns>,
    held: Zeroizing<Vec<u8>>,
    /// How much of `held` a pause has shown.
    shown: usize,
    tail: Option<Tail>,
    /// The marker of `tail` is still to come: patterns of several credentials begin alike.
    marker_due: bool,
    has_masked: bool,
}

impl Masker {
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            held: Zeroizing::default(),
            shown: 0,
            tail: None,
            marker_due: false,
            has_masked: false,
        }
    }

    /// Whether anything was replaced so far.
    pub fn has_masked(&self) -> bool {
        self.has_masked
    }

    /// Whether `piece`, as the next of the stream, may be shown as it is, and leaves nothing held back.
    pub fn passes(&self, piece: &[u8]) -> bool {
        self.held.is_empty()
            && self.tail.is_none()
            && !self.patterns.may_be_in(piece)
            && self.patterns.first_cut_off(piece, 0) == piece.len()
    }

    /// Takes the next piece of the stream and appends to `out` what may be shown of it.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.patterns.sorted.is_empty() {
            return out.extend_from_slice(piece);
        }
        let mut buffer = std::mem::take(&mut self.held);
        buffer.extend_from_slice(piece);
        let patterns = Arc::clone(&self.patterns);
        let mut at = self.drop_tail(&buffer, 0, out);
        let mut search = at;
        let mut cut_off = patterns.first_cut_off(&buffer, at);
        while let Some(start) = patterns.anchors.find(&buffer, search) {
            if start >= cut_off {
                break;
            }
            let Found::Value(tail) = patterns.at_start(&buffer[start..]) else {
                search = start + 1;
                continue;
            };
            self.show(&buffer, at..start, out);
            at = start + tail.depth;
            self.begin_tail(tail, out);
            self.shown = 0;
            at = self.drop_tail(&buffer, at, out);
            search = at;
            if cut_off < at {
                cut_off = patterns.first_cut_off(&buffer, at);
            }
        }
        self.show(&buffer, at..cut_off, out);
        self.shown = self.shown.saturating_sub(cut_off);
        buffer.drain(..cut_off);
        self.held = buffer;
    }

    /// Shows the first three bytes (of a URL its `scheme://`) of what is held back.
    ///
    /// For a terminal whose stream has paused: a prompt that ends, or a key whose echo is, like the beginning of a
    /// value must not be invisible. No more is ever shown, so that a value that is printed slowly stays masked but
    /// for these bytes; a stream that a program reads is never paused, for programs wait for whole lines, and no
    /// pattern begins within a line end.
    pub fn pause(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        let until = self.open_bytes().min(self.held.len());
        if until > self.shown {
            out.extend_from_slice(&self.held[self.shown..until]);
            self.shown = until;
        }
    }

    /// Whether [`Masker::pause`] would show anything.
    pub fn has_more_to_show(&self) -> bool {
        self.marker_due || self.shown < self.open_bytes().min(self.held.len())
    }

    /// The stream has ended: shows what is held back, unless it is enough of a value to tell.
    ///
    /// What looked like the beginning of a long value may hold a whole short one, so every place is looked at again.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        self.tail = None;
        let held = std::mem::take(&mut self.held);
        let patterns = Arc::clone(&self.patterns);
        let mut at = 0;
        while at < held.len() {
            match patterns.at_start(&held[at..]) {
                Found::MaybeLater(range) if held.len() - at >= MASKED_AT_THE_END_FROM => {
                    self.mark(range.start, out);
                    at = held.len();
                }
                Found::Value(tail) => {
                    at += tail.depth;
                    self.begin_tail(tail, out);
                    at = self.drop_tail(&held, at, out);
                }
                Found::MaybeLater(_) | Found::Nothing => {
                    self.show(&held, at..at + 1, out);
                    at += 1;
                }
            }
        }
        self.settle(out);
        self.tail = None;
        self.shown = 0;
    }

    fn open_bytes(&self) -> usize {
        match self.patterns.at_start(&self.held) {
            Found::MaybeLater(range) if !self.held.is_empty() => {
                self.patterns.sorted[range].iter().map(|pattern| pattern.open_bytes).min().unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn show(&mut self, buffer: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
        let start = range.start.max(self.shown);
        if start < range.end {
            out.extend_from_slice(&buffer[start..range.end]);
        }
    }

    fn mark(&mut self, pattern: usize, out: &mut Vec<u8>) {
        self.has_masked = true;
        out.extend_from_slice(self.patterns.markers[self.patterns.sorted[pattern].marker].as_bytes());
    }

    fn begin_tail(&mut self, mut tail: Tail, out: &mut Vec<u8>) {
        let candidates = &self.patterns.sorted[tail.range.clone()];
        if candidates[0].bytes.len() == tail.depth {
            tail.complete = Some(tail.range.start);
        }
        self.marker_due = candidates.iter().any(|pattern| pattern.marker != candidates[0].marker);
        if !self.marker_due {
            self.mark(tail.range.start, out);
        }
        self.tail = Some(tail);
    }

    /// Drops what continues the value from `at` on; returns where the stream goes on.
    fn drop_tail(&mut self, buffer: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
        let Some(mut tail) = self.tail.take() else { return at };
        while let Some(&byte) = buffer.get(at) {
            let range = self.patterns.narrow(tail.range.clone(), tail.depth, byte);
            if range.is_empty() {
                self.tail = Some(tail);
                self.settle(out);
                self.tail = None;
                return at;
            }
            (at, tail.depth) = (at + 1, tail.depth + 1);
            if self.patterns.sorted[range.start].bytes.len() == tail.depth {
                tail.complete = Some(range.start);
            }
            tail.range = range;
        }
        self.tail = Some(tail);
        at
    }

    /// Shows the marker that was waiting for the longest pattern to be known.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if let Some(tail) = self.tail.as_ref().filter(|_| self.marker_due) {
            let pattern = tail.complete.unwrap_or(tail.range.start);
            self.mark(pattern, out);
        }
        self.marker_due = false;
    }
}
