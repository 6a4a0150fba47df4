//! Drivers without a service: how logins are found and values made, own programs, and documented answers.
mod http;
mod logins;
mod programs;
mod served;
mod vault;

use super::super::driver::Fields;
use crate::clock::Millis;
use crate::ids::{CredentialId, OrgId, UserId};
use crate::model::credential::{Credential, CredentialType, Environment, FieldSpec, Scope, Source};
use crate::secret::SecretBytes;

/// A custom credential; a field whose name begins with a dot is plain.
fn credential(service: &str, names: &[&str]) -> Credential {
    let spec =
        |name: &&str| FieldSpec { name: name.trim_start_matches('.').into(), secret: !name.starts_with('.') };
    Credential {
        id: CredentialId::from("one"),
        org_id: OrgId::from("acme"),
        name: "KEY".into(),
        name_key: "KEY".into(),
        kind: CredentialType::Custom,
        source: Source::Manual,
        scope: Scope::Org,
        owner_id: "acme".into(),
        service: service.into(),
        account: String::new(),
        environment: Environment::Any,
        description: String::new(),
        tags: Vec::new(),
        fields: names.iter().map(spec).collect(),
        provider_id: None,
        expires_at: None,
        rotation_days: None,
        current_version: Some(1),
        value_set_at: None,
        value_set_by: None,
        created_at: Millis(0),
        created_by: UserId::from("ada"),
        updated_at: Millis(0),
        deleted_at: None,
        deleted_by: None,
        revision: 1,
    }
}

fn fields(all: &[(&str, &str)]) -> Fields {
    all.iter().map(|(name, text)| ((*name).to_owned(), SecretBytes::copied(text.as_bytes()))).collect()
}

fn text(fields: &Fields, name: &str) -> String {
    let found = fields.iter().find(|(field, _)| field == name).expect("the field is there");
    found.1.expose(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
