//! A stream as it is, and as it reads once the escapes of JSON are undone: in one document, in a document within a
//! document, and in one within that.
//!
//! A character in a JSON string can be written in many ways, every one of them as `\u0041`, and each program that writes
//! JSON has its own habit. Whoever looks for a text looks for it in every view, and need not know the habits.
use zeroize::Zeroizing;

/// The stream itself, and so many documents deep.
pub(super) const DEPTHS: usize = 4;

/// One way to read a part of a stream.
pub(super) struct View<'a> {
    text: Text<'a>,
    /// Where this view ends in the stream: what follows is the beginning of an escape.
    until: usize,
}

enum Text<'a> {
    AsItIs(&'a [u8]),
    /// And where the stream has what each byte is of. Characters follow one another there without a gap.
    Unescaped(Zeroizing<Vec<u8>>, Vec<usize>),
}

impl View<'_> {
    pub fn bytes(&self) -> &[u8] {
        match &self.text {
            Text::AsItIs(bytes) => bytes,
            Text::Unescaped(bytes, _) => bytes,
        }
    }

    pub fn until(&self) -> usize {
        self.until
    }

    /// Where the character begins in the stream that the byte at `index` is of; at the end of this view, where that ends.
    pub fn start(&self, index: usize) -> usize {
        match &self.text {
            Text::AsItIs(_) => index.min(self.until),
            Text::Unescaped(_, starts) => starts.get(index).copied().unwrap_or(self.until),
        }
    }

    /// Where that character ends.
    pub fn end(&self, index: usize) -> usize {
        match &self.text {
            Text::AsItIs(_) => index + 1,
            Text::Unescaped(_, starts) => {
                let after = starts[index..].iter().find(|start| **start > starts[index]);
                after.copied().unwrap_or(self.until)
            }
        }
    }

    /// The first byte that stands at `place` of the stream or after it.
    pub fn index(&self, place: usize) -> usize {
        match &self.text {
            Text::AsItIs(bytes) => place.min(bytes.len()),
            Text::Unescaped(_, starts) => starts.partition_point(|start| *start < place),
        }
    }

    /// The byte that stands at `place` of the stream, if a character begins there.
    pub fn index_of(&self, place: usize) -> Option<usize> {
        let index = self.index(place);
        (index < self.bytes().len() && self.start(index) == place).then_some(index)
    }

    /// Whether a character begins with the byte at `index`.
    pub fn begins_at(&self, index: usize) -> bool {
        index == 0 || self.start(index - 1) != self.start(index)
    }

    /// With the escapes undone; where the stream has ended, a beginning of one is what it looks like.
    fn unescaped(&self, has_ended: bool) -> View<'static> {
        let from = self.bytes();
        // Nothing becomes longer, so nothing is left behind where memory had to grow.
        let mut bytes = Zeroizing::new(Vec::with_capacity(from.len()));
        let mut starts = Vec::with_capacity(from.len());
        let mut at = 0;
        while at < from.len() {
            let plain = match escape(&from[at..]) {
                Escape::Of(character, size) => {
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    starts.resize(bytes.len(), self.start(at));
                    at += size;
                    continue;
                }
                Escape::CutOff if !has_ended => break,
                Escape::CutOff | Escape::No => {
                    let rest = &from[at + 1..];
                    1 + rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len())
                }
            };
            bytes.extend_from_slice(&from[at..at + plain]);
            match &self.text {
                Text::AsItIs(_) => starts.extend(at..at + plain),
                Text::Unescaped(_, all) => starts.extend_from_slice(&all[at..at + plain]),
            }
            at += plain;
        }
        View { until: self.start(at), text: Text::Unescaped(bytes, starts) }
    }
}

/// Every view that differs from the one before.
pub(super) struct Views<'a>(Vec<View<'a>>);

impl<'a> Views<'a> {
    /// Of `text`, which begins with no part of an escape; `has_ended` where nothing follows.
    pub fn of(text: &'a [u8], has_ended: bool) -> Self {
        let mut all = vec![View { text: Text::AsItIs(text), until: text.len() }];
        while let Some(last) = all.last().filter(|last| all.len() < DEPTHS && has_escapes(last.bytes())) {
            let next = last.unescaped(has_ended);
            // An escape is longer than what it stands for: of the same length, there was none.
            if next.bytes().len() == last.bytes().len() {
                break;
            }
            all.push(next);
        }
        Self(all)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, View<'a>> {
        self.0.iter()
    }

    /// As it is.
    pub fn text(&self) -> &[u8] {
        self.0[0].bytes()
    }

    pub fn at(&self, depth: usize) -> &View<'a> {
        &self.0[depth.min(self.0.len() - 1)]
    }

    /// The last place up to `place` where a character begins in every view. Escapes nest, so the deepest one tells.
    pub fn boundary(&self, place: usize) -> usize {
        let deepest = self.at(DEPTHS);
        let place = place.min(deepest.until());
        let index = deepest.index(place);
        match deepest.start(index) == place {
            true => place,
            false => deepest.start(index.saturating_sub(1)),
        }
    }
}

/// Whether `text` may read otherwise than it is.
pub(super) fn has_escapes(text: &[u8]) -> bool {
    text.contains(&b'\\')
}

enum Escape {
    No,
    /// So many bytes stand for a character.
    Of(char, usize),
    /// What follows decides.
    CutOff,
}

/// What `text` begins with: an escape of JSON (RFC 8259 §7), or `\'`, which other writers have.
fn escape(text: &[u8]) -> Escape {
    let character = match text {
        [b'\\', b'u', digits @ ..] => return unicode(digits),
        [b'\\'] => return Escape::CutOff,
        [b'\\', same @ (b'"' | b'\\' | b'/' | b'\''), ..] => char::from(*same),
        [b'\\', b'b', ..] => '\u{8}',
        [b'\\', b'f', ..] => '\u{c}',
        [b'\\', b'n', ..] => '\n',
        [b'\\', b'r', ..] => '\r',
        [b'\\', b't', ..] => '\t',
        _ => return Escape::No,
    };
    Escape::Of(character, 2)
}

/// After `\u`. A character outside the basic plane takes two of them; half of one is no character.
fn unicode(digits: &[u8]) -> Escape {
    let first = match unit(digits) {
        Unit::Is(first) => first,
        Unit::No => return Escape::No,
        Unit::CutOff => return Escape::CutOff,
    };
    if let Some(character) = char::from_u32(first) {
        return Escape::Of(character, 6);
    }
    let second = match &digits[4..] {
        _ if first >= 0xDC00 => return Escape::No,
        [] | [b'\\'] => return Escape::CutOff,
        [b'\\', b'u', digits @ ..] => match unit(digits) {
            Unit::Is(second @ 0xDC00..=0xDFFF) => second,
            Unit::CutOff => return Escape::CutOff,
            Unit::Is(_) | Unit::No => return Escape::No,
        },
        _ => return Escape::No,
    };
    let point = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    char::from_u32(point).map_or(Escape::No, |character| Escape::Of(character, 12))
}

enum Unit {
    Is(u32),
    No,
    CutOff,
}

fn unit(digits: &[u8]) -> Unit {
    let mut unit = 0;
    for place in 0..4 {
        let Some(&digit) = digits.get(place) else { return Unit::CutOff };
        let Some(digit) = char::from(digit).to_digit(16) else { return Unit::No };
        unit = (unit << 4) | digit;
    }
    Unit::Is(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, depth: usize) -> String {
        String::from_utf8_lossy(Views::of(text.as_bytes(), true).at(depth).bytes()).into_owned()
    }

    #[test]
    fn a_view_reads_what_a_reader_of_json_reads() {
        for text in [r#"a\u0041\u00e9\"\\\/\b\f\n\r\tz"#, r#"\ud83d\ude00\u20AC"#, r#"\\u0041"#, "plain"] {
            let json: String = serde_json::from_str(&format!("\"{text}\"")).expect("JSON");
            assert_eq!(read(text, 1), json);
        }
        assert_eq!(read(r"\\u0041", 2), "A");
        assert_eq!(read(r"\\\\u0041", 3), "A");
        assert_eq!(read(r"\u005c\u0075\u0030\u0030\u0034\u0031", 2), "A");
    }

    #[test]
    fn what_is_no_escape_stays_what_it_is() {
        for text in [
            r"\x41",
            r"\u00g1",
            r"\U0041",
            r"\ud83d",
            r"\ud83dxx",
            r"\ud83d\n",
            r"\ud83dA",
            r"\ude00",
            r"\u004",
            r"C:\Users",
            r"\",
            r"\ud83d\u00",
        ] {
            let kept = read(text, 1);
            let plain = text.replace(r"\n", "\n");
            assert_eq!(kept, plain, "{text}");
        }
    }

    #[test]
    fn the_beginning_of_an_escape_is_not_read_before_its_end_is_there() {
        let text = br"ab\\u00e9c\ud83d\ude00";
        for cut in 0..=text.len() {
            let views = Views::of(&text[..cut], false);

            for (shallow, deep) in views.iter().zip(views.iter().skip(1)) {
                assert!(deep.until() <= shallow.until());
            }
            let kept = views.boundary(cut);
            assert!(kept <= cut && [0, 1, 2, 9, 10, 22].contains(&kept), "{cut} {kept}");
        }
    }

    #[test]
    fn every_byte_knows_where_the_stream_has_it() {
        let views = Views::of(br"x\u00e9\\n!", true);
        let (once, twice) = (views.at(1), views.at(2));

        assert_eq!(once.bytes(), "x\u{e9}\\n!".as_bytes());
        let place = |view: &View<'_>, index| view.start(index)..view.end(index);
        assert_eq!([0, 1, 2, 3].map(|index| place(once, index)), [0..1, 1..7, 1..7, 7..9]);
        assert_eq!((once.index_of(7), once.index_of(8), once.index_of(2)), (Some(3), None, None));
        assert!(once.begins_at(1) && !once.begins_at(2) && once.begins_at(3));
        assert_eq!((twice.bytes(), place(twice, 3)), ("x\u{e9}\n!".as_bytes(), 7..10));
        assert_eq!((twice.end(4), twice.start(5)), (11, 11));
        assert_eq!((views.boundary(8), views.boundary(9), views.boundary(10)), (7, 7, 10));
        assert!(Views::of(b"no escapes", false).iter().count() == 1);
    }
}
