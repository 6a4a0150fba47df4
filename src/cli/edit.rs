//! `unsaid edit NAME`: changes what describes a credential, or moves it. Its value comes by `unsaid set`.
use super::Context;
use super::output::{at, line};
use super::place::Place;
use crate::error::{Result, invalid};
use crate::model::credential::Environment;
use clap::Args;
use serde_json::json;

/// Change a credential's description, tags, expiry, place and the like
#[derive(Args)]
#[command(after_help = "\
What is not given stays as it is; an empty text clears it. A move to a wider place asks for a challenge on the terminal.

Examples:
  unsaid edit GITHUB_TOKEN --description 'for the release job' --tag ci --tag release
  unsaid edit GITHUB_TOKEN --expires 2027-01-31
  unsaid edit GITHUB_TOKEN --scope team:backend --reason 'the whole team deploys now'")]
pub struct Edit {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// Give it another name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Its tags from now on; repeatable, and '' for none
    #[arg(long = "tag", value_name = "TAG")]
    tags: Option<Vec<String>>,
    /// Which service it is for
    #[arg(long)]
    service: Option<String>,
    /// Which account of the service
    #[arg(long)]
    account: Option<String>,
    /// Which deployment: prod, staging, dev or any
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// When its value ends, as 2027-01-31; '' for never
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// Move it: personal, team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    /// Why, for the audit log
    #[arg(long)]
    reason: Option<String>,
    /// Answer yes to what can be undone
    #[arg(long, short)]
    yes: bool,
}

impl Edit {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let tags = self.tags.map(|tags| tags.into_iter().filter(|tag| !tag.is_empty()).collect::<Vec<_>>());
        let arguments = json!({
            "credential": self.credential, "new_name": self.rename, "description": self.description, "tags": tags,
            "service": self.service, "account": self.account, "environment": self.env, "expires_at": self.expires,
            "scope": self.scope.as_ref().map(|place| place.scope),
            "team": self.scope.as_ref().and_then(|place| place.team.clone()), "reason": self.reason,
        });
        let nothing = arguments.as_object().is_some_and(|map| {
            map.iter().all(|(name, value)| value.is_null() || name == "credential" || name == "reason")
        });
        if nothing {
            return Err(invalid("nothing is to be changed").next("Say what: see `unsaid edit --help`."));
        }
        let session = cx.session().await?;
        let answer = session.call_with("update_credential", arguments, self.yes).await?;
        cx.print(&answer, |a| {
            line(&format!("changed {} of {} ({})", at(a, "/changed"), at(a, "/name"), at(a, "/scope")))
        })
    }
}
