//! What both servers' rotations need: a credential of a test, the value in use, programs that sign in with it, and a report.
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use unsaid::clock::Millis;
use unsaid::config::{Rotated, Rotation};
use unsaid::ids::{CredentialId, OrgId, UserId};
use unsaid::model::credential::{Credential, CredentialType, Environment, FieldSpec, Scope, Source};
use unsaid::rotation::{Call, Driver, Ended, Fields, Tested};
use unsaid::secret::SecretBytes;

/// New connections a second.
pub const RATE: u32 = 40;

/// One line of the report.
pub fn say(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").expect("somebody reads the report");
}

#[derive(Default)]
pub struct Report {
    wrong: u32,
}

impl Report {
    pub fn is(&mut self, what: &str, is_so: bool) {
        say(&format!("{} {what}", if is_so { "ok   " } else { "WRONG" }));
        self.wrong += u32::from(!is_so);
    }
    pub fn end(self) -> ExitCode {
        ExitCode::from(u8::from(self.wrong > 0))
    }
}

/// A credential of `service` whose fields are called so; only the password is secret.
pub fn credential(id: &str, service: &str, names: &[&str]) -> Credential {
    let by = UserId::from("somebody");
    Credential {
        id: CredentialId::from(id),
        org_id: OrgId::from("acme"),
        name: "APP_DB".into(),
        name_key: "APP_DB".into(),
        kind: CredentialType::Custom,
        source: Source::Manual,
        scope: Scope::Org,
        owner_id: "acme".into(),
        service: service.into(),
        account: String::new(),
        environment: Environment::Any,
        description: String::new(),
        tags: Vec::new(),
        fields: names
            .iter()
            .map(|name| FieldSpec { name: (*name).into(), secret: *name == "PASSWORD" || *name == "URL" })
            .collect(),
        provider_id: None,
        expires_at: None,
        rotation_days: None,
        current_version: Some(1),
        value_set_at: None,
        value_set_by: None,
        created_at: Millis(0),
        created_by: by,
        updated_at: Millis(0),
        deleted_at: None,
        deleted_by: None,
        revision: 1,
    }
}

pub fn fields(all: &[(&str, &str)]) -> Fields {
    all.iter().map(|(name, text)| ((*name).to_owned(), SecretBytes::copied(text.as_bytes()))).collect()
}

pub fn field(fields: &Fields, name: &str) -> String {
    let found = fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    found.map_or(String::new(), |value| value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

pub fn copied(fields: &Fields) -> Fields {
    fields.iter().map(|(name, value)| (name.clone(), value.expose(SecretBytes::copied))).collect()
}

pub fn settings(credential: &str, said: Rotated) -> Arc<Rotation> {
    Arc::new(Rotation { credential: BTreeMap::from([(credential.to_owned(), said)]), ..Rotation::default() })
}

/// A rotation as the engine goes about it, with the value in use where programs read it.
pub struct Turn<'a> {
    pub driver: &'a dyn Driver,
    pub credential: &'a Credential,
    pub admin: Option<(&'a Credential, &'a Fields)>,
    pub served: Arc<RwLock<Arc<Fields>>>,
}

impl<'a> Turn<'a> {
    pub fn of(
        driver: &'a dyn Driver,
        credential: &'a Credential,
        admin: Option<(&'a Credential, &'a Fields)>,
        first: Fields,
    ) -> Self {
        Self { driver, credential, admin, served: Arc::new(RwLock::new(Arc::new(first))) }
    }
    pub fn current(&self) -> Arc<Fields> {
        self.served.read().unwrap_or_else(|e| e.into_inner()).clone()
    }
    pub fn promote(&self, new: Fields) {
        *self.served.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(new);
    }
    pub fn call<'b>(&self, old: &'b Fields, new: Option<&'b Fields>) -> Call<'b>
    where
        'a: 'b,
    {
        Call { credential: self.credential, admin: self.admin, old, new }
    }
    pub fn invent(&self) -> Fields {
        let old = self.current();
        self.driver.invent(self.call(&old, None)).expect("a new value is made").fields
    }
    pub async fn set(&self, new: &Fields) -> unsaid::Result<Ended> {
        let old = self.current();
        self.driver.set(self.call(&old, Some(new))).await
    }
    pub async fn test(&self, fields: &Fields) -> Tested {
        self.driver.test(self.credential, fields).await.expect("it is tested")
    }
    pub async fn revoke(&self, old: &Fields) -> unsaid::Result<Ended> {
        let new = self.current();
        self.driver.revoke(self.call(old, Some(&new))).await
    }
}

/// Programs that sign in, each anew with the value that is served at that moment.
pub struct Programs {
    is_over: Arc<AtomicBool>,
    pub tried: Arc<AtomicU32>,
    /// When each that was refused began, and with which value.
    pub refused: Arc<Mutex<Vec<Instant>>>,
    looping: tokio::task::JoinHandle<()>,
}

/// Signs in by these fields; whether it worked.
pub type SignIn = Arc<dyn Fn(Arc<Fields>) -> futures_util::future::BoxFuture<'static, bool> + Send + Sync>;

impl Programs {
    pub fn start(turn: &Turn<'_>, sign_in: SignIn) -> Self {
        let (is_over, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let refused = Arc::new(Mutex::new(Vec::new()));
        let (over, count, log, served) =
            (is_over.clone(), tried.clone(), refused.clone(), turn.served.clone());
        let looping = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
            let mut all = tokio::task::JoinSet::new();
            while !over.load(Ordering::SeqCst) {
                ticks.tick().await;
                let (count, log, served, sign_in) =
                    (count.clone(), log.clone(), served.clone(), sign_in.clone());
                all.spawn(async move {
                    let fields = served.read().unwrap_or_else(|e| e.into_inner()).clone();
                    let began = Instant::now();
                    count.fetch_add(1, Ordering::SeqCst);
                    if !sign_in(fields).await {
                        log.lock().unwrap_or_else(|e| e.into_inner()).push(began);
                    }
                });
            }
            while all.join_next().await.is_some() {}
        });
        Self { is_over, tried, refused, looping }
    }

    /// How many tried, and when the refused ones began.
    pub async fn stop(self) -> (u32, Vec<Instant>) {
        self.is_over.store(true, Ordering::SeqCst);
        self.looping.await.expect("the programs end");
        let refused = std::mem::take(&mut *self.refused.lock().unwrap_or_else(|e| e.into_inner()));
        (self.tried.load(Ordering::SeqCst), refused)
    }
}

/// What a connection through [`Between`] may lose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loses {
    Nothing,
    /// What the server says after it was sent this word.
    AnswerTo(&'static str),
    /// The message with this word, and all after it.
    Message(&'static str),
}

/// Stands between a driver and its server.
pub struct Between {
    pub port: u16,
    pub loses: Arc<Mutex<Loses>>,
}

impl Between {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let loses = Arc::new(Mutex::new(Loses::Nothing));
        let shared = loses.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, server, shared.clone()));
            }
        });
        Self { port, loses }
    }
    pub fn lose(&self, what: Loses) {
        *self.loses.lock().unwrap_or_else(|e| e.into_inner()) = what;
    }
}

async fn pass(mut near: TcpStream, server: u16, loses: Arc<Mutex<Loses>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let now = *loses.lock().unwrap_or_else(|e| e.into_inner());
    let word = match now {
        Loses::Nothing => {
            // How it ended is the driver's to notice.
            let _ = copy_bidirectional(&mut near, &mut far).await;
            return;
        }
        Loses::AnswerTo(word) | Loses::Message(word) => word,
    };
    let (mut up, mut down) = (vec![0; 16384], vec![0; 16384]);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let Ok(size @ 1..) = read else { return };
                if String::from_utf8_lossy(&up[..size]).contains(word) {
                    // Once: what is tried afterwards arrives.
                    *loses.lock().unwrap_or_else(|e| e.into_inner()) = Loses::Nothing;
                    if now == Loses::AnswerTo(word) && far.write_all(&up[..size]).await.is_ok() {
                        // The server answers, so it has done it.
                        let _ = far.read(&mut down).await;
                    }
                    return;
                }
                if far.write_all(&up[..size]).await.is_err() { return }
            }
            read = far.read(&mut down) => {
                let Ok(size @ 1..) = read else { return };
                if near.write_all(&down[..size]).await.is_err() { return }
            }
        }
    }
}
