//! Reads a stream of events (WHATWG HTML, 9.2), in whatever pieces it comes.
use super::MOST_MESSAGE;
use crate::error::{Code, Error, Result};
use std::time::Duration;

/// One event; `data` is empty where it only says where the stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub data: Vec<u8>,
}

/// The reader of one stream.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Of a kind that is no message.
    is_other: bool,
    after_cr: bool,
    has_begun: bool,
    id: Option<String>,
    /// Of the last event that was complete.
    pub last_id: Option<String>,
    /// How long to wait before the stream is asked for again, as the server says.
    pub retry: Option<Duration>,
}

impl Events {
    /// Of a stream that goes on after `last_id`.
    pub fn after(last_id: Option<String>, retry: Option<Duration>) -> Self {
        Self { last_id, retry, ..Self::default() }
    }

    /// Takes the next piece of the stream. Fails with `too_large` for an event that is larger than any message.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MOST_MESSAGE {
                return Err(too_large());
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut line = &line[..];
        if !std::mem::replace(&mut self.has_begun, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || std::str::from_utf8(value).ok();
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.is_other = !matches!(value, b"" | b"message"),
            b"id" if value.len() <= 1024 && value.iter().all(|b| (b' '..=b'~').contains(b)) => {
                self.id = text().map(str::to_owned);
            }
            b"retry" => {
                let told = text().and_then(|text| text.parse::<u32>().ok());
                self.retry = told.map(|ms| Duration::from_millis(u64::from(ms)).min(Duration::from_secs(60)));
            }
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let data = std::mem::take(&mut self.data);
        let (has_data, is_other) = (std::mem::take(&mut self.has_data), std::mem::take(&mut self.is_other));
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        (has_data && !is_other && !data.trim_ascii().is_empty()).then_some(Event { data })
    }
}

pub(super) fn too_large() -> Error {
    Error::new(Code::TooLarge, format!("its answer is larger than {} MiB", MOST_MESSAGE >> 20))
        .next("Ask for less at once.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const STREAM: &str = "\u{feff}: hello\nid: 1\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: ping\ndata: {}\n\nid:2\rretry: 50\rdata\r\revent: message\ndata:{\"b\":2}\n\ndata: cut";

    #[test]
    fn a_stream_is_read_alike_in_whatever_pieces_it_comes() {
        for size in [1, 2, 3, 7, STREAM.len()] {
            let mut events = Events::default();

            let all: Vec<_> = STREAM
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| events.push(piece).expect("small"))
                .map(|event| String::from_utf8(event.data).expect("text"))
                .collect();

            assert_eq!(all, ["{\"a\":\n1}", "{\"b\":2}"], "{size}");
            assert_eq!(events.last_id.as_deref(), Some("2"));
            assert_eq!(events.retry, Some(Duration::from_millis(50)));
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let line = format!("data: {}\n", "a".repeat(1 << 20));

        let refused = (0..=MOST_MESSAGE >> 20).find_map(|_| events.push(line.as_bytes()).err());

        assert_eq!(refused.expect("refused").code, Code::TooLarge);
    }
}
