//! Asking a service whether a credential works: the one harmless request of its manifest, and what the answer means.
//!
//! Where a value goes is what the manifest says, and a parameter only narrows it: from the credential's own plain fields,
//! held against the rules of [`fill`](mod@super::fill). A secret never names a host of ours to call, except inside a connection
//! string, which is such a name. What comes back is a word and short texts; a body stays here.
mod answer;
mod assertion;
mod database;
mod http;
pub mod inside;
mod key_file;
mod signature;
pub mod smtp;
mod subject;
#[cfg(test)]
mod tests;

pub use subject::{Field, Subject, field_for, says_where};

use super::catalogue::Catalogue;
use super::check::{Auth, Check, Protocol};
use super::client::Outbound;
use super::service::Service;
use super::wire::Wire;
use crate::clock::Millis;
use crate::model::probe::{Probed, Verdict};
use std::time::Duration;

/// How long a test that is no HTTP request may take, from its name to its last byte.
const WHOLE: Duration = Duration::from_secs(10);
/// How many of a manifest's tests are tried for one credential: a service may have several kinds of keys.
const MOST_CHECKS: usize = 3;

/// What is needed to ask.
pub struct Way<'a> {
    pub catalogue: &'a Catalogue,
    pub wire: &'a Wire,
    pub outbound: &'a Outbound,
    pub now: Millis,
}

/// Whether a credential of this service can be tested at all.
pub fn is_testable(service: &Service) -> bool {
    checks(service).any(is_done)
}

/// Whether a test of it asks a server; a key that is only read is asked about nowhere.
pub fn asks_anybody(service: &Service) -> bool {
    checks(service).any(|check| check.protocol != Some(Protocol::Ssh))
}

fn checks(service: &Service) -> impl Iterator<Item = &Check> {
    // What is asked without the secret says nothing about it.
    service
        .verify
        .iter()
        .chain(&service.verify_alternatives)
        .filter(|check| !matches!(check.auth, Auth::None {}))
}

/// Whether we can do this test.
fn is_done(check: &Check) -> bool {
    check.protocol.is_some() || !matches!(check.auth, Auth::Digest { .. })
}

impl Way<'_> {
    /// Asks `service` about `subject`. Never fails: what could not be done is told as that.
    pub async fn ask(&self, service: &Service, subject: &Subject) -> Probed {
        if let Some(other) = self.anothers(service, subject) {
            return Probed::could_not(format!(
                "its value looks like one of {other}, not of {}: it was sent to neither",
                service.name
            ));
        }
        let mut last: Option<Probed> = None;
        for check in checks(service).take(MOST_CHECKS) {
            let found = self.one(service, check, subject).await;
            let is_better = match &last {
                None => true,
                Some(before) => rank(found.verdict) > rank(before.verdict),
            };
            if is_better {
                last = Some(found);
            }
            // A key of another kind is refused by the first test and may pass the second.
            if last.as_ref().is_some_and(|p| matches!(p.verdict, Verdict::Valid | Verdict::Limited)) {
                break;
            }
        }
        last.unwrap_or_else(|| {
            let why =
                service.verify_note.as_deref().unwrap_or("the catalogue knows no harmless request for it");
            Probed::could_not(format!("{} cannot be asked: {why}", service.name))
        })
    }

    async fn one(&self, service: &Service, check: &Check, subject: &Subject) -> Probed {
        let called = match check.protocol {
            None => self.http(service, check, subject).await,
            Some(Protocol::Ssh) => key_file::look(subject),
            Some(protocol) => {
                let asked = async {
                    match protocol {
                        Protocol::Smtp => self.mailbox(service, check, subject).await,
                        Protocol::Postgres => self.postgres(service, check, subject).await,
                        Protocol::Mysql => self.mysql(service, check, subject).await,
                        Protocol::Ssh => key_file::look(subject),
                    }
                };
                match tokio::time::timeout(WHOLE, asked).await {
                    Ok(found) => found,
                    Err(_) => Err("it did not answer in time".into()),
                }
            }
        };
        called.unwrap_or_else(|why| Probed::could_not(format!("{} could not be asked: {why}", service.name)))
    }

    /// The service whose shape the value has, where it is not `service`.
    fn anothers(&self, service: &Service, subject: &Subject) -> Option<String> {
        let mut other = None;
        for text in subject.secrets() {
            for found in self.catalogue.recognise(&text).into_iter().filter(|f| !f.public) {
                if found.service == service.id || found.also_used_by.contains(&service.id) {
                    return None;
                }
                other = self.catalogue.find_service(&found.service).map(|s| s.name.clone());
            }
        }
        other
    }
}

/// How much a verdict says about the credential.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::CouldNotCheck => 0,
        Verdict::Refused => 1,
        Verdict::Limited => 2,
        Verdict::Valid => 3,
    }
}

/// Why something could not be asked: our own words, with names of parameters at most.
type Why = std::borrow::Cow<'static, str>;

fn takes(service: &Service) -> Probed {
    Probed::of(Verdict::Valid, format!("{} takes it.", service.name))
}

fn refuses(service: &Service) -> Probed {
    Probed::of(Verdict::Refused, format!("{} does not take it.", service.name))
}

fn limits(service: &Service) -> Probed {
    let text = format!("{} takes it, and it may not do what the test asks for.", service.name);
    Probed::of(Verdict::Limited, text)
}
