//! A binding as a person writes it: `GITHUB_TOKEN=org_secret:GH_TOKEN,delivery=file`.
use crate::model::consumer::{BindingSource, Delivery};
use crate::model::credential::Environment;
use crate::ops::consumer::GivenBinding;
use std::str::FromStr;

/// How it is written, for `--help`.
pub const HOW: &str = "\
A binding is VARIABLE[?][=[SOURCE:]CREDENTIAL][,KEY=VALUE]…
  GITHUB_TOKEN                          the credential of that name: yours, else the team's, else the org's
  GH_TOKEN=GITHUB_TOKEN                 under another name
  STRIPE_KEY=org_secret:STRIPE_KEY      the org's, whoever runs it (also team_secret, user_secret, oauth)
  SENTRY_TOKEN?                         optional
  OPENAI_API_KEY=,delivery=header       only the broker adds it (also env, file)
  LINEAR_API_KEY=,header=Authorization  sent to the consumer's own --url, as `Authorization: Bearer {value}`;
                                        another header by its name, or whole: \"header=X-Key: key {value}\"
Keys: delivery, header, account, env, team, field, service, methods=GET+POST, paths=/v1/**+/v2/models";

/// A [`GivenBinding`] of the command line.
#[derive(Clone, Debug)]
pub struct Bound(pub GivenBinding);

impl FromStr for Bound {
    type Err = String;

    // What is wrong is told without the text: a value may have been put where a name belongs.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (variable, from) = match first.split_once('=') {
            Some((variable, from)) => (variable, from),
            None => (first, ""),
        };
        let (variable, is_optional) = match variable.strip_suffix('?') {
            Some(variable) => (variable, true),
            None => (variable, false),
        };
        let mut given = GivenBinding {
            variable: variable.to_owned(),
            required: is_optional.then_some(false),
            ..GivenBinding::default()
        };
        let (source, credential) = match from.split_once(':') {
            Some((source, credential)) => {
                let source: BindingSource = source.parse()?;
                if source == BindingSource::Static {
                    return Err("plain text is given with --text VARIABLE=TEXT".into());
                }
                (Some(source), credential)
            }
            None => (None, from),
        };
        given.source = source;
        given.credential = (!credential.is_empty()).then(|| credential.to_owned());
        for part in parts {
            let (key, value) = part.split_once('=').ok_or("after a comma stands KEY=VALUE")?;
            let text = || Some(value.to_owned());
            let list = || Some(value.split('+').map(str::to_owned).collect::<Vec<_>>());
            match key.trim() {
                "delivery" => given.delivery = Some(value.parse::<Delivery>()?),
                "env" => given.environment = Some(value.parse::<Environment>()?),
                "header" => {
                    given.delivery = Some(Delivery::Header);
                    given.text = text();
                }
                "account" => given.account = text(),
                "team" => given.team = text(),
                "field" => given.field = text(),
                "service" => given.service = text(),
                "methods" => given.methods = list(),
                "paths" => given.paths = list(),
                _ => {
                    return Err(
                        "a key is one of delivery, header, account, env, team, field, service, methods, paths".into(),
                    );
                }
            }
        }
        Ok(Self(given))
    }
}

/// `VARIABLE=TEXT` of `--text`.
pub fn plain(text: &str) -> Result<Bound, String> {
    let (variable, text) = text.split_once('=').ok_or("--text is written VARIABLE=TEXT")?;
    Ok(Bound(GivenBinding {
        variable: variable.to_owned(),
        source: Some(BindingSource::Static),
        text: Some(text.to_owned()),
        ..GivenBinding::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_with_everything_it_can_say() {
        let Bound(b) = "GH_TOKEN?=org_secret:GITHUB_TOKEN,delivery=header,methods=GET+POST,paths=/v1/**"
            .parse()
            .unwrap();

        assert_eq!((b.variable.as_str(), b.required), ("GH_TOKEN", Some(false)));
        assert_eq!(
            (b.source, b.credential.as_deref()),
            (Some(BindingSource::OrgSecret), Some("GITHUB_TOKEN"))
        );
        assert_eq!((b.delivery, b.methods.unwrap().len()), (Some(Delivery::Header), 2));
        assert_eq!(b.paths.unwrap(), ["/v1/**"]);
        let Bound(b) = "A_KEY".parse().unwrap();
        assert_eq!((b.source, b.credential, b.required), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        for bad in
            ["A=static:hunter2", "A=vault:hunter2", "A,hunter2", "A,length=hunter2", "A,delivery=hunter2"]
        {
            let e = bad.parse::<Bound>().unwrap_err();
            assert!(!e.contains("hunter2") && !e.is_empty(), "{e}");
        }
        assert!(!plain("hunter2").unwrap_err().contains("hunter2"));
    }
}
