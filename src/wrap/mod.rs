//! Takes plaintext values out of the configuration files of MCP clients: finds them, says what can be done about
//! each, and rewrites the file so that the servers are started by `unsaid mcp`.
//!
//! Pure text in, pure text out: nothing here reads or writes a file, starts a program or knows a vault. A value is in
//! a [`Secret`](crate::secret::Secret) or in wiped text; what is meant to be shown ([`Plan`], [`Rewritten::diff`], errors) has none. Whatever
//! a rewrite was not told to change stays as it is, byte for byte; a file that is not understood is refused whole.
//!
//! ```text
//! read(bytes) ── Config::plan() ── (a person decides) ── Config::rewrite(…) ── text, masked diff
//!                    └── FoundServer::launch(): what the consumer must run; remote(): what it sends where
//! ```
mod arguments;
mod document;
mod found;
mod judge;
mod mask;
mod notes;
mod place;
mod plan;
mod remote;
mod rewrite;
mod server;

use zeroize::Zeroizing;

use crate::error::Result;
use crate::model::suspicion::Detector;
use crate::services::{Catalogue, Servers};

pub use document::MAX_FILE_BYTES;
pub use found::{ConsumerLaunch, Fate, FoundServer, FoundValue, Guess, Note, ServerKind, Where};
pub use place::Client;
pub use plan::{Plan, PlannedServer, PlannedValue};
pub use remote::ConsumerRemote;
pub use rewrite::{Rewrite, Rewritten};

/// What tells a secret from plain configuration.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    pub servers: &'a Servers,
    pub catalogue: &'a Catalogue,
    pub detector: &'a Detector,
}

/// A client's configuration file, read.
pub struct Config {
    /// Without the byte order mark.
    text: Zeroizing<String>,
    has_bom: bool,
    client: Option<Client>,
    /// In the order of the file.
    servers: Vec<FoundServer>,
    notes: Vec<Note>,
}

/// Reads the file of `client`; of any client that we know, where that is not said.
///
/// JSON with comments and trailing commas is taken, as these clients take it. Fails with `too_large` above 8 MiB and
/// with `invalid_file` for another encoding than UTF-8, broken or very deep JSON, servers that are no object, and a
/// key that stands twice where it matters (its reader and we might choose differently). A message names a line, never
/// what stands there. A file without servers is read as such.
pub fn read(bytes: &[u8], client: Option<Client>, known: &Knowledge<'_>) -> Result<Config> {
    let (text, has_bom) = document::decode(bytes)?;
    let (servers, notes) = server::find_all(&text, client, known)?;
    Ok(Config { text, has_bom, client, servers, notes })
}

impl Config {
    pub fn servers(&self) -> &[FoundServer] {
        &self.servers
    }

    /// What else a person should know about the file.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

#[cfg(test)]
mod tests;
