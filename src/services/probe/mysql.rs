//! Signing in to MySQL or MariaDB, and nothing after it: the first packets of the protocol, with the two ways of proving a
//! password that servers use by default.
//!
//! The password itself is sent only inside TLS, and only where the server's own default asks for it there.
use super::super::check::Check;
use super::super::client::Stream;
use super::super::service::Service;
use super::database::{Place, Tls, may_be_plain};
use super::subject::Subject;
use super::{Way, Why, limits, refuses, takes};
use crate::model::probe::Probed;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

const LONG_PASSWORD: u32 = 1;
const WITH_DATABASE: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const WITH_TLS: u32 = 1 << 11;
const SECURE: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;
/// The largest packet of a sign-in, bytes.
const MOST_BYTES: usize = 4096;
/// The password was right, and the database is not there, or not for this user.
const SIGNED_IN_AND_NO_FURTHER: [u32; 2] = [1049, 1044];

/// The server's first packet, as far as it is needed.
struct Greeting {
    can: u32,
    salt: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Self> {
        let (version, rest) = packet.split_first()?;
        if *version != 10 {
            return None;
        }
        let end = rest.iter().position(|b| *b == 0)?;
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
        Some(Self { can, salt, plugin: String::from_utf8_lossy(plugin).into_owned() })
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

impl Talk {
    async fn read(&mut self) -> Result<Vec<u8>, Why> {
        let broken = |_| Why::from("the connection broke off");
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.map_err(broken)?;
        let size = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        if size > MOST_BYTES {
            return Err("it does not speak MySQL's protocol".into());
        }
        self.number = head[3].wrapping_add(1);
        let mut packet = vec![0; size];
        self.stream.read_exact(&mut packet).await.map_err(broken)?;
        Ok(packet)
    }

    async fn write(&mut self, packet: &[u8]) -> Result<(), Why> {
        let broken = |_| Why::from("the connection broke off");
        let size = u32::try_from(packet.len()).unwrap_or_default().to_le_bytes();
        let mut whole = Zeroizing::new(Vec::with_capacity(packet.len() + 4));
        whole.extend_from_slice(&[size[0], size[1], size[2], self.number]);
        whole.extend_from_slice(packet);
        self.number = self.number.wrapping_add(1);
        self.stream.write_all(&whole).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }
}

/// How a sign-in ended.
enum Ended {
    In,
    /// By this error number.
    Out(u32),
}

fn error_of(packet: &[u8]) -> u32 {
    packet.get(1..3).map_or(0, |code| u32::from(code[0]) | u32::from(code[1]) << 8)
}

impl Way<'_> {
    pub(super) async fn mysql(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let place = Place::of(subject, 3306)?;
        if place.tls == Tls::Refused {
            may_be_plain(self, &place)?;
        }
        match self.sign_in(&place).await? {
            Ended::In => {
                let mut found = takes(service);
                if place.has_fields && !subject.is_in(&place.user) {
                    found.account = place.user.chars().filter(|c| !c.is_control()).take(100).collect();
                }
                Ok(found)
            }
            Ended::Out(code) if check.invalid_error_codes.contains(&code) => Ok(refuses(service)),
            Ended::Out(code) if SIGNED_IN_AND_NO_FURTHER.contains(&code) => Ok(limits(service)),
            Ended::Out(_) => Err("it did not let us sign in, and not for the password's sake".into()),
        }
    }

    async fn sign_in(&self, place: &Place) -> Result<Ended, Why> {
        let mut talk = Talk { stream: self.outbound.tcp_to(&place.host, place.port).await?, number: 0 };
        let first = talk.read().await?;
        if first.first() == Some(&0xff) {
            return Ok(Ended::Out(error_of(&first)));
        }
        let greeting = Greeting::read(&first).ok_or("it does not speak MySQL's protocol")?;
        let mut can = LONG_PASSWORD | PROTOCOL_41 | SECURE | PLUGIN_AUTH;
        if !place.database.is_empty() {
            can |= WITH_DATABASE;
        }
        let has_tls = greeting.can & WITH_TLS != 0 && place.tls != Tls::Refused;
        match has_tls {
            true => {
                can |= WITH_TLS;
                talk.write(&head(can)).await?;
                talk.stream = self.outbound.tls_over(&place.host, talk.stream).await?;
            }
            false => may_be_plain(self, place)?,
        }
        let password = place.password.as_bytes();
        // A plugin we do not know is answered for by the usual one; the server then says which it wants.
        let plugin = match greeting.plugin.as_str() {
            known @ ("mysql_native_password" | "caching_sha2_password") => known,
            _ => "mysql_native_password",
        };
        let proven = proof(plugin, password, &greeting.salt)?;
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
        self.answered(&mut talk, password, has_tls).await
    }

    async fn answered(&self, talk: &mut Talk, password: &[u8], has_tls: bool) -> Result<Ended, Why> {
        // Another plugin, its way, the end: more turns than these nobody takes.
        for _ in 0..4 {
            let packet = talk.read().await?;
            match packet.split_first() {
                Some((0, _)) => {
                    talk.number = 0;
                    // Goodbye (COM_QUIT); whether it arrives is all one.
                    let _ = talk.write(&[1]).await;
                    return Ok(Ended::In);
                }
                Some((0xff, _)) => return Ok(Ended::Out(error_of(&packet))),
                Some((0xfe, rest)) => {
                    let mut parts = rest.splitn(2, |b| *b == 0);
                    let plugin = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
                    let salt = parts.next().unwrap_or_default();
                    let salt = salt.get(..20).ok_or("it does not speak MySQL's protocol")?;
                    let proven = proof(&plugin, password, salt)?;
                    talk.write(&proven).await?;
                }
                // It knows the proof: its yes follows.
                Some((1, [3])) => {}
                // It wants the password itself.
                Some((1, [4])) if has_tls => {
                    let mut whole = Zeroizing::new(password.to_vec());
                    whole.push(0);
                    talk.write(&whole).await?;
                }
                Some((1, [4])) => {
                    return Err("without TLS it cannot be asked: it wants the password itself".into());
                }
                _ => return Err("it does not speak MySQL's protocol".into()),
            }
        }
        Err("it does not speak MySQL's protocol".into())
    }
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
