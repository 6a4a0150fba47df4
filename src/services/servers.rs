//! The MCP servers we know: how each is started or reached, and which values it wants.
//!
//! The files are embedded as text and parsed when somebody first asks. A user's own folder may add definitions and
//! replace ours. Nothing here starts a server or holds a value.
pub mod definition;
mod recognise;
mod rules;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use include_dir::{Dir, include_dir};
use schemars::JsonSchema;
use serde::Serialize;

pub use definition::{CredentialField, FieldType, Package, Place, Registry, ServerDefinition, Transport};

use super::catalogue::Catalogue;
use super::own::{self, Manifest};
use crate::error::{Code, Error, Result};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/manifests/servers");
static EMBEDDED: LazyLock<Servers> = LazyLock::new(|| {
    let parse = |text| toml::from_str(text).expect("a test parses every embedded definition");
    let mut entries: Vec<_> = FILES
        .files()
        .filter_map(|file| file.contents_utf8())
        .map(|text| Entry { definition: Arc::new(parse(text)), own: false })
        .collect();
    entries.sort_by(|a, b| a.definition.id.cmp(&b.definition.id));
    Servers { entries }
});

/// Every server that can be asked about.
pub struct Servers {
    /// By id.
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    definition: Arc<ServerDefinition>,
    /// From the user's own folder.
    own: bool,
}

/// A server as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServerSummary {
    pub id: String,
    pub name: String,
    pub description: String,
    /// Reached at an address; otherwise a program is started.
    pub remote: bool,
    /// The variables or headers it cannot do without.
    pub required: Vec<String>,
    /// It takes a secret as an argument only, which every process of this machine can read: it is not registered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub argument_only: bool,
    /// Comes from the user's own folder.
    pub own: bool,
}

impl Manifest for ServerDefinition {
    const WHAT: &'static str = "server definition";
    const SCHEMA: &'static str = "manifests/schema/server.schema.json";

    fn id(&self) -> &str {
        &self.id
    }
    fn fault(&self) -> Option<(String, String)> {
        rules::fault(self)
    }
}

/// The definitions that come with the program, by id.
pub fn definitions() -> impl Iterator<Item = &'static Arc<ServerDefinition>> {
    EMBEDDED.definitions()
}

/// One of them, by id or alias in any case; fails as [`Servers::definition`] does.
pub fn definition(id: &str) -> Result<Arc<ServerDefinition>> {
    EMBEDDED.definition(id)
}

impl Servers {
    /// The definitions that come with the program.
    pub fn embedded() -> &'static Servers {
        &EMBEDDED
    }

    /// The embedded definitions and those of `folder`; a file there replaces ours of the same id. `catalogue` is asked
    /// whether the services exist that they name.
    ///
    /// Every `*.toml` is read, in the order of names. Fails with `invalid_file`, naming file and field but never what
    /// the file holds, when one cannot be read or breaks a rule that our own definitions obey.
    pub fn with_folder(folder: &Path, catalogue: &Catalogue) -> Result<Self> {
        let mut entries = EMBEDDED.entries.clone();
        for definition in own::read_folder::<ServerDefinition>(folder)? {
            let path = folder.join(format!("{}.toml", definition.id));
            let unknown = |service: &String| catalogue.find_service(service).is_none();
            if let Some(at) = definition.fields.iter().position(|f| f.service.as_ref().is_some_and(unknown)) {
                let fault = format!("field fields[{at}].service: there is no such service in the catalogue");
                return Err(own::broken::<ServerDefinition>(&path, &fault));
            }
            let entry = Entry { definition: Arc::new(definition), own: true };
            match entries.binary_search_by(|e| e.definition.id.cmp(&entry.definition.id)) {
                Ok(at) => entries[at] = entry,
                Err(at) => entries.insert(at, entry),
            }
        }
        Ok(Self { entries })
    }

    /// The same, where a folder that does not exist holds nothing.
    pub fn with_optional_folder(folder: &Path, catalogue: &Catalogue) -> Result<Self> {
        if folder.is_dir() {
            return Self::with_folder(folder, catalogue);
        }
        Ok(Self { entries: EMBEDDED.entries.clone() })
    }

    /// Holds every definition of a server in `folder` against the rules, each by itself; other files are left out.
    pub fn check_folder(folder: &Path, catalogue: &Catalogue) -> Result<Vec<own::Checked>> {
        let checked = own::check_folder::<ServerDefinition>(folder, own::is_of_server)?;
        let known = |(mut checked, definition): (own::Checked, Option<ServerDefinition>)| {
            let mut fields = definition.iter().flat_map(|definition| &definition.fields);
            let unknown = |field: &CredentialField| {
                field.service.as_ref().is_some_and(|service| catalogue.find_service(service).is_none())
            };
            if let Some(at) = fields.position(unknown) {
                checked.fault = Some(format!(
                    "fields[{at}].service: there is no such service in the catalogue; leave it out"
                ));
            }
            checked
        };
        Ok(checked.into_iter().map(known).collect())
    }

    /// Every definition, by id.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<ServerDefinition>> {
        self.entries.iter().map(|entry| &entry.definition)
    }

    /// The definition with this id or alias, in any case.
    pub fn find(&self, id_or_alias: &str) -> Option<Arc<ServerDefinition>> {
        let name = id_or_alias.trim().to_ascii_lowercase();
        let of_id = self.definitions().find(|definition| definition.id == name);
        of_id.or_else(|| self.definitions().find(|definition| definition.aliases.contains(&name))).cloned()
    }

    /// The same; fails with `service_not_found`, suggesting names that are close.
    pub fn definition(&self, id_or_alias: &str) -> Result<Arc<ServerDefinition>> {
        self.find(id_or_alias).ok_or_else(|| {
            let error = Error::new(Code::ServiceNotFound, "there is no server definition of that name");
            match self.close_to(id_or_alias).as_slice() {
                [] => error.next("Name the command or the address of the server instead."),
                names => error.next(format!("Did you mean {}?", names.join(" or "))),
            }
        })
    }

    /// Up to three ids that somebody who typed `name` may have meant, the closest first.
    fn close_to(&self, name: &str) -> Vec<&str> {
        // A longer text is no name; comparing it would only cost time.
        if name.len() > 64 {
            return Vec::new();
        }
        let name = name.trim().to_ascii_lowercase();
        let mut scored: Vec<(f64, &str)> = self
            .definitions()
            .map(|definition| {
                let known = std::iter::once(&definition.id).chain(&definition.aliases);
                let score = known.map(|k| strsim::jaro_winkler(k, &name)).fold(0.0, f64::max);
                (score, definition.id.as_str())
            })
            .filter(|(score, _)| *score >= 0.85)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        scored.into_iter().take(3).map(|(_, id)| id).collect()
    }

    /// The ids of those that take a value of `service`, in order.
    pub fn of_service(&self, service: &str) -> Vec<String> {
        let takes = |definition: &&Arc<ServerDefinition>| {
            definition.fields.iter().any(|field| field.service.as_deref() == Some(service))
        };
        self.definitions().filter(takes).map(|definition| definition.id.clone()).collect()
    }

    /// The definitions in which every word of `text` occurs: in the id, name, aliases, packages or variables.
    pub fn search(&self, text: &str) -> Vec<ServerSummary> {
        let text = text.to_lowercase();
        self.entries
            .iter()
            .filter(|entry| text.split_whitespace().all(|word| mentions(&entry.definition, word)))
            .map(|entry| entry.summary())
            .collect()
    }
}

impl Entry {
    fn summary(&self) -> ServerSummary {
        let of = &self.definition;
        ServerSummary {
            id: of.id.clone(),
            name: of.name.clone(),
            description: of.description.clone(),
            remote: matches!(of.transport, Transport::Http { .. }),
            required: of.fields.iter().filter(|field| field.required).map(|field| field.id.clone()).collect(),
            argument_only: of.takes_secret_arguments(),
            own: self.own,
        }
    }
}

fn mentions(definition: &ServerDefinition, word: &str) -> bool {
    [&definition.id, &definition.name]
        .into_iter()
        .chain(&definition.aliases)
        .chain(definition.packages.iter().map(|package| &package.name))
        .chain(definition.fields.iter().map(|field| &field.id))
        .any(|text| text.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests;
