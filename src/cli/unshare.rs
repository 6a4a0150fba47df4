//! `unsaid unshare NAME --from …`: ends a grant at once.
use super::Context;
use super::output::{items, line};
use super::share::Grantee;
use crate::error::Result;
use crate::model::access::Level;
use clap::Args;
use serde_json::json;

/// Take a user's or team's right to a credential away
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid unshare STRIPE_KEY --from team:billing
  unsaid unshare STRIPE_KEY --grant 01J…     as `unsaid show STRIPE_KEY` lists it")]
pub struct Unshare {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// LOGIN, team:NAME or consumer:NAME
    #[arg(long, value_name = "WHO", required_unless_present = "grant", conflicts_with = "grant")]
    from: Option<Grantee>,
    /// This grant alone
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// Only this level; all of them where it is left out
    #[arg(long)]
    level: Option<Level>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Unshare {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let (user, team, consumer) =
            self.from.map_or((None, None, None), |from| (from.user, from.team, from.consumer));
        let arguments = json!({
            "credential": self.credential, "grant": self.grant, "user": user, "team": team, "consumer": consumer, "level": self.level,
        });
        let answer = session.call_with("unshare_credential", arguments, self.yes).await?;
        cx.print(&answer, |a| line(&format!("{} grants ended", items(a, "/removed").len())))
    }
}
