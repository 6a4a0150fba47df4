//! Replaces values in a stream of bytes by `[unsaid:NAME]`, whatever pieces the stream comes in.
//!
//! The result does not depend on how the stream was cut. Only a suffix that may be the beginning of a pattern is
//! held back, at most [`TRIGGER_BYTES`] − 1 characters, until the next bytes decide. See [`Masker::pause`] for the one
//! exception, which terminals need.
//!
//! A value is found however it is escaped in a document of JSON, and in one within another: the stream is looked
//! through in several [`Views`] at once, and what is replaced is what the stream has there. Where it has no backslash
//! they are one and the same.
use super::anchors::{ANCHOR_BYTES, Anchors};
use super::encodings;
use super::views::{DEPTHS, View, Views, has_escapes};
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
/// So many bytes at once are looked through in several views, if there is a backslash among them.
const BLOCK_BYTES: usize = 4096;

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
        has_escapes(text) || self.anchors.find(text, 0).is_some()
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
                return Found::Value;
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

    /// Up to where the stream is decided in `view`: the same, as a place of the stream.
    fn decided(&self, view: &View<'_>, from: usize) -> usize {
        view.start(self.first_cut_off(view.bytes(), view.index(from)))
    }

    /// Where the stream has the first value of `view`, at `from` or later.
    fn first_value(&self, view: &View<'_>, from: usize) -> Option<usize> {
        let mut search = view.index(from);
        while let Some(at) = self.anchors.find(view.bytes(), search) {
            if view.begins_at(at) && matches!(self.at_start(&view.bytes()[at..]), Found::Value) {
                return Some(view.start(at));
            }
            search = at + 1;
        }
        None
    }

    /// Whether all that `tail` may be is of one credential.
    fn is_of_one(&self, tail: &Tail) -> bool {
        let all = &self.sorted[tail.range.clone()];
        self.markers.len() == 1 || all.iter().all(|pattern| pattern.marker == all[0].marker)
    }
}

enum Found {
    Nothing,
    /// These patterns still may.
    MaybeLater(Range<usize>),
    Value,
}

/// Within a value, in one view: what follows is dropped as long as it goes on like one of `range`.
struct Tail {
    view: usize,
    range: Range<usize>,
    depth: usize,
    /// The longest pattern that was there in full.
    complete: Option<usize>,
    /// How far in `held` it has come.
    at: usize,
    is_open: bool,
}

impl Tail {
    fn go_on(&mut self, patterns: &Patterns, view: &View<'_>) {
        let mut index = view.index(self.at);
        while let Some(&byte) = view.bytes().get(index) {
            let range = patterns.narrow(self.range.clone(), self.depth, byte);
            if range.is_empty() {
                self.is_open = false;
                return;
            }
            (self.depth, self.at) = (self.depth + 1, view.end(index));
            index += 1;
            if patterns.sorted[range.start].bytes.len() == self.depth {
                self.complete = Some(range.start);
            }
            self.range = range;
        }
    }
}

/// The masker of one stream.
pub struct Masker {
    patterns: Arc<Patterns>,
    /// Begins where a character begins in every view.
    held: Zeroizing<Vec<u8>>,
    /// How much of `held` is decided: it is there only because a character in some view goes beyond it.
    done: usize,
    /// How much of it was shown, which is more after a pause.
    shown: usize,
    /// How much of it nobody has looked through.
    unread: usize,
    /// Within a value, one for each view; empty elsewhere.
    tails: Vec<Tail>,
    /// The marker of `tails` is still to come: patterns of several credentials begin alike.
    marker_due: bool,
    has_masked: bool,
}

impl Masker {
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            held: Zeroizing::default(),
            done: 0,
            shown: 0,
            unread: 0,
            tails: Vec::new(),
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
            && self.tails.is_empty()
            && !self.patterns.may_be_in(piece)
            && self.patterns.first_cut_off(piece, 0) == piece.len()
    }

    /// Takes the next piece of the stream and appends to `out` what may be shown of it.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        if self.patterns.sorted.is_empty() {
            return out.extend_from_slice(piece);
        }
        while !piece.is_empty() {
            let (block, rest) = piece.split_at(self.block_bytes(piece));
            self.push_block(block, out);
            piece = rest;
        }
    }

    /// How much of `piece` is looked through at once: all that has no backslash, or little.
    fn block_bytes(&self, piece: &[u8]) -> usize {
        let plain = match has_escapes(&self.held) {
            true => 0,
            false => piece.chunks(BLOCK_BYTES).take_while(|block| !has_escapes(block)).map(<[u8]>::len).sum(),
        };
        if plain > 0 { plain } else { piece.len().min(BLOCK_BYTES) }
    }

    fn push_block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let mut buffer = std::mem::take(&mut self.held);
        let held = buffer.len();
        buffer.extend_from_slice(block);
        self.unread += block.len();
        if held > BLOCK_BYTES && self.unread < held / 8 {
            // Escapes within escapes make a beginning long; to read all of it for each byte that follows would take long.
            self.held = buffer;
            return;
        }
        self.unread = 0;
        let views = Views::of(&buffer, false);
        let mut at = self.drop_tails(&views, self.done, out);
        if self.tails.is_empty() {
            at = self.look_through(&views, at, out);
        }
        let open = self.tails.iter().filter(|tail| tail.is_open).map(|tail| tail.at);
        let kept = views.boundary(open.min().unwrap_or(at).min(at));
        self.tails.iter_mut().for_each(|tail| tail.at = tail.at.saturating_sub(kept));
        self.done = at - kept;
        self.shown = self.shown.max(at) - kept;
        buffer.drain(..kept);
        self.held = buffer;
    }

    /// Shows what is no value from `at` on, and masks what is; returns up to where that is decided.
    fn look_through(&mut self, views: &Views<'_>, mut at: usize, out: &mut Vec<u8>) -> usize {
        let patterns = Arc::clone(&self.patterns);
        let mut ahead: Vec<_> = views
            .iter()
            .map(|view| (view, patterns.decided(view, at), patterns.first_value(view, at)))
            .collect();
        loop {
            let decided = ahead.iter().map(|(_, decided, _)| *decided).min().unwrap_or(at);
            let value = ahead.iter().filter_map(|(.., value)| *value).min();
            let Some(start) = value.filter(|start| *start < decided) else {
                self.show(views.text(), at..decided, out);
                return at.max(decided);
            };
            self.show(views.text(), at..start, out);
            at = self.drop_value(views, start, out);
            if !self.tails.is_empty() {
                return at;
            }
            for (view, decided, value) in &mut ahead {
                if *decided < at {
                    *decided = patterns.decided(view, at);
                }
                if value.is_some_and(|start| start < at) {
                    *value = patterns.first_value(view, at);
                }
            }
        }
    }

    /// Shows the first three characters (of a URL its `scheme://`) of what is held back.
    ///
    /// For a terminal whose stream has paused: a prompt that ends, or a key whose echo is, like the beginning of a
    /// value must not be invisible. No more is ever shown, so that a value that is printed slowly stays masked but
    /// for these; a stream that a program reads is never paused, for programs wait for whole lines, and no pattern
    /// begins within a line end.
    pub fn pause(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        let until = self.open_until();
        if until > self.shown {
            out.extend_from_slice(&self.held[self.shown..until]);
            self.shown = until;
        }
    }

    /// Whether [`Masker::pause`] would show anything.
    pub fn has_more_to_show(&self) -> bool {
        self.marker_due || self.shown < self.open_until()
    }

    /// The stream has ended: shows what is held back, unless it is enough of a value to tell.
    ///
    /// What looked like the beginning of a long value may hold a whole short one, so every place is looked at again.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let patterns = Arc::clone(&self.patterns);
        let views = Views::of(&held, true);
        let mut at = self.drop_tails(&views, self.done, out);
        self.end_value(out);
        while at < held.len() {
            let (mut is_value, mut cut_off) = (false, None);
            for view in views.iter() {
                let Some(index) = view.index_of(at) else { continue };
                let rest = &view.bytes()[index..];
                match patterns.at_start(rest) {
                    Found::Value => is_value = true,
                    Found::MaybeLater(range) if rest.len() >= MASKED_AT_THE_END_FROM => {
                        cut_off = Some(range.start);
                    }
                    Found::MaybeLater(_) | Found::Nothing => {}
                }
            }
            if is_value {
                at = self.drop_value(&views, at, out);
                self.end_value(out);
            } else if let Some(pattern) = cut_off {
                self.mark(pattern, out);
                at = held.len();
            } else {
                self.show(&held, at..at + 1, out);
                at += 1;
            }
        }
        (self.done, self.shown, self.unread) = (0, 0, 0);
    }

    /// How much of `held` a pause may show.
    fn open_until(&self) -> usize {
        if self.held.len() <= self.done {
            return 0;
        }
        let views = Views::of(&self.held, false);
        let open = views.iter().filter_map(|view| {
            let Some(index) = view.index_of(self.done) else {
                // The beginning of an escape says nothing either.
                return (view.until() <= self.done).then_some(self.done + SHOWN_AT_A_PAUSE);
            };
            match self.patterns.at_start(&view.bytes()[index..]) {
                Found::MaybeLater(range) => {
                    let open = self.patterns.sorted[range].iter().map(|pattern| pattern.open_bytes).min()?;
                    Some(view.start(index + open))
                }
                Found::Nothing | Found::Value => None,
            }
        });
        open.min().unwrap_or(0).min(self.held.len())
    }

    fn show(&mut self, text: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
        let start = range.start.max(self.shown);
        if start < range.end {
            out.extend_from_slice(&text[start..range.end]);
        }
    }

    fn mark(&mut self, pattern: usize, out: &mut Vec<u8>) {
        self.has_masked = true;
        out.extend_from_slice(self.patterns.markers[self.patterns.sorted[pattern].marker].as_bytes());
    }

    /// Drops the value that begins at `start` in at least one view, as far as it goes; returns where the stream goes
    /// on.
    fn drop_value(&mut self, views: &Views<'_>, start: usize, out: &mut Vec<u8>) -> usize {
        let all = 0..self.patterns.sorted.len();
        let tail =
            |view| Tail { view, range: all.clone(), depth: 0, complete: None, at: start, is_open: true };
        self.tails = (0..DEPTHS).filter(|&view| views.at(view).index_of(start).is_some()).map(tail).collect();
        self.marker_due = true;
        self.drop_tails(views, start, out)
    }

    /// Drops what continues the value from `at` on; returns where the stream goes on.
    fn drop_tails(&mut self, views: &Views<'_>, mut at: usize, out: &mut Vec<u8>) -> usize {
        let patterns = Arc::clone(&self.patterns);
        for tail in self.tails.iter_mut().filter(|tail| tail.is_open) {
            tail.go_on(&patterns, views.at(tail.view));
            at = at.max(tail.at);
        }
        let is_over = self.tails.iter().all(|tail| !tail.is_open);
        let begun = || self.tails.iter().filter(|tail| tail.is_open || tail.depth > 0);
        let marker = |tail: &Tail| patterns.sorted[tail.range.start].marker;
        let is_known = begun().all(|tail| patterns.is_of_one(tail))
            && begun().zip(begun().skip(1)).all(|(one, next)| marker(one) == marker(next));
        if is_over {
            self.end_value(out);
        } else if is_known {
            self.settle(out);
        }
        at
    }

    fn end_value(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        self.tails.clear();
    }

    /// Shows the marker that was waiting for the longest pattern to be known.
    fn settle(&mut self, out: &mut Vec<u8>) {
        let longest = self.tails.iter().max_by_key(|tail| (tail.complete.is_some(), tail.depth));
        if let Some(tail) = longest.filter(|_| self.marker_due) {
            let pattern = tail.complete.unwrap_or(tail.range.start);
            self.mark(pattern, out);
        }
        self.marker_due = false;
    }
}
