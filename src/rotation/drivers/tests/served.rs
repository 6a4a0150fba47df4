//! A server of our own over TLS, under the name of the service that it stands for. What it answers is for the test to say.
use crate::services::client::{Names, Outbound};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the server does with one request.
pub enum Reply {
    Says(u16, String),
    /// It promises more than it sends.
    BreaksOff,
    /// It takes the request and closes.
    HangsUp,
}

pub fn says(status: u16, body: &Value) -> Reply {
    Reply::Says(status, body.to_string())
}

/// One request as it came in.
#[derive(Clone)]
pub struct Asked {
    /// Method and path.
    pub what: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    /// Empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

pub struct Served {
    name: String,
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    folder: tempfile::TempDir,
}

impl Served {
    pub async fn new(name: &str, answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), asked.clone(), answer));
        Self { name: name.to_owned(), address, asked, folder }
    }

    /// The way to it alone, as `place` (host, or host and port) is allowed.
    pub fn outbound(&self, place: &str) -> Outbound {
        let (wanted, address) = (self.name.clone(), self.address);
        Outbound {
            allow: vec![place.to_owned()],
            ca_file: Some(self.folder.path().join("ca.pem")),
            proxy: None,
            names: Names::told_by(move |name, _| {
                assert_eq!(name, wanted, "nothing else is spoken to");
                Ok(vec![address])
            }),
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    asked: Arc<Mutex<Vec<Asked>>>,
    mut answer: impl FnMut(&Asked) -> Reply,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = tls.accept(stream).await else { continue };
        let Some(request) = read(&mut stream).await else { continue };
        let reply = answer(&request);
        asked.lock().unwrap().push(request);
        let (status, body, promised) = match reply {
            Reply::Says(status, body) => (status, body.clone(), body.len()),
            Reply::BreaksOff => (200, r#"{"auth":{"client_token":"of-n"#.to_owned(), 500),
            Reply::HangsUp => continue,
        };
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {promised}\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Asked> {
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        all.extend_from_slice(&part[..read]);
        let request = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let headers: Vec<(String, String)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect();
        let what = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
        let asked = Asked { what, headers, body: body.to_owned() };
        if body.len() >= asked.header("content-length").parse().unwrap_or(0) {
            return Some(asked);
        }
    }
}
