//! Finds values in what somebody else wrote, and tells whose they are and in which line: never what they are.
//!
//! Every form in which programs write a value is looked for at once, as the masker does it. The other way, to cut a text
//! into candidates and compare keyed fingerprints of them, opens no value, and misses what stands in the middle of a
//! longer word (`user:password@` in base64, a URL, JSON in JSON) and everything that has no edges, such as a
//! pass phrase; and a table of fingerprints answers guesses for whoever takes it away. Here the values are in memory for
//! as long as the search takes, as for `unsaid run`, and wiped after it.
use super::anchors::{ANCHOR_BYTES, Anchors};
use super::encodings;
use crate::secret::SecretBytes;
use memchr::{memchr_iter, memchr2_iter};
use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::Range;
use zeroize::Zeroizing;

/// So much of a text proves that it is there.
const MOST_COMPARED: usize = 512;
/// A value in an encoding is looked for from this length on, so that no three letters are taken for one.
const ENCODED_FROM_BYTES: usize = 8;
/// A value shorter than this, as it is, must not stand within a longer word.
const WORD_BELOW_BYTES: usize = 16;
/// So much of a text must be there where it was broken over lines.
const BROKEN_FROM_BYTES: usize = 12;
/// How much is read at once. Each file costs buffers of this size, filled with zeros before and after.
const BLOCK_BYTES: usize = 64 << 10;
/// What stays of a block for the next: a text that the end cuts off, with what a broken one has between its lines.
const KEPT_BYTES: usize = 4 * MOST_COMPARED;
/// More places than this in one file tell nothing new.
const MOST_FOUND: usize = 100;

struct Text {
    bytes: Zeroizing<Vec<u8>>,
    whose: usize,
    is_plain: bool,
}

/// What is looked for.
pub struct Sought {
    /// Sorted, so that all that begin alike are neighbours and the shortest comes first.
    sorted: Vec<Text>,
    anchors: Anchors,
}

/// One place where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Which of the values, in the order they were given.
    pub whose: usize,
    /// Counted from 1.
    pub line: u64,
    /// It stands there as it is, and not in an encoding, a part of it, or broken over lines.
    pub is_plain: bool,
}

struct Hit {
    whose: usize,
    at: Range<usize>,
    is_plain: bool,
}

impl Sought {
    /// Looks for these values, and gives back which of them are too short to be looked for.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a SecretBytes>) -> (Self, Vec<usize>) {
        let (mut texts, mut short) = (Vec::new(), Vec::new());
        for (whose, value) in values.into_iter().enumerate() {
            let before = texts.len();
            value.expose(|value| {
                let core = value.trim_ascii();
                for mut bytes in encodings::to_find(value) {
                    let is_plain = core.starts_with(&bytes)
                        && (bytes.len() == core.len() || bytes.len() >= MOST_COMPARED);
                    if !is_plain && bytes.len() < ENCODED_FROM_BYTES {
                        continue;
                    }
                    bytes.truncate(MOST_COMPARED);
                    texts.push(Text { bytes, whose, is_plain });
                }
            });
            if texts.len() == before {
                short.push(whose);
            }
        }
        // Of equal texts of one value the plain one stays.
        texts.sort_unstable_by(|a, b| {
            (&a.bytes[..], a.whose, !a.is_plain).cmp(&(&b.bytes[..], b.whose, !b.is_plain))
        });
        texts.dedup_by(|b, a| a.whose == b.whose && a.bytes[..] == b.bytes[..]);
        let first =
            |text: &Text| *text.bytes.first_chunk::<ANCHOR_BYTES>().expect("shorter values have no texts");
        let anchors = Anchors::new(texts.iter().map(first));
        (Self { sorted: texts, anchors }, short)
    }

    /// `text` with every value in it replaced: a path or a branch may be named after one.
    pub fn masked(&self, text: &str, label: impl Fn(usize) -> String) -> String {
        let mut hits = Vec::new();
        self.hits(text.as_bytes(), 0..text.len(), &mut |hit| hits.push(hit));
        let (mut shown, mut at) = (Vec::new(), 0);
        hits.sort_by_key(|hit| (hit.at.start, std::cmp::Reverse(hit.at.end)));
        for hit in hits {
            if hit.at.start >= at {
                shown.extend_from_slice(&text.as_bytes()[at..hit.at.start]);
                shown.extend_from_slice(format!("[unsaid:{}]", label(hit.whose)).as_bytes());
            }
            at = at.max(hit.at.end);
        }
        shown.extend_from_slice(&text.as_bytes()[at.min(text.len())..]);
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// The values that `text` has in it, each once.
    pub fn within(&self, text: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        self.hits(text, 0..text.len(), &mut |hit| found.push(hit.whose));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Every text that begins in `range`.
    fn hits(&self, text: &[u8], range: Range<usize>, each: &mut dyn FnMut(Hit)) {
        let mut from = range.start;
        while let Some(start) = self.anchors.find(text, from) {
            if start >= range.end {
                return;
            }
            self.hits_at(text, start, each);
            from = start + 1;
        }
    }

    fn hits_at(&self, text: &[u8], start: usize, each: &mut dyn FnMut(Hit)) {
        let mut range = 0..self.sorted.len();
        for (depth, &byte) in text[start..].iter().enumerate() {
            let at = |one: &Text| one.bytes.get(depth).map_or(-1, |&byte| i32::from(byte));
            let within = &self.sorted[range.clone()];
            let low = within.partition_point(|one| at(one) < i32::from(byte));
            let high = low + within[low..].partition_point(|one| at(one) == i32::from(byte));
            range = range.start + low..range.start + high;
            for one in self.sorted[range.clone()].iter().take_while(|one| one.bytes.len() == depth + 1) {
                let at = start..start + depth + 1;
                if !one.is_plain || at.len() >= WORD_BELOW_BYTES || is_word(text, &at) {
                    each(Hit { whose: one.whose, at, is_plain: one.is_plain });
                }
            }
            if range.is_empty() {
                return;
            }
        }
    }
}

/// Whether nothing that belongs to a word stands before and after it.
fn is_word(text: &[u8], at: &Range<usize>) -> bool {
    let is_of_a_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    !is_of_a_word(at.start.checked_sub(1).and_then(|before| text.get(before)))
        && !is_of_a_word(text.get(at.end))
}

/// What one reading came to.
#[derive(Debug, Default)]
pub struct Reading {
    pub found: Vec<Found>,
    pub bytes: u64,
    /// There is more than can be told.
    pub is_cut: bool,
}

/// Reads everything and tells what is in it: each value once a line, in the order of the lines.
///
/// Keeps a block of it at a time, however long a line is. Text in UTF-16 is read as such where it says so itself.
pub fn search(sought: &Sought, from: &mut dyn Read) -> io::Result<Reading> {
    let mut done = Reading::default();
    let mut seen: HashSet<(usize, u64)> = HashSet::new();
    let mut block: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(BLOCK_BYTES + 2 * KEPT_BYTES));
    let mut fresh = Zeroizing::new(vec![0; BLOCK_BYTES]);
    let mut joined = Joined::default();
    let (mut line, mut is_wide, mut skip) = (1u64, false, 0);
    loop {
        let read = fill(from, &mut fresh)?;
        if done.bytes == 0 {
            is_wide = fresh[..read].starts_with(&[0xff, 0xfe]) || fresh[..read].starts_with(&[0xfe, 0xff]);
        }
        done.bytes += read as u64;
        match is_wide {
            true => block.extend(fresh[..read].iter().filter(|byte| **byte != 0)),
            false => block.extend_from_slice(&fresh[..read]),
        }
        let is_last = read < fresh.len();
        // What begins in the last bytes may go on in the next block; what was looked at before begins before `skip`.
        let until = if is_last { block.len() } else { block.len().saturating_sub(KEPT_BYTES).max(skip) };
        let mut here: Vec<(usize, usize, bool)> = Vec::new();
        sought.hits(&block, skip..until, &mut |hit| here.push((hit.at.start, hit.whose, hit.is_plain)));
        joined.of(&block);
        joined.hits(sought, skip..until, &mut |at, whose| here.push((at, whose, false)));
        here.sort_unstable_by_key(|(at, whose, is_plain)| (*at, *whose, !is_plain));
        let mut counted = skip;
        for (at, whose, is_plain) in here {
            line += memchr_iter(b'\n', &block[counted..at]).count() as u64;
            counted = at;
            if !seen.insert((whose, line)) {
                continue;
            }
            match done.found.len() < MOST_FOUND {
                true => done.found.push(Found { whose, line, is_plain }),
                false => done.is_cut = true,
            }
        }
        if is_last {
            return Ok(done);
        }
        // A value a line, for ever: what was seen is not kept for ever.
        if seen.len() > 100 * MOST_FOUND {
            seen.clear();
        }
        line += memchr_iter(b'\n', &block[counted..until]).count() as u64;
        // One byte more stays, which tells whether a word begins.
        let drop = until.saturating_sub(1);
        block.drain(..drop);
        skip = until - drop;
    }
}

/// As much as there is, up to all of `into`.
fn fill(from: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// A block without its line ends, and without what programs put around them when they break a long text: indentation,
/// a backslash, quotes with `+`, a mark of a comment. Line ends that are written out (`\n`) count too.
#[derive(Default)]
struct Joined {
    text: Zeroizing<Vec<u8>>,
    /// Where a line begins: in `text`, and in the block.
    seams: Vec<(usize, usize)>,
}

impl Joined {
    fn of(&mut self, block: &[u8]) {
        self.text.clear();
        self.seams.clear();
        self.seams.push((0, 0));
        let mut begin = 0;
        for at in memchr2_iter(b'\n', b'\\', block) {
            let end = match (block[at], block.get(at + 1)) {
                (b'\n', _) => at + 1,
                (_, Some(b'n' | b'r')) => at + 2,
                _ => continue,
            };
            if at < begin {
                continue;
            }
            let line = without_tail(&block[begin..at]);
            self.text.extend_from_slice(line);
            begin = (end + margin(&block[end..])).max(end);
            self.seams.push((self.text.len(), begin));
        }
        self.text.extend_from_slice(&block[begin.min(block.len())..]);
    }

    /// What a seam goes through, and begins in `range` of the block.
    fn hits(&self, sought: &Sought, range: Range<usize>, each: &mut dyn FnMut(usize, usize)) {
        if self.seams.len() < 2 {
            return;
        }
        sought.hits(&self.text, 0..self.text.len(), &mut |hit| {
            let next = self.seams.partition_point(|(at, _)| *at <= hit.at.start);
            let is_broken = self.seams.get(next).is_some_and(|(at, _)| *at < hit.at.end);
            let (begin, original) = self.seams[next - 1];
            let start = original + (hit.at.start - begin);
            if is_broken && hit.at.len() >= BROKEN_FROM_BYTES && range.contains(&start) {
                each(start, hit.whose);
            }
        });
    }
}

fn without_tail(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii_end();
    while let Some(shorter) = line.strip_suffix(b"\\") {
        line = shorter;
    }
    line = line.trim_ascii_end();
    for operator in [b"+", b"."] {
        if let Some(shorter) = line.strip_suffix(operator)
            && shorter.last().is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\''))
        {
            line = shorter.trim_ascii_end();
        }
    }
    match line {
        [shorter @ .., b'"' | b'\'' | b'`'] => shorter,
        line => line,
    }
}

/// How many bytes at the beginning of a line are not what was broken.
fn margin(line: &[u8]) -> usize {
    let blanks = |text: &[u8]| text.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
    let mut at = blanks(line);
    let marks =
        line[at..].iter().take_while(|b| matches!(b, b'+' | b'.' | b'|' | b'#' | b'>' | b'*' | b'/')).count();
    let after = blanks(&line[at + marks..]);
    if marks > 0 && after > 0 {
        at += marks + after;
    }
    at + usize::from(matches!(line.get(at), Some(b'"' | b'\'' | b'`')))
}
