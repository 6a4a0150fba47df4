//! A reader that leaves nothing of a message behind: what was refused in an argument must not lie in a buffer (H-02).
//!
//! The protocol library keeps two buffers for the life of a connection, a block of its reader and the line it is in,
//! and clears neither when a message has been taken out of them. So whenever the client has nothing more to say, this
//! says a line of spaces, as long as the longest message since: it lies over the rest of that message, and is then
//! thrown away, as every line is that holds no JSON.
use super::stdio::MAX_MESSAGE_BYTES;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// The size of the library's block: whole ones are said, so that all of it is written over.
const BLOCK: usize = 8 * 1024;

pub(super) struct Wiping<R> {
    inner: R,
    /// Bytes of the line that is being read.
    line: usize,
    /// Bytes of the longest line since the last wipe.
    longest: usize,
    /// What is left to say of the line of spaces.
    owed: usize,
}

impl<R> Wiping<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, line: 0, longest: 0, owed: 0 }
    }

    fn count(&mut self, read: &[u8]) {
        for &byte in read {
            self.line += 1;
            self.longest = self.longest.max(self.line);
            if byte == b'\n' {
                self.line = 0;
            }
        }
    }

    /// Says as much of the line as there is room for.
    fn say(&mut self, buffer: &mut ReadBuf<'_>) {
        let size = self.owed.min(buffer.remaining());
        let room = buffer.initialize_unfilled_to(size);
        room.fill(b' ');
        self.owed -= size;
        if self.owed == 0
            && let Some(last) = room.last_mut()
        {
            *last = b'\n';
        }
        buffer.advance(size);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Wiping<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.owed > 0 {
            self.say(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        match &read {
            Poll::Ready(_) => {
                let read = &buffer.filled()[before..];
                self.count(read);
            }
            // Only between two messages: in the middle of one it would become a part of it.
            Poll::Pending if self.longest > 0 && self.line == 0 => {
                self.owed = self.longest.next_multiple_of(BLOCK).min(MAX_MESSAGE_BYTES);
                self.longest = 0;
                self.say(buffer);
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => {}
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};

    #[tokio::test]
    async fn h_02_after_the_last_message_comes_a_line_of_spaces_that_covers_the_longest() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut reader = BufReader::with_capacity(BLOCK, Wiping::new(server));
        let long = format!("{}\n", "k".repeat(10_000));
        client.write_all(format!("{long}short\n").as_bytes()).await.unwrap();

        let mut read = vec![0; long.len() + "short\n".len()];
        reader.read_exact(&mut read).await.unwrap();
        let mut blank = vec![0; 2 * BLOCK];
        reader.read_exact(&mut blank).await.unwrap();

        assert!(read.ends_with(b"short\n"));
        assert!(blank[..blank.len() - 1].iter().all(|b| *b == b' ') && blank.ends_with(b"\n"));
    }

    #[tokio::test]
    async fn a_message_that_comes_in_pieces_is_not_broken_and_an_idle_line_is_wiped_once() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut reader = Wiping::new(server);
        let mut read = vec![0; BLOCK];

        client.write_all(b"half").await.unwrap();
        assert_eq!(reader.read(&mut read).await.unwrap(), 4);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), reader.read(&mut read)).await;
        assert!(waits.is_err());
        client.write_all(b" whole\n").await.unwrap();
        assert_eq!(reader.read(&mut read).await.unwrap(), 7);
        assert_eq!(reader.read(&mut read).await.unwrap(), BLOCK);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), reader.read(&mut read)).await;

        assert!(waits.is_err());
    }
}
