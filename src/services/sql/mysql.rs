//! MySQL and MariaDB: signing in by the two ways of proving a password that servers use by default, and single statements.
//!
//! The password itself is sent only inside TLS, and only where the server's own default asks for it there.
use super::super::client::{Outbound, Stream};
use super::{Failed, Place, Rows, Tls, WHOLE, Why};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

pub const PORT: u16 = 3306;
const LONG_PASSWORD: u32 = 1;
const WITH_DATABASE: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const WITH_TLS: u32 = 1 << 11;
const SECURE: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;
/// The largest packet read, bytes, and the most rows of an answer.
const MOST_BYTES: usize = 64 * 1024;
const MOST_ROWS: usize = 1000;

/// The server's first packet, as far as it is needed.
struct Greeting {
    can: u32,
    salt: Vec<u8>,
    plugin: String,
    version: String,
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Self> {
        let (version, rest) = packet.split_first()?;
        if *version != 10 {
            return None;
        }
        let end = rest.iter().position(|b| *b == 0)?;
        let version = String::from_utf8_lossy(rest.get(..end)?).into_owned();
        // The number of the connection, then the first part of the salt.
        let rest = rest.get(end + 5..)?;
        let mut salt = rest.get(..8)?.to_vec();
        let can = u32::from(u16::from_le_bytes(rest.get(9..11)?.try_into().ok()?))
            | u32::from(u16::from_le_bytes(rest.get(14..16)?.try_into().ok()?)) << 16;
        let more = usize::from(*rest.get(16)?).saturating_sub(8).max(13);
        let rest = rest.get(27..)?;
        salt.extend_from_slice(rest.get(..more.min(rest.len()))?);
        salt.truncate(20);
        let plugin = rest.get(more..).unwrap_or_default();
        let plugin = plugin.split(|b| *b == 0).next().unwrap_or_default();
        Some(Self { can, salt, plugin: String::from_utf8_lossy(plugin).into_owned(), version })
    }
}

/// The proof of `password` that `plugin` wants. Fails for what we do not do.
fn proof(plugin: &str, password: &[u8], salt: &[u8]) -> Result<Zeroizing<Vec<u8>>, Why> {
    let xor = |a: &[u8], b: &[u8]| Zeroizing::new(a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<_>>());
    match plugin {
        _ if password.is_empty() => Ok(Zeroizing::new(Vec::new())),
        "mysql_native_password" => {
            let once = Sha1::digest(password);
            let mut mixed = Sha1::new();
            mixed.update(salt);
            mixed.update(Sha1::digest(once));
            Ok(xor(&once, &mixed.finalize()))
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password);
            let mut mixed = Sha256::new();
            mixed.update(Sha256::digest(once));
            mixed.update(salt);
            Ok(xor(&once, &mixed.finalize()))
        }
        _ => Err("it asks for a way of signing in that is not supported".into()),
    }
}

/// A conversation in packets, numbered by both sides together.
struct Talk {
    stream: Stream,
    number: u8,
}

const BROKEN: Why = Why::Borrowed("the connection broke off");
const STRANGE: Why = Why::Borrowed("it does not speak MySQL's protocol");

impl Talk {
    async fn read(&mut self) -> Result<Vec<u8>, Why> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.map_err(|_| BROKEN)?;
        let size = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        if size > MOST_BYTES {
            return Err(STRANGE);
        }
        self.number = head[3].wrapping_add(1);
        let mut packet = vec![0; size];
        self.stream.read_exact(&mut packet).await.map_err(|_| BROKEN)?;
        Ok(packet)
    }

    async fn write(&mut self, packet: &[u8]) -> Result<(), Why> {
        let size = u32::try_from(packet.len()).unwrap_or_default().to_le_bytes();
        let mut whole = Zeroizing::new(Vec::with_capacity(packet.len() + 4));
        whole.extend_from_slice(&[size[0], size[1], size[2], self.number]);
        whole.extend_from_slice(packet);
        self.number = self.number.wrapping_add(1);
        self.stream.write_all(&whole).await.map_err(|_| BROKEN)?;
        self.stream.flush().await.map_err(|_| BROKEN)
    }
}

/// Somebody who is signed in. Dropping it ends the connection.
pub struct Session {
    talk: Talk,
    /// As the server says it.
    pub version: String,
    /// Nobody on the way reads what is sent.
    pub has_tls: bool,
}

impl Session {
    pub async fn sign_in(outbound: &Outbound, place: &Place) -> Result<Self, Failed> {
        match tokio::time::timeout(WHOLE, signed_in(outbound, place)).await {
            Ok(session) => session,
            Err(_) => Err(Failed::Unreached("it did not answer in time".into())),
        }
    }

    /// Sends `statement`, once.
    pub async fn run(&mut self, statement: &str) -> Result<Rows, Failed> {
        match tokio::time::timeout(WHOLE, self.asked(statement)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) | Err(_) => Err(Failed::Lost),
        }
    }

    /// Says goodbye (COM_QUIT), so that the server counts no connection that broke off; whether it arrives is all one.
    pub async fn quit(mut self) {
        self.talk.number = 0;
        let _ = tokio::time::timeout(WHOLE, self.talk.write(&[1])).await;
    }

    /// COM_QUERY: an end, an error, or columns and rows between ends.
    async fn asked(&mut self, statement: &str) -> Result<Result<Rows, Failed>, Why> {
        let mut packet = Zeroizing::new(Vec::with_capacity(statement.len() + 1));
        packet.push(3);
        packet.extend_from_slice(statement.as_bytes());
        self.talk.number = 0;
        self.talk.write(&packet).await?;
        let first = self.talk.read().await?;
        let mut columns = match first.first() {
            Some(0) => return Ok(Ok(Rows::new())),
            Some(0xff) => return Ok(Err(refused(&first))),
            Some(count @ 1..=250) => *count,
            _ => return Err(STRANGE),
        };
        while !is_end(&self.talk.read().await?) {
            columns = columns.checked_sub(1).ok_or(STRANGE)?;
        }
        let mut rows = Rows::new();
        loop {
            let packet = self.talk.read().await?;
            match packet.first() {
                Some(0xff) => return Ok(Err(refused(&packet))),
                _ if is_end(&packet) => return Ok(Ok(rows)),
                _ if rows.len() == MOST_ROWS => return Err(STRANGE),
                _ => rows.push(texts(&packet).ok_or(STRANGE)?),
            }
        }
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// The columns of a row, each with its length before it.
fn texts(mut packet: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while let Some((first, rest)) = packet.split_first() {
        let (size, rest) = match *first {
            // NULL.
            251 => (0, rest),
            252 => (usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?)), rest.get(2..)?),
            253.. => return None,
            size => (usize::from(size), rest),
        };
        found.push(String::from_utf8_lossy(rest.get(..size)?).into_owned());
        packet = rest.get(size..)?;
    }
    Some(found)
}

fn refused(packet: &[u8]) -> Failed {
    let code = packet.get(1..3).map_or(0, |code| u32::from(code[0]) | u32::from(code[1]) << 8);
    match code {
        // The session ends, or what a proxy lost: before or after the statement was done.
        1053 | 1152..=1161 | 1180 | 1184 | 1317 | 1927 | 2000..=2999 | 3169 => Failed::Lost,
        _ => Failed::Refused(code.to_string()),
    }
}

async fn signed_in(outbound: &Outbound, place: &Place) -> Result<Session, Failed> {
    if place.tls == Tls::Refused {
        place.expect_plain(outbound).map_err(Failed::Unreached)?;
    }
    let stream = outbound.tcp_to(&place.host, place.port).await.map_err(Failed::Unreached)?;
    let mut talk = Talk { stream, number: 0 };
    let first = talk.read().await.map_err(Failed::Unreached)?;
    if first.first() == Some(&0xff) {
        return Err(refused(&first));
    }
    let greeting = Greeting::read(&first).ok_or(Failed::Unreached(STRANGE))?;
    let has_tls = greet(outbound, place, &mut talk, &greeting).await.map_err(Failed::Unreached)?;
    match answered(&mut talk, place.password.as_bytes(), has_tls).await.map_err(Failed::Unreached)? {
        None => Ok(Session { talk, version: greeting.version, has_tls }),
        Some(failed) => Err(failed),
    }
}

/// The first proof, inside TLS wherever there is any. Returns whether there is.
async fn greet(
    outbound: &Outbound,
    place: &Place,
    talk: &mut Talk,
    greeting: &Greeting,
) -> Result<bool, Why> {
    let mut can = LONG_PASSWORD | PROTOCOL_41 | SECURE | PLUGIN_AUTH;
    if !place.database.is_empty() {
        can |= WITH_DATABASE;
    }
    let has_tls = greeting.can & WITH_TLS != 0 && place.tls != Tls::Refused;
    match has_tls {
        true => {
            can |= WITH_TLS;
            talk.write(&head(can)).await?;
            let plain = std::mem::replace(&mut talk.stream, Box::new(tokio::io::empty()));
            talk.stream = outbound.tls_over(&place.host, plain).await?;
        }
        false => place.expect_plain(outbound)?,
    }
    // A plugin we do not know is answered for by the usual one; the server then says which it wants.
    let plugin = match greeting.plugin.as_str() {
        known @ ("mysql_native_password" | "caching_sha2_password") => known,
        _ => "mysql_native_password",
    };
    let proven = proof(plugin, place.password.as_bytes(), &greeting.salt)?;
    let mut packet = Zeroizing::new(head(can));
    packet.extend_from_slice(place.user.as_bytes());
    packet.push(0);
    packet.push(proven.len() as u8);
    packet.extend_from_slice(&proven);
    if can & WITH_DATABASE != 0 {
        packet.extend_from_slice(place.database.as_bytes());
        packet.push(0);
    }
    packet.extend_from_slice(plugin.as_bytes());
    packet.push(0);
    talk.write(&packet).await?;
    Ok(has_tls)
}

/// Nothing where somebody is signed in.
async fn answered(talk: &mut Talk, password: &[u8], has_tls: bool) -> Result<Option<Failed>, Why> {
    // Another plugin, its way, the end: more turns than these nobody takes.
    for _ in 0..4 {
        let packet = talk.read().await?;
        match packet.split_first() {
            Some((0, _)) => return Ok(None),
            Some((0xff, _)) => return Ok(Some(refused(&packet))),
            Some((0xfe, rest)) => {
                let mut parts = rest.splitn(2, |b| *b == 0);
                let plugin = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
                let salt = parts.next().unwrap_or_default().get(..20).ok_or(STRANGE)?;
                talk.write(&proof(&plugin, password, salt)?).await?;
            }
            // It knows the proof: its yes follows.
            Some((1, [3])) => {}
            // It wants the password itself.
            Some((1, [4])) if has_tls => {
                let mut whole = Zeroizing::new(Vec::with_capacity(password.len() + 1));
                whole.extend_from_slice(password);
                whole.push(0);
                talk.write(&whole).await?;
            }
            Some((1, [4])) => {
                return Err("without TLS it cannot be asked: it wants the password itself".into());
            }
            _ => return Err(STRANGE),
        }
    }
    Err(STRANGE)
}

/// What a request for TLS is, and how a sign-in begins.
fn head(can: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(512);
    packet.extend_from_slice(&can.to_le_bytes());
    packet.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    packet.push(CHARSET);
    packet.extend_from_slice(&[0; 23]);
    packet
}

/// `name` as an identifier, whatever it is made of and whichever `sql_mode` counts.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What a server keeps of `password` for `mysql_native_password`: SHA-1 of SHA-1.
pub fn native_hash(password: &str) -> Zeroizing<String> {
    crate::secret::stack::clean(|| {
        let twice = Sha1::digest(Sha1::digest(password.as_bytes()));
        Zeroizing::new(format!("*{}", data_encoding::HEXUPPER.encode(&twice)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16) -> Failed {
        let [low, high] = code.to_le_bytes();
        refused(&[0xff, low, high, b'#'])
    }

    #[test]
    fn what_ends_a_session_is_no_refusal_and_what_a_server_says_no_with_is() {
        for code in [1053, 1152, 1160, 1161, 1180, 1184, 1317, 1927, 2000, 2006, 2013, 2999, 3169] {
            assert_eq!(said(code), Failed::Lost, "{code}");
        }
        for code in [1044, 1045, 1049, 1064, 1227, 1396, 1819, 3118, 4151] {
            assert_eq!(said(code), Failed::Refused(code.to_string()), "{code}");
        }
    }
}
