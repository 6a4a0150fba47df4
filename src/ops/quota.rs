//! How much one person's assistant may take away in a while. A loop that deletes is stopped; a person is not.
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Door};
use crate::store::Reader;

/// Removals through a model's door within [`WINDOW_MS`].
pub const MOST_REMOVALS: i64 = 5;
/// Ten minutes.
pub const WINDOW_MS: i64 = 10 * 60 * 1000;

/// Refuses one more removal where there were too many already; call it in the transaction that removes.
///
/// People on the command line are neither stopped nor counted; an approved request is not stopped.
pub fn removal(tx: &Reader<'_>, caller: &Caller) -> Result<()> {
    if matches!(caller.door, Door::Cli | Door::Web | Door::System) || caller.approval.is_some() {
        return Ok(());
    }
    let since = tx.now().plus_ms(-WINDOW_MS);
    if tx.count_removals(&caller.org, &caller.user, since)? >= MOST_REMOVALS {
        return Err(Error::new(
            Code::Quota,
            format!("{MOST_REMOVALS} removals in ten minutes are the most that an assistant may do"),
        )
        .next("Ask the person to do the rest with `unsaid rm`, or wait."));
    }
    Ok(())
}
