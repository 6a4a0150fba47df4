//! Who must say yes before something happens (PRODUCT.md §2, "Who confirms").
use crate::error::{Code, Error, Result};
use crate::model::access::{Agreed, Caller};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

/// What an operation needs to be confirmed by.
#[derive(Clone, Debug)]
pub enum Confirm {
    Nothing,
    /// A form is enough, for it can be undone; where the client has none, an approval.
    Form(Question),
    /// A person, out of the model's reach.
    Person(Question),
}

impl Confirm {
    fn needs(&self) -> Agreed {
        match self {
            Self::Nothing => Agreed::Nobody,
            Self::Form(_) => Agreed::Form,
            Self::Person(_) => Agreed::Person,
        }
    }

    /// As things stand in the transaction that does it: fails with `changed_meanwhile` where it has come to need more
    /// than what was agreed to. Between a question and its answer lies as long as somebody likes.
    pub fn expect_agreed(&self, caller: &Caller) -> Result<()> {
        match caller.agreed {
            Some(agreed) if agreed < self.needs() => {
                Err(Error::new(Code::Changed, "it would do more by now than what was agreed to"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it still asks what `before` did. The facts below a form's first line may move by themselves.
    pub fn is_same(&self, before: &Confirm) -> bool {
        match (self, before) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Form(a), Self::Form(b)) => a.summary == b.summary && a.pins == b.pins,
            (Self::Person(a), Self::Person(b)) => a == b,
            _ => false,
        }
    }
}

/// What a person is asked. Composed from structured fields only: never from a model's own words but the reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// What will happen, as `delete GITHUB_TOKEN (org)`.
    pub summary: String,
    /// Who and what is affected, a line each.
    pub impact: Vec<String>,
    /// What the asker says it is for.
    pub reason: String,
    /// Arguments and the ids they mean now: a stored request holds these, for a name can pass to something else.
    pub pins: Vec<(&'static str, String)>,
}

impl Question {
    pub fn text(&self) -> String {
        let mut text = self.summary.clone();
        for line in &self.impact {
            text.push_str("\n- ");
            text.push_str(line);
        }
        if !self.reason.is_empty() {
            text.push_str(&format!("\nStated reason: {}", self.reason));
        }
        text
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// This door has no way to ask: an approval request is stored.
    CannotAsk,
    /// The door must ask first, and call again with the answer.
    AskFirst,
}

/// A door's way of asking a person.
pub trait Confirmer: Send + Sync {
    /// With a form that the client shows. Low assurance: a client can forge the answer.
    fn form<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer>;
    /// Where the model cannot reach: a challenge on the controlling terminal.
    fn person<'a>(&'a self, _question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::CannotAsk })
    }
}

/// Nobody is there to be asked.
pub struct NoOne;

impl Confirmer for NoOne {
    fn form<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::CannotAsk })
    }
}

/// SHA-256 over the operation and its canonical arguments: what an approval or a form answer is bound to.
pub fn digest(operation: &str, arguments: &Map<String, Value>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    // serde_json's map is sorted by key, so equal arguments have equal text.
    let text = serde_json::to_string(arguments).unwrap_or_default();
    Sha256::new()
        .chain_update((operation.len() as u64).to_be_bytes())
        .chain_update(operation)
        .chain_update(text)
        .finalize()
        .to_vec()
}
