//! `unsaid share NAME --with …`: a grant. Widening asks for a challenge on the terminal.
use super::Context;
use super::output::{at, line};
use crate::error::Result;
use crate::model::access::Level;
use clap::Args;
use serde_json::json;
use std::str::FromStr;

/// Let a user, a team or a consumer use, see or manage a credential
#[derive(Args)]
#[command(after_help = "\
Asks for a challenge on the terminal; where there is none, an approval request is stored instead.

Examples:
  unsaid share STRIPE_KEY --with team:billing
  unsaid share STRIPE_KEY --with ada --level view --reason 'she audits it'")]
pub struct Share {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// LOGIN, team:NAME or consumer:NAME
    #[arg(long, value_name = "WHO")]
    with: Grantee,
    /// use (its value goes to their programs), view (they see its configuration) or manage (both, and change it)
    #[arg(long, default_value = "use")]
    level: Level,
    /// Why, for the audit log
    #[arg(long, default_value = "shared on the command line")]
    reason: String,
}

/// The other side of a grant, as a person writes it.
#[derive(Clone, Debug)]
pub struct Grantee {
    pub user: Option<String>,
    pub team: Option<String>,
    pub consumer: Option<String>,
}

impl FromStr for Grantee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text.is_empty() => Err("write a login, team:NAME or consumer:NAME".into()),
            Some(("team", team)) if !team.is_empty() => {
                Ok(Self { user: None, team: Some(team.into()), consumer: None })
            }
            Some(("consumer", name)) if !name.is_empty() => {
                Ok(Self { user: None, team: None, consumer: Some(name.into()) })
            }
            Some(("user", user)) if !user.is_empty() => {
                Ok(Self { user: Some(user.into()), team: None, consumer: None })
            }
            Some(_) => Err("write a login, team:NAME or consumer:NAME".into()),
            None => Ok(Self { user: Some(text.into()), team: None, consumer: None }),
        }
    }
}

impl Share {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let arguments = json!({
            "credential": self.credential, "level": self.level, "user": self.with.user, "team": self.with.team,
            "consumer": self.with.consumer, "reason": self.reason,
        });
        let answer = cx.call("share_credential", arguments).await?;
        cx.print(&answer, |a| {
            line(&format!("{} may {} it now (grant {})", at(a, "/who"), at(a, "/level"), at(a, "/grant")))
        })
    }
}
