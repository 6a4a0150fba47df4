//! Bounded lines of a stream, each written over as soon as it has been read.
//!
//! The library's own reader keeps the last message in two buffers for the life of a connection, and what was refused in an
//! argument must not lie in a buffer (H-02).
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::{Zeroize, Zeroizing};

/// The longest message that is read; a longer one is skipped, and the connection goes on (M-04).
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// What is asked of the stream at once, and kept between messages.
const BLOCK: usize = 8 * 1024;

/// Bounded lines of a stream, each written over once it is done with.
pub(super) struct Lines<R> {
    from: R,
    buffer: Zeroizing<Vec<u8>>,
    /// What the stream has given and nobody has taken: `buffer[start..filled]`. All else in the buffer is zeros.
    start: usize,
    filled: usize,
    /// Up to here there is no end of a line.
    searched: usize,
    /// In the rest of a line that was too long.
    is_skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        let buffer = Zeroizing::new(vec![0; BLOCK]);
        Self { from, buffer, start: 0, filled: 0, searched: 0, is_skipping: false }
    }

    /// Waits for the next line, which is [`Self::line`] until [`Self::wipe`]. `false` at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<bool> {
        loop {
            let unseen = &self.buffer[self.searched..self.filled];
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                self.searched += at;
                if !self.is_skipping && self.searched - self.start < MAX_MESSAGE_BYTES {
                    return Ok(true);
                }
                tracing::error!(most = MAX_MESSAGE_BYTES, "a message was too long, and was skipped");
                self.is_skipping = false;
                self.wipe();
                continue;
            }
            self.searched = self.filled;
            if self.is_skipping || self.filled - self.start >= MAX_MESSAGE_BYTES {
                self.is_skipping = true;
                self.wipe();
            }
            self.make_room();
            match self.from.read(&mut self.buffer[self.filled..]).await? {
                0 => return Ok(false),
                read => self.filled += read,
            }
        }
    }

    /// The line that [`Self::next`] found, without its end.
    pub(super) fn line(&self) -> &[u8] {
        &self.buffer[self.start..self.searched]
    }

    /// Writes over all up to where was searched, and the end of the line there.
    pub(super) fn wipe(&mut self) {
        let end = (self.searched + 1).min(self.filled);
        self.buffer[self.start..end].zeroize();
        (self.start, self.searched) = (end, end);
    }

    /// Moves what is left to the front, and makes the buffer larger where that is full, smaller where it is empty.
    fn make_room(&mut self) {
        let left = self.filled - self.start;
        let size = match left {
            0 => BLOCK,
            left if left == self.buffer.len() => left * 2,
            _ => self.buffer.len(),
        };
        if size != self.buffer.len() {
            let mut other = Zeroizing::new(vec![0; size]);
            other[..left].copy_from_slice(&self.buffer[self.start..self.filled]);
            self.buffer = other;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.buffer[left..self.filled].zeroize();
        }
        self.searched -= self.start;
        (self.start, self.filled) = (0, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt as _, DuplexStream};

    fn lines() -> (DuplexStream, Lines<DuplexStream>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        (client, Lines::new(server))
    }

    async fn taken(lines: &mut Lines<DuplexStream>) -> Option<String> {
        if !lines.next().await.unwrap() {
            return None;
        }
        let text = String::from_utf8(lines.line().to_vec()).unwrap();
        lines.wipe();
        Some(text)
    }

    #[tokio::test]
    async fn h_02_nothing_of_a_line_stays_once_it_is_done_with() {
        let (mut client, mut lines) = lines();
        client.write_all(format!("{}\nnext\nha", "k".repeat(5_000)).as_bytes()).await.unwrap();

        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(5_000));
        assert!(!lines.buffer.contains(&b'k'));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        let left = lines.start..lines.filled;
        assert_eq!(&lines.buffer[left.clone()], b"ha");
        let outside = |at: &usize| !left.contains(at);
        assert!((0..lines.buffer.len()).filter(outside).all(|at| lines.buffer[at] == 0));
        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        assert_eq!(&lines.buffer[..2], b"ha");
        assert!(lines.buffer[2..].iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn h_02_a_long_line_leaves_no_long_buffer() {
        let (mut client, mut lines) = lines();
        client.write_all(format!("{}\n", "k".repeat(40_000)).as_bytes()).await.unwrap();

        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(40_000));
        assert!(lines.buffer.iter().all(|byte| *byte == 0));
        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        assert!(lines.buffer.len() == BLOCK && lines.buffer.iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn a_line_that_comes_in_pieces_survives_a_reader_that_gives_up() {
        let (mut client, mut lines) = lines();
        client.write_all(b"half").await.unwrap();

        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        client.write_all(b" whole\r\n").await.unwrap();
        assert_eq!(taken(&mut lines).await.as_deref(), Some("half whole\r"));
        drop(client);
        assert_eq!(taken(&mut lines).await, None);
    }

    #[tokio::test]
    async fn m_04_a_line_too_long_is_skipped_and_the_next_is_read() {
        let (mut client, mut lines) = lines();
        let saying = tokio::spawn(async move {
            for length in [MAX_MESSAGE_BYTES, 2 * MAX_MESSAGE_BYTES + 3, MAX_MESSAGE_BYTES - 1] {
                client.write_all(&vec![b'k'; length]).await.unwrap();
                client.write_all(b"\nnext\n").await.unwrap();
            }
        });

        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(MAX_MESSAGE_BYTES - 1));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await, None);
        saying.await.unwrap();
    }
}
