//! Which value a name stands for: personal, then team, then org. Never a guess, never an empty value.
use super::credential::{Credential, Environment, Scope, Source};
use crate::clock::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What narrows a name.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    pub account: Option<String>,
    pub environment: Option<Environment>,
    /// The consumer's team decides between two teams.
    pub team: Option<String>,
}

words! {
    /// Why a candidate did not win, or why the winner cannot be used.
    Verdict {
        Wins = "wins",
        /// A narrower scope has one too.
        Shadowed = "shadowed",
        OtherAccount = "other_account",
        OtherEnvironment = "other_environment",
        /// The caller may not use it.
        NotUsable = "not_usable",
        Ambiguous = "ambiguous",
        Expired = "expired",
        ValueMissing = "value_missing",
    }
}

/// One credential that was looked at, with what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Considered {
    pub id: String,
    pub label: String,
    pub scope: Scope,
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub why: String,
}

/// The answer: a winner, or the reason why there is none.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Index of the winner in the candidates handed in.
    pub winner: Option<usize>,
    pub considered: Vec<Considered>,
    /// Why there is no usable winner, as a reason to branch on.
    pub problem: Option<Problem>,
}

words! {
    Problem {
        NotFound = "not_found",
        Ambiguous = "ambiguous",
        AmbiguousTeam = "ambiguous_team",
        /// The winner is expired: there is no fall back in silence.
        Expired = "expired",
        ValueMissing = "value_missing",
        /// The winner is a connection that nobody has made, or that has to be made again.
        ReauthRequired = "reauth_required",
    }
}

/// Resolves one name. `candidates` are the undeleted credentials of that name which the caller may see; `may_use`
/// says for each whether they may inject it.
pub fn resolve(candidates: &[Credential], may_use: &[bool], narrowing: &Narrowing, now: Millis) -> Resolved {
    let mut verdicts: Vec<Option<(Verdict, String)>> = vec![None; candidates.len()];
    for (i, c) in candidates.iter().enumerate() {
        if narrowing.account.as_ref().is_some_and(|account| *account != c.account) {
            verdicts[i] = Some((Verdict::OtherAccount, "another account was asked for".into()));
        } else if narrowing
            .environment
            .is_some_and(|asked| c.environment != Environment::Any && c.environment != asked)
        {
            verdicts[i] = Some((Verdict::OtherEnvironment, "another environment was asked for".into()));
        } else if !may_use[i] {
            verdicts[i] = Some((Verdict::NotUsable, "you see it and may not use it".into()));
        }
    }
    let left = |verdicts: &[Option<(Verdict, String)>], scope: Scope| -> Vec<usize> {
        (0..candidates.len()).filter(|&i| verdicts[i].is_none() && candidates[i].scope == scope).collect()
    };
    let mut winner = None;
    let mut problem = None;
    for scope in [Scope::Personal, Scope::Team, Scope::Org] {
        let mut here = left(&verdicts, scope);
        if here.is_empty() {
            continue;
        }
        if winner.is_some() || problem.is_some() {
            for i in here {
                verdicts[i] = Some((Verdict::Shadowed, "a narrower scope has this name".into()));
            }
            continue;
        }
        // An exact environment beats one that serves any.
        if let Some(asked) = narrowing.environment
            && here.iter().any(|&i| candidates[i].environment == asked)
        {
            for &i in here.iter().filter(|&&i| candidates[i].environment != asked) {
                verdicts[i] = Some((Verdict::Shadowed, "one for exactly that environment exists".into()));
            }
            here = left(&verdicts, scope);
        }
        if scope == Scope::Team
            && let Some(team) = &narrowing.team
            && here.iter().any(|&i| candidates[i].owner_id == *team)
        {
            for &i in here.iter().filter(|&&i| candidates[i].owner_id != *team) {
                verdicts[i] = Some((Verdict::Shadowed, "the consumer's own team has this name".into()));
            }
            here = left(&verdicts, scope);
        }
        if here.len() > 1 {
            let teams = here.iter().any(|&i| candidates[i].owner_id != candidates[here[0]].owner_id);
            problem = Some(if teams { Problem::AmbiguousTeam } else { Problem::Ambiguous });
            for i in here {
                verdicts[i] = Some((Verdict::Ambiguous, "more than one fits; say which".into()));
            }
            continue;
        }
        let i = here[0];
        let c = &candidates[i];
        if c.current_version.is_none() && c.source == Source::OAuth {
            problem = Some(Problem::ReauthRequired);
            verdicts[i] = Some((Verdict::ValueMissing, "it would win, and is not connected".into()));
        } else if c.current_version.is_none() {
            problem = Some(Problem::ValueMissing);
            verdicts[i] = Some((Verdict::ValueMissing, "it would win, and has no value".into()));
        } else if c.expires_at.is_some_and(|end| end <= now) {
            problem = Some(Problem::Expired);
            verdicts[i] =
                Some((Verdict::Expired, "it would win, and is expired; there is no silent fall back".into()));
        } else {
            winner = Some(i);
            verdicts[i] = Some((Verdict::Wins, format!("the narrowest scope that has it is {scope}")));
        }
    }
    let considered = candidates
        .iter()
        .zip(verdicts)
        .map(|(c, verdict)| {
            let (verdict, why) = verdict.unwrap_or((Verdict::Shadowed, "not considered".into()));
            Considered { id: c.id.0.clone(), label: c.label(), scope: c.scope, verdict, why }
        })
        .collect();
    if winner.is_none() && problem.is_none() {
        problem = Some(Problem::NotFound);
    }
    Resolved { winner, considered, problem }
}
