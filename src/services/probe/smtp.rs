//! A mail server: signing in over TLS, and handing it a message.
//!
//! Nothing is said before TLS stands but what asks for it, and nothing the server says goes further than its code.
use super::super::check::{Auth, Check};
use super::super::client::{Outbound, Stream};
use super::super::service::Service;
use super::subject::{Subject, Values};
use super::{Way, Why, refuses, takes};
use crate::model::probe::Probed;
use data_encoding::BASE64;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use zeroize::Zeroizing;

/// TLS from the first byte (RFC 8314 §3.3).
const IMPLICIT_TLS: u16 = 465;
/// The longest answer, bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// A mail server that speaks TLS with us.
pub struct Smtp {
    stream: BufReader<Stream>,
    /// What it said that it can do, in capitals.
    can: Vec<String>,
}

impl Smtp {
    /// Fails where it is not to be reached, may not be called, or has no TLS.
    pub async fn connect(outbound: &Outbound, host: &str, port: u16) -> Result<Self, Why> {
        let stream = match port {
            IMPLICIT_TLS => outbound.tls_to(host, port).await?,
            _ => {
                let mut plain =
                    Self { stream: BufReader::new(outbound.tcp_to(host, port).await?), can: Vec::new() };
                plain.expect(220).await?;
                plain.greet().await?;
                if !plain.can.iter().any(|word| word == "STARTTLS") {
                    return Err("it offers no TLS, without which nothing is sent".into());
                }
                plain.say("STARTTLS").await?;
                plain.expect(220).await?;
                // What was sent ahead of TLS would be read as if it came after it.
                if !plain.stream.buffer().is_empty() {
                    return Err("it spoke before TLS stood".into());
                }
                outbound.tls_over(host, plain.stream.into_inner()).await?
            }
        };
        let mut secured = Self { stream: BufReader::new(stream), can: Vec::new() };
        if port == IMPLICIT_TLS {
            secured.expect(220).await?;
        }
        secured.greet().await?;
        Ok(secured)
    }

    /// Signs in; the code that it answered with (RFC 4954 §6): 235 where it took the password.
    pub async fn sign_in(&mut self, user: &str, password: &str) -> Result<u16, Why> {
        let ways = self.can.iter().find_map(|line| line.strip_prefix("AUTH ")).unwrap_or_default().to_owned();
        let can = |way: &str| ways.split(' ').any(|word| word == way);
        if can("PLAIN") {
            let both = Zeroizing::new(format!("\0{user}\0{password}"));
            let encoded = Zeroizing::new(BASE64.encode(both.as_bytes()));
            self.say(&Zeroizing::new(format!("AUTH PLAIN {}", encoded.as_str()))).await?;
            return self.code().await;
        }
        if !can("LOGIN") {
            return Err("it takes no password (neither PLAIN nor LOGIN)".into());
        }
        self.say("AUTH LOGIN").await?;
        for part in [user, password] {
            match self.code().await? {
                334 => self.say(&Zeroizing::new(BASE64.encode(part.as_bytes()))).await?,
                code => return Ok(code),
            }
        }
        self.code().await
    }

    /// Hands over one message; `message` has its headers and lines that end in CRLF.
    pub async fn send(&mut self, from: &str, to: &[String], message: &str) -> Result<(), Why> {
        self.say(&format!("MAIL FROM:<{from}>")).await?;
        self.expect(250).await?;
        for address in to {
            self.say(&format!("RCPT TO:<{address}>")).await?;
            if !matches!(self.code().await?, 250 | 251) {
                return Err("it does not take mail for one of the addresses".into());
            }
        }
        self.say("DATA").await?;
        self.expect(354).await?;
        let mut text = String::with_capacity(message.len() + 16);
        for line in message.split("\r\n") {
            // A line of one dot would end it (RFC 5321 §4.5.2).
            if line.starts_with('.') {
                text.push('.');
            }
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push('.');
        self.say(&text).await?;
        self.expect(250).await
    }

    /// Says goodbye, which nobody waits for.
    pub async fn quit(mut self) {
        // It is done either way.
        let _ = self.say("QUIT").await;
    }

    async fn greet(&mut self) -> Result<(), Why> {
        self.say("EHLO localhost").await?;
        match self.reply().await? {
            (250, lines) => {
                self.can = lines.into_iter().map(|line| line.to_ascii_uppercase()).collect();
                Ok(())
            }
            _ => Err("it does not speak SMTP as it should".into()),
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), Why> {
        let broken = |_| Why::from("the connection broke off");
        let line = Zeroizing::new(format!("{line}\r\n"));
        self.stream.get_mut().write_all(line.as_bytes()).await.map_err(broken)?;
        self.stream.get_mut().flush().await.map_err(broken)
    }

    async fn expect(&mut self, wanted: u16) -> Result<(), Why> {
        match self.code().await? {
            code if code == wanted => Ok(()),
            _ => Err("it answered otherwise than it should".into()),
        }
    }

    async fn code(&mut self) -> Result<u16, Why> {
        Ok(self.reply().await?.0)
    }

    /// One answer, which may have several lines.
    async fn reply(&mut self) -> Result<(u16, Vec<String>), Why> {
        let (mut lines, mut left) = (Vec::new(), MOST_BYTES);
        loop {
            let mut line = String::new();
            let mut limited = (&mut self.stream).take(left);
            let read = limited.read_line(&mut line).await.map_err(|_| "the connection broke off")?;
            left = left.saturating_sub(read as u64);
            if read == 0 || !line.ends_with('\n') {
                return Err("the connection broke off".into());
            }
            let code =
                line.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or("it does not speak SMTP")?;
            lines.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, lines));
            }
        }
    }
}

impl Way<'_> {
    pub(super) async fn mailbox(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let Auth::Sasl { username, password, .. } = &check.auth else {
            return Err("its manifest names no way of signing in".into());
        };
        let values = Values::of(service, check, subject, vec![username, password]);
        let address = check.address.as_deref().ok_or("its manifest names no address")?;
        let (host, port) = values.host_and_port(address)?;
        let (user, password) = (values.text(username)?, values.text(password)?);
        let mut server = Smtp::connect(self.outbound, &host, port).await?;
        let code = server.sign_in(&user, &password).await?;
        server.quit().await;
        match code {
            code if check.ok_status.contains(&code) => Ok(takes(service)),
            code if check.invalid_status.contains(&code) => Ok(refuses(service)),
            // 454: a failure of its own; 421: too many.
            _ => Err("it answered with a code that says nothing about the password".into()),
        }
    }
}
