//! `--scope personal`, `--scope team:NAME`, `--scope org`: where a credential is kept, as a person writes it.
use crate::model::credential::Scope;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub scope: Scope,
    /// Name or id; without one, the caller's only team.
    pub team: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("team", team)) if !team.is_empty() => {
                Ok(Self { scope: Scope::Team, team: Some(team.to_owned()) })
            }
            None => match text {
                "personal" | "me" => Ok(Self { scope: Scope::Personal, team: None }),
                "team" => Ok(Self { scope: Scope::Team, team: None }),
                "org" => Ok(Self { scope: Scope::Org, team: None }),
                _ => Err(HOW.into()),
            },
            Some(_) => Err(HOW.into()),
        }
    }
}

const HOW: &str = "write personal, team:NAME or org";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_scope_and_perhaps_a_team() {
        assert_eq!("team:backend".parse(), Ok(Place { scope: Scope::Team, team: Some("backend".into()) }));
        assert_eq!("org".parse(), Ok(Place { scope: Scope::Org, team: None }));
        assert!("team:".parse::<Place>().is_err() && "org:x".parse::<Place>().is_err());
        assert!(!"hunter2".parse::<Place>().unwrap_err().contains("hunter2"));
    }
}
