//! What the definition of a consumer's server says about the values that it lacks.
use super::check::Checked;
use crate::model::consumer::{Binding, Consumer};
use crate::services::Servers;
use crate::services::servers::{CredentialField, Place, ServerDefinition};
use std::sync::Arc;

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

    /// What may be set besides, as one step; nothing where all of it is bound.
    fn besides(&self, consumer: &Consumer, bindings: &[Binding]) -> Option<String> {
        let definition = self.0.as_ref()?;
        let is_bound = |name: &str| bindings.iter().any(|b| b.variable.eq_ignore_ascii_case(name));
        let unset = |field: &&CredentialField| {
            field.place != Place::Arg && field.default.is_none() && !is_bound(field.credential_name())
        };
        let unset: Vec<_> = definition
            .fields
            .iter()
            .filter(unset)
            .map(|field| format!("{} ({})", field.credential_name(), told(field).trim_end_matches('.')))
            .collect();
        (!unset.is_empty()).then(|| {
            format!(
                "{} may want besides: {}. Bind it with update_consumer, plain configuration as text: `unsaid consumer bind {} --text NAME=…`.",
                definition.name,
                unset.join("; "),
                consumer.name
            )
        })
    }

    /// Adds to what was found what only the definition tells.
    pub fn add_to(&self, checked: &mut Checked, consumer: &Consumer, bindings: &[Binding]) {
        checked.next.extend(self.besides(consumer, bindings));
    }
}

fn told(field: &CredentialField) -> String {
    match &field.help {
        Some(help) => format!("{}: {help}", field.label),
        None => field.label.clone(),
    }
}
