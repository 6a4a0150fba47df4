//! The first page: what waits for this person.
use super::answer::Answer;
use super::approvals::row;
use super::pages::{self, Home};
use super::sessions::Visitor;
use crate::error::Result;
use crate::ops::Operation;
use crate::ops::approval::ListApprovals;
use crate::ops::entry::mine;

pub(super) async fn show(visitor: Visitor) -> Answer {
    match home(&visitor).await {
        Ok(home) => Answer::ok(pages::home(&home)),
        Err(e) => visitor.failed(&e),
    }
}

async fn home(visitor: &Visitor) -> Result<Home> {
    let open = ListApprovals { all: None }.run(&visitor.app, &visitor.caller).await?;
    // The links themselves are known to nobody but who was given them.
    let entries = mine(&visitor.app, &visitor.caller)
        .await?
        .into_iter()
        .map(|(name, until)| (name, until.to_string()))
        .collect();
    let now = visitor.app.now();
    Ok(Home {
        session: visitor.signed_in()?,
        approvals: open.approvals.into_iter().map(|line| row(line, now)).collect(),
        entries,
    })
}
