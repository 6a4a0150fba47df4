//! PostgreSQL: signing in, and statements without parameters.
use super::super::client::{Outbound, Stream};
use super::{Failed, Place, Rows, Tls, WHOLE, Why};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

pub const PORT: u16 = 5432;
/// Asks for TLS (PostgreSQL's protocol, "SSLRequest").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Somebody who is signed in. Dropping it ends the connection.
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    pub async fn sign_in(outbound: &Outbound, place: &Place) -> Result<Self, Failed> {
        match tokio::time::timeout(WHOLE, signed_in(outbound, place)).await {
            Ok(session) => session,
            Err(_) => Err(Failed::Unreached("it did not answer in time".into())),
        }
    }

    /// Sends `statement`, once.
    pub async fn run(&self, statement: &str) -> Result<Rows, Failed> {
        let answered = match tokio::time::timeout(WHOLE, self.client.simple_query(statement)).await {
            Ok(answered) => answered,
            Err(_) => return Err(Failed::Lost),
        };
        let messages = answered.map_err(|e| match e.as_db_error() {
            // "The connection ends" may come before or after the statement was done (class 57P, 08).
            Some(no) if !no.code().code().starts_with("57P") && !no.code().code().starts_with("08") => {
                Failed::Refused(no.code().code().to_owned())
            }
            _ => Failed::Lost,
        })?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }
}

async fn signed_in(outbound: &Outbound, place: &Place) -> Result<Session, Failed> {
    let stream = secured(outbound, place).await.map_err(Failed::Unreached)?;
    let mut config = Config::new();
    config
        .user(place.user.as_str())
        .password(place.password.as_bytes())
        .application_name("unsaid")
        .ssl_mode(SslMode::Disable);
    if !place.database.is_empty() {
        config.dbname(&place.database);
    }
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|e| match e.code() {
        Some(code) => Failed::Refused(code.code().to_owned()),
        None => Failed::Unreached("the connection broke off".into()),
    })?;
    // How it ends is told by the statement that is under way then.
    let connection = tokio::spawn(async move { drop(connection.await) });
    Ok(Session { client, connection })
}

/// A connection over which the protocol begins: with TLS wherever there is any.
async fn secured(outbound: &Outbound, place: &Place) -> Result<Stream, Why> {
    let broken = |_| Why::from("the connection broke off");
    if place.tls == Tls::Refused {
        place.expect_plain(outbound)?;
        return outbound.tcp_to(&place.host, place.port).await;
    }
    let mut stream = outbound.tcp_to(&place.host, place.port).await?;
    stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    // One byte and no more: what follows must come through TLS (CVE-2021-23222).
    match stream.read_u8().await.map_err(broken)? {
        b'S' => outbound.tls_over(&place.host, stream).await,
        b'N' => place.expect_plain(outbound).map(|()| stream),
        _ => Err("it does not speak PostgreSQL's protocol".into()),
    }
}

/// `name` as an identifier, whatever it is made of.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the server keeps of `password` (RFC 5803, 4,096 rounds, a salt from the operating system): nobody signs in with it.
pub fn verifier(password: &str) -> String {
    crate::secret::stack::clean(|| postgres_protocol::password::scram_sha_256(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_name() {
        assert_eq!(quoted("app"), "\"app\"");
        assert_eq!(quoted("a\" PASSWORD 'x' --"), "\"a\"\" PASSWORD 'x' --\"");
    }

    #[test]
    fn a_verifier_has_nothing_of_the_password_and_is_another_each_time() {
        let password = "correct horse battery staple";

        let (one, other) = (verifier(password), verifier(password));

        assert!(one.starts_with("SCRAM-SHA-256$4096:") && !one.contains('\'') && !one.contains(password));
        assert_ne!(one, other);
    }
}
