//! Taking a file over: a plan that holds names only, its clashes decided, then everything or nothing.
//!
//! For people's doors alone. No value is sent anywhere to find out whose it is: its shape is looked up here.
mod plan;
mod shred;

pub use plan::{Action, Clash, Into, OnClash, Plan, Planned, plan};
pub use shred::{Known, WhyNot, shred, why_not};

use crate::app::App;
use crate::error::Result;
use crate::import::{Batch, Format, Options};
use crate::model::access::Caller;
use crate::ops::credential::value::{Entered, Entry, How, Progress, Target, enter_with};
use crate::ops::people_only;

/// What a person says about the reading of a file.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Each named value becomes a credential of its own.
    pub split: bool,
    /// Secure notes are taken over too.
    pub notes: bool,
    /// What an entry without a name of its own is called.
    pub name: String,
}

/// What `bytes` hold. Fails with `invalid_file` and `too_large`, as [`crate::import::read`] does.
pub fn read(app: &App, format: Format, bytes: &[u8], wish: &Wish) -> Result<Batch> {
    let looks_secret = |text: &str, kind| app.detector.check_text(text, kind).is_some();
    let options =
        Options { looks_secret: &looks_secret, split: wish.split, notes: wish.notes, name: &wish.name };
    crate::import::read(format, bytes, &options)
}

/// Carries the plan out in one transaction; `progress` is told how many are stored so far.
///
/// Clashes that nobody decided are left out. Fails as [`crate::ops::credential::value::enter_many`] does, and with
/// `already_exists` where one of the names was taken since the plan was made; then nothing is stored.
pub async fn import(
    app: &App,
    caller: &Caller,
    plan: Plan,
    progress: Option<Progress>,
) -> Result<Vec<Entered>> {
    people_only(caller)?;
    let from = plan.format.word();
    let entries: Vec<Entry> = plan.planned.into_iter().filter_map(Planned::into_entry).collect();
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    enter_with(app, caller, entries, How { from: Some(from), progress, ..How::default() }).await
}

impl Planned {
    fn into_entry(self) -> Option<Entry> {
        let target = match self.action {
            Action::Skip | Action::Undecided(_) => return None,
            Action::Replace(id) => Target::Existing(id),
            Action::Create => Target::New(Box::new(self.create)),
        };
        let values = self.fields.into_iter().map(|f| (f.name, f.value)).collect();
        Some(Entry { target, values, file_name: self.file_name })
    }
}
