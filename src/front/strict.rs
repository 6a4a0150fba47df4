//! Reads along with the HTTP library, and lets only such requests through to it that no two readers frame differently.
//!
//! The library mends what it may (RFC 9112 §6.3: of two lengths it takes one; a fragment it cuts off), and what it has
//! mended nobody behind it can see. Here such a request is replaced by one that is answered with the reason, and the
//! connection ends. Bodies pass through; only the sizes of their chunks are looked at.
use crate::error::{Code, Error, invalid};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The largest head, bytes, and the most headers.
const MOST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;
const MOST_TRAILERS: usize = 8 * 1024;
/// What is read at once where it is looked at.
const PIECE: usize = 8 * 1024;
/// What stands in for a refused request. Whoever sends it himself asks for a page that there is not.
const STAND_IN: &str = "/.malformed";
const STAND_IN_HEAD: &[u8] = b"GET /.malformed HTTP/1.1\r\nhost: malformed\r\nconnection: close\r\n\r\n";

/// Why a connection's last request was refused.
#[derive(Clone, Default)]
pub(super) struct Malformed(Arc<OnceLock<Wrong>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wrong {
    status: u16,
    why: &'static str,
}

const fn wrong(why: &'static str) -> Wrong {
    Wrong { status: 400, why }
}

impl Malformed {
    /// The refusal that a request for `path` is answered with, and its status, if it stands in for a refused one.
    pub fn refusal(&self, path: &str) -> Option<(u16, Error)> {
        let wrong = self.0.get().filter(|_| path == STAND_IN)?;
        let error = match wrong.status {
            431 => {
                Error::new(Code::TooLarge, wrong.why).next("Send fewer headers: 100 of them, 64 KiB in all.")
            }
            _ => invalid(wrong.why).next("Send plain HTTP/1.1 (RFC 9112), each request framed in one way."),
        };
        Some((wrong.status, error))
    }
}

/// One connection.
pub(super) struct Strict<S> {
    inner: S,
    malformed: Malformed,
    state: State,
    /// A line or a head that is not complete.
    begun: Vec<u8>,
    /// Looked at, and not yet read.
    passed: Vec<u8>,
    at: usize,
}

enum State {
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Nothing more is read.
    Over,
}

impl<S> Strict<S> {
    pub fn new(inner: S, malformed: Malformed) -> Self {
        Self { inner, malformed, state: State::Head, begun: Vec::new(), passed: Vec::new(), at: 0 }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.head(bytes),
                State::Body(left) => {
                    let (these, rest) = split(bytes, left);
                    self.passed.extend_from_slice(these);
                    self.body_came(these.len());
                    rest
                }
                State::ChunkSize => self.line(bytes, 18, Self::chunk_size),
                State::Chunk(left) => {
                    let (these, rest) = split(bytes, left);
                    self.passed.extend_from_slice(these);
                    self.body_came(these.len());
                    rest
                }
                State::ChunkEnd => self.line(bytes, 2, |strict, line| match line {
                    b"\r\n" => strict.state = State::ChunkSize,
                    _ => strict.break_off(),
                }),
                State::Trailers => {
                    self.line(bytes, MOST_TRAILERS, |strict, line| match header(&line[..line.len() - 2]) {
                        _ if line == b"\r\n" => strict.state = State::Head,
                        Ok(_) => {}
                        Err(_) => strict.break_off(),
                    })
                }
                State::Over => return,
            };
        }
    }

    /// So much of a body or a chunk has passed.
    fn body_came(&mut self, bytes: usize) {
        match &mut self.state {
            State::Body(left) => {
                *left -= bytes as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
            }
            State::Chunk(left) => {
                *left -= bytes as u64;
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
            }
            _ => {}
        }
    }

    /// Takes of `bytes` what belongs to a head; returns what does not.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        // An empty line before a request means nothing (RFC 9112 §2.2).
        match (&self.begun[..], bytes) {
            (b"", [b'\r', b'\n', rest @ ..]) => return rest,
            (b"\r", [b'\n', rest @ ..]) => {
                self.begun.clear();
                return rest;
            }
            _ => {}
        }
        let from = self.begun.len().saturating_sub(3);
        let had = self.begun.len();
        self.begun.extend_from_slice(bytes);
        let end = self.begun[from..].windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end.map(|at| from + at + 4) else {
            if self.begun.len() > MOST_HEAD {
                self.refuse(TOO_LARGE);
            }
            return &[];
        };
        let (head, rest) = (&self.begun[..end], &bytes[end - had..]);
        match framing(head) {
            Ok(state) => {
                self.passed.extend_from_slice(head);
                self.state = state;
                // A connection may wait for long: nothing of a head is kept for it, and what is freed is wiped (H-01).
                self.begun = Vec::new();
                rest
            }
            Err(wrong) => {
                self.refuse(wrong);
                &[]
            }
        }
    }

    /// Takes a line of at most `most` bytes, and calls `done` with it once it is whole.
    fn line<'a>(&mut self, bytes: &'a [u8], most: usize, done: fn(&mut Self, &[u8])) -> &'a [u8] {
        let (these, rest) = match bytes.iter().position(|b| *b == b'\n') {
            Some(at) => bytes.split_at(at + 1),
            None => (bytes, &[][..]),
        };
        self.begun.extend_from_slice(these);
        let line = std::mem::take(&mut self.begun);
        let is_whole = line.ends_with(b"\n");
        let is_plain = line.ends_with(b"\r\n");
        if line.len() > most || (is_whole && !is_plain) {
            self.break_off();
        } else if is_whole {
            done(self, &line);
            if !matches!(self.state, State::Over) {
                self.passed.extend_from_slice(&line);
            }
        } else {
            self.begun = line;
        }
        rest
    }

    /// Digits alone: an extension (RFC 9112 §7.1.1) means nothing to anybody, and is read in many ways.
    fn chunk_size(&mut self, line: &[u8]) {
        let digits = &line[..line.len() - 2];
        let size =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        self.state = match size.and_then(|text| u64::from_str_radix(text, 16).ok()) {
            Some(0) => State::Trailers,
            Some(size) if size <= i64::MAX as u64 => State::Chunk(size),
            _ => return self.break_off(),
        };
    }

    fn refuse(&mut self, wrong: Wrong) {
        // Only ever the last of a connection.
        let _ = self.malformed.0.set(wrong);
        self.passed.extend_from_slice(STAND_IN_HEAD);
        self.begun = Vec::new();
        self.state = State::Over;
    }

    /// Within a body, whose head is out already: what is neither a size nor a trailer ends it, and it is never whole.
    fn break_off(&mut self) {
        self.passed.extend_from_slice(b"z\r\n\r\n");
        self.begun = Vec::new();
        self.state = State::Over;
    }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()))
}

const TOO_LARGE: Wrong = Wrong { status: 431, why: "the request's head is too large" };

/// How the body that follows `head` is framed; `head` ends with its empty line.
fn framing(head: &[u8]) -> Result<State, Wrong> {
    if head.len() > MOST_HEAD {
        return Err(TOO_LARGE);
    }
    let mut lines = head[..head.len() - 4].split(|b| *b == b'\n').peekable();
    let mut next = || -> Result<Option<&[u8]>, Wrong> {
        let Some(line) = lines.next() else { return Ok(None) };
        let is_last = lines.peek().is_none();
        let line = match line.strip_suffix(b"\r") {
            Some(line) if !is_last => line,
            None if is_last => line,
            _ => return Err(wrong("a line of the request does not end with CR LF")),
        };
        Ok(Some(line))
    };
    let has_chunks = request_line(next()?.unwrap_or_default())?;
    let (mut length, mut is_chunked, mut hosts, mut count) = (None, false, 0, 0);
    while let Some(line) = next()? {
        let (name, value) = header(line)?;
        count += 1;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("content-length") {
            let said = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
            let said = said.and_then(|said| said.parse::<u64>().ok()).filter(|said| *said <= i64::MAX as u64);
            let said = said.ok_or(wrong("the request's Content-Length is no length"))?;
            if length.replace(said).is_some() {
                return Err(wrong("the request has more than one Content-Length"));
            }
        } else if is("transfer-encoding") {
            if is_chunked || !has_chunks {
                return Err(wrong("the request has a Transfer-Encoding too many"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(wrong("the request's Transfer-Encoding is not chunked"));
            }
            is_chunked = true;
        } else if is("host") {
            hosts += 1;
        }
    }
    if count > MOST_HEADERS {
        return Err(TOO_LARGE);
    }
    if hosts > 1 {
        return Err(wrong("the request has more than one Host"));
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(wrong("the request has both Content-Length and Transfer-Encoding")),
        (None, true) => Ok(State::ChunkSize),
        (None | Some(0), false) => Ok(State::Head),
        (Some(length), false) => Ok(State::Body(length)),
    }
}

/// Method, target, version, with one space between them. Returns whether the version has chunks.
fn request_line(line: &[u8]) -> Result<bool, Wrong> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong("the request line is not METHOD target HTTP/1.1"));
    };
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(wrong("the request's method is no word"));
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(wrong("the request's target has a character that must be encoded"));
    }
    if target.contains(&b'#') {
        return Err(wrong("the request's target has a fragment"));
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(wrong("the request is not HTTP/1.1")),
    }
}

/// Name and value. A line that begins with a space would go on with the one before it (obs-fold, RFC 9112 §5.2).
fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Wrong> {
    let at = line.iter().position(|b| *b == b':').ok_or(wrong("a header has no colon"))?;
    let (name, value) = (&line[..at], line[at + 1..].trim_ascii());
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(wrong("a header's name has a character that no name has, or begins with a space"));
    }
    if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
        return Err(wrong("a header's value has a control character"));
    }
    Ok((name, value))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.at < this.passed.len() {
                let size = buf.remaining().min(this.passed.len() - this.at);
                buf.put_slice(&this.passed[this.at..this.at + size]);
                this.at += size;
                if this.at == this.passed.len() {
                    this.passed = Vec::new();
                    this.at = 0;
                }
                return Poll::Ready(Ok(()));
            }
            match this.state {
                // Not its end: the library would go away without an answer. It does once it has answered.
                State::Over => return Poll::Pending,
                State::Body(left) | State::Chunk(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining());
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
                    let came = part.filled().len();
                    buf.advance(came);
                    this.body_came(came);
                    return Poll::Ready(Ok(()));
                }
                _ => {
                    // Not on the stack, where it would stay: what is freed is wiped (H-01).
                    let mut piece = vec![0; PIECE];
                    let mut came = ReadBuf::new(&mut piece);
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut came))?;
                    if came.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    this.take(came.filled());
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::io::AsyncReadExt;

    /// What the library would read, however the bytes were cut; and what was wrong.
    async fn read(bytes: &[u8]) -> (Vec<u8>, Option<Wrong>) {
        let mut seen = None;
        for cut in [1, 2, 3, 7, bytes.len().max(1)] {
            let malformed = Malformed::default();
            let mut strict = Strict::new(Cut(bytes, cut), malformed.clone());
            let mut all = Vec::new();
            let mut piece = [0; 64];
            // Until it ends, or has nothing more to say.
            while let Some(Ok(size @ 1..)) = strict.read(&mut piece).now_or_never() {
                all.extend_from_slice(&piece[..size]);
            }
            let this = (all, malformed.0.get().copied());
            assert!(seen.as_ref().is_none_or(|seen| *seen == this), "cut {cut}");
            seen = Some(this);
        }
        seen.unwrap()
    }

    /// Gives at most `cut` bytes at a time.
    struct Cut<'a>(&'a [u8], usize);

    impl AsyncRead for Cut<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let size = self.1.min(self.0.len()).min(buf.remaining());
            let (these, rest) = self.0.split_at(size);
            buf.put_slice(these);
            self.0 = rest;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn plain_requests_pass_as_they_are_one_after_the_other() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a?b HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nhost:a\r\nX-\u{e9}\r\n\r\n"
                .replace("X-\u{e9}", "X: \u{e9}\t1")
                .as_str(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe\n\rlGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "",
        ] {
            let (passed, wrong) = read(text.as_bytes()).await;
            assert_eq!((String::from_utf8_lossy(&passed).as_ref(), wrong), (text, None));
        }
        let (passed, _) = read(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(passed, b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    }

    #[tokio::test]
    async fn b_13_what_two_readers_frame_differently_is_replaced_by_its_refusal() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n";
        let post = "POST / HTTP/1.1\r\nHost: a\r\n";
        for text in [
            format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
            format!("{post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
            format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
            format!("{post}Content-Length: 5, 5\r\n\r\nhello"),
            format!("{post}Content-Length: +5\r\n\r\nhello"),
            format!("{post}Content-Length: -1\r\n\r\n"),
            format!("{post}Content-Length: 0x5\r\n\r\nhello"),
            format!("{post}Content-Length:\r\n\r\nhello"),
            format!("{post}Content-Length: 99999999999999999999\r\n\r\nhello"),
            format!("{post}Transfer-Encoding: identity\r\n\r\n"),
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n"),
            format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
            format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
            format!("{post}X: a\r\n Transfer-Encoding: chunked\r\n\r\n"),
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            format!("{get}X: a\r\n b\r\n\r\n"),
            format!("{get}Host: b\r\n\r\n"),
            format!("{get}X: a\nY: b\r\n\r\n"),
            format!("{get}X: a\rY: b\r\n\r\n"),
            format!("{get}X: a\0b\r\n\r\n"),
            format!("{get}no colon\r\n\r\n"),
            format!("{get}: empty\r\n\r\n"),
            format!("{get}X\u{e9}: a\r\n\r\n"),
            "GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /\tHTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            "GET /\r\n\r\n".into(),
            "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            format!("{get}{}\r\n", "X: y\r\n".repeat(MOST_HEADERS)),
            format!("{get}X: {}\r\n\r\n", "y".repeat(MOST_HEAD)),
            format!("{get}X: {}", "y".repeat(MOST_HEAD + 1)),
        ] {
            let (passed, wrong) = read(text.as_bytes()).await;
            assert!(passed == STAND_IN_HEAD && wrong.is_some(), "{}", &text[..text.len().min(200)]);
            // What came before it is answered as ever.
            let before = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let (passed, _) = read(format!("{before}{text}").as_bytes()).await;
            assert!(passed == [before.as_bytes(), STAND_IN_HEAD].concat());
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_that_are_no_pieces_never_ends() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (body, passed_of_it) in [
            ("z\r\n", ""),
            ("\r\n", ""),
            ("-1\r\n", ""),
            ("+1\r\na\r\n", ""),
            ("0x1\r\na\r\n", ""),
            (" 1\r\na\r\n", ""),
            ("1 \r\na\r\n", ""),
            ("1;a=b\r\na\r\n", ""),
            ("1\na\r\n", ""),
            ("ffffffffffffffff\r\na\r\n", ""),
            ("10000000000000001\r\na\r\n", ""),
            ("1\r\nab\r\n", "1\r\na"),
            ("1\r\na\n", "1\r\na"),
            ("1\r\na\r\n0\r\n x: y\r\n\r\n", "1\r\na\r\n0\r\n"),
        ] {
            let (passed, _) = read(format!("{head}{body}").as_bytes()).await;
            assert_eq!(String::from_utf8_lossy(&passed), format!("{head}{passed_of_it}z\r\n\r\n"), "{body}");
        }
    }
}
