//! A client in front of a remote server of the test's own, with keys that write down what was asked of them.
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use unsaid::error::{Code, Error, Result};
use unsaid::inject::broker::{Ended, Given};
use unsaid::inject::remote::{Admitted, Header, Keys, serve};
use unsaid::secret::SecretBytes;
use unsaid::services::client::Outbound;

/// What the keys go by, and what they were asked and told.
pub struct Ring {
    pub header: (&'static str, &'static str),
    /// The credential's versions; each renewal goes on to the next.
    pub versions: Vec<String>,
    pub is_refusing: bool,
    pub version: AtomicUsize,
    pub admitted: Mutex<Vec<String>>,
    pub ended: Mutex<Vec<Ended>>,
    pub echoed: Mutex<Vec<String>>,
    pub warned: Mutex<Vec<String>>,
}

impl Ring {
    pub fn of(versions: &[String]) -> Self {
        Self {
            header: ("Authorization", "Bearer {token}"),
            versions: versions.to_vec(),
            is_refusing: false,
            version: AtomicUsize::new(0),
            admitted: Mutex::default(),
            ended: Mutex::default(),
            echoed: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    pub fn admitted(&self) -> Vec<String> {
        self.admitted.lock().unwrap().clone()
    }
    pub fn ended(&self) -> Vec<Ended> {
        self.ended.lock().unwrap().clone()
    }
    pub fn echoed(&self) -> Vec<String> {
        self.echoed.lock().unwrap().clone()
    }
    pub fn warned(&self) -> String {
        self.warned.lock().unwrap().join("\n")
    }
}

struct Door(Arc<Ring>);

impl Keys for Door {
    type Use = usize;

    async fn admit(&self, operation: &str) -> Result<Admitted<usize>> {
        if self.0.is_refusing {
            return Err(Error::new(Code::StoreFull, "the disk is full"));
        }
        self.0.admitted.lock().unwrap().push(operation.to_owned());
        let version = self.0.version.load(Ordering::SeqCst);
        let given = Given {
            field: "token".into(),
            label: "ACME_KEY".into(),
            value: SecretBytes::copied(self.0.versions[version].as_bytes()),
            is_secret: true,
        };
        let header = Header {
            name: self.0.header.0.into(),
            format: self.0.header.1.into(),
            given: Some(given),
            which: version.to_string(),
        };
        let plain =
            Header { name: "X-Team".into(), format: "blue".into(), given: None, which: String::new() };
        Ok(Admitted {
            headers: vec![header, plain],
            is_renewable: self.0.versions.len() > 1,
            remedy: "Replace its value: `unsaid set ACME_KEY`.".into(),
            used: version,
        })
    }

    async fn renew(&self, used: &usize) -> Result<bool> {
        self.0.version.store((used + 1).min(self.0.versions.len() - 1), Ordering::SeqCst);
        Ok(used + 1 < self.0.versions.len())
    }

    fn echoed(&self, _: &usize, which: &str) {
        self.0.echoed.lock().unwrap().push(which.to_owned());
    }

    fn ended(&self, _: &usize, ended: Ended) {
        self.0.ended.lock().unwrap().push(ended);
    }
}

/// A client that talks to the server at an address by way of us.
pub struct Client {
    pub ring: Arc<Ring>,
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    serving: JoinHandle<Result<()>>,
    pub stop: CancellationToken,
}

impl Client {
    pub fn of(url: &str, ring: Ring) -> Self {
        let ring = Arc::new(ring);
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(theirs);
        let (output, input) = tokio::io::split(ours);
        let stop = CancellationToken::new();
        let (keys, told, until, url) = (Door(ring.clone()), ring.clone(), stop.clone(), url.parse().unwrap());
        let serving = tokio::spawn(async move {
            let warn = move |text: &str| told.warned.lock().unwrap().push(text.to_owned());
            serve(keys, &url, Outbound::default(), BufReader::new(read), write, until, warn).await
        });
        Self { ring, input, output: BufReader::new(output).lines(), serving, stop }
    }

    pub async fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line, as it is.
    pub async fn line(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(20), self.output.next_line());
        line.await.expect("in time").unwrap().expect("a line")
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("each line is a message")
    }

    pub async fn ask(&mut self, id: i64, method: &str) -> Value {
        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": {} }).to_string()).await;
        self.message().await
    }

    /// The client is gone; returns what else was said, once everything has ended.
    pub async fn end(mut self) -> (Result<()>, Vec<String>) {
        // It may be over already.
        let _ = self.input.shutdown().await;
        let mut rest = Vec::new();
        while let Ok(Some(line)) = self.output.next_line().await {
            rest.push(line);
        }
        (self.serving.await.unwrap(), rest)
    }
}
