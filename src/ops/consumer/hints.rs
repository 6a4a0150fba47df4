//! What the definition of a consumer's server says about the values that it lacks.
use crate::model::consumer::{Binding, Consumer};
use crate::services::Servers;
use crate::services::servers::{CredentialField, Place, ServerDefinition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many of them are told.
const MOST: usize = 10;

/// What is known of one server; nothing for a consumer that was registered without a definition.
pub struct Hints(Option<Arc<ServerDefinition>>);

impl Hints {
    pub fn of(servers: &Servers, consumer: &Consumer) -> Self {
        let id = consumer.definition.as_str();
        Self((!id.is_empty()).then(|| servers.find(id)).flatten())
    }

    /// Where the value for `variable` is found or made, such as `Service account token: Grafana, Administration.`.
    pub fn about(&self, variable: &str) -> Option<String> {
        let mut fields = self.0.iter().flat_map(|definition| &definition.fields);
        fields.find(|field| field.credential_name().eq_ignore_ascii_case(variable)).map(told)
    }

    /// What the server takes besides what is bound, the first few.
    pub fn besides(&self, bindings: &[Binding]) -> Vec<Unset> {
        let is_bound = |name: &str| bindings.iter().any(|b| b.variable.eq_ignore_ascii_case(name));
        let unset = |field: &&CredentialField| {
            field.place != Place::Arg && field.default.is_none() && !is_bound(field.credential_name())
        };
        let fields = self.0.iter().flat_map(|definition| &definition.fields).filter(unset).take(MOST);
        fields
            .map(|field| Unset {
                variable: field.credential_name().to_owned(),
                about: told(field),
                secret: field.secret,
            })
            .collect()
    }
}

/// Something that a server takes and is not given.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Unset {
    pub variable: String,
    /// What it is, and where it is found, as the definition says.
    pub about: String,
    pub secret: bool,
}

/// The one step that all of it takes.
pub fn how_to_set(consumer: &Consumer, unset: &[Unset]) -> Option<String> {
    let names: Vec<_> = unset.iter().map(|one| one.variable.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "It takes besides: {}. Bind what is wanted with update_consumer, plain configuration as text: `unsaid consumer bind {} --text NAME=…`.",
            names.join(", "),
            consumer.name
        )
    })
}

fn told(field: &CredentialField) -> String {
    match &field.help {
        Some(help) => format!("{}: {help}", field.label),
        None => field.label.clone(),
    }
}
