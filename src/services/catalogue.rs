//! The services we know, each in a file of its own: asked for by id, by another name, or by what they can do.
//!
//! The files are embedded as text. One is parsed when it is first asked for, all of them when a list is, none at
//! the start. A user's own folder may add services and replace ours; it cannot make ours unreadable.
use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};

use include_dir::{Dir, include_dir};
use schemars::JsonSchema;
use serde::Serialize;

use super::own;
use super::preset::OauthPreset;
use super::recognise::Shapes;
use super::service::{CredentialType, Service};
use crate::error::{Code, Error, Result};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/manifests/services");
static EMBEDDED: LazyLock<Catalogue> = LazyLock::new(Catalogue::of_embedded_files);

/// Every service that can be asked about.
pub struct Catalogue {
    /// By id.
    entries: Vec<Arc<Entry>>,
    pub(super) shapes: OnceLock<Shapes>,
}

struct Entry {
    id: String,
    text: &'static str,
    parsed: OnceLock<Arc<Service>>,
    /// From the user's own folder.
    own: bool,
}

impl Entry {
    fn service(&self) -> &Arc<Service> {
        self.parsed.get_or_init(|| {
            Arc::new(toml::from_str(self.text).expect("a test parses every embedded manifest"))
        })
    }
}

/// Which services a list shows; what is `None` does not narrow it.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Words that must all occur in the id, name, aliases, category or environment names.
    pub text: Option<String>,
    pub credential_type: Option<CredentialType>,
    pub category: Option<String>,
    /// Has an OAuth preset, or has none.
    pub oauth: Option<bool>,
}

/// A service as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    pub id: String,
    pub name: String,
    pub category: String,
    pub credential_types: Vec<CredentialType>,
    /// There is an OAuth preset.
    pub oauth: bool,
    /// Comes from the user's own folder.
    pub own: bool,
}

impl Catalogue {
    /// The services that come with the program. Costs nothing until something is asked.
    pub fn embedded() -> &'static Catalogue {
        &EMBEDDED
    }

    fn of_embedded_files() -> Self {
        let mut entries: Vec<_> = FILES
            .files()
            .filter_map(|file| {
                let id = file.path().file_stem()?.to_str()?.to_owned();
                let text = file.contents_utf8()?;
                Some(Arc::new(Entry { id, text, parsed: OnceLock::new(), own: false }))
            })
            .collect();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        Self { entries, shapes: OnceLock::new() }
    }

    /// The embedded services and those of `folder`; a file there replaces ours of the same id.
    ///
    /// Every `*.toml` is read, in the order of names. Fails with `invalid_file`, naming file and field but never
    /// what the file holds, when one cannot be read or breaks a rule that our own manifests obey.
    pub fn with_folder(folder: &Path) -> Result<Self> {
        let mut entries = Self::embedded().entries.clone();
        for service in own::read_folder::<Service>(folder)? {
            let entry = Arc::new(Entry {
                id: service.id.clone(),
                text: "",
                parsed: OnceLock::from(Arc::new(service)),
                own: true,
            });
            match entries.binary_search_by(|e| e.id.cmp(&entry.id)) {
                Ok(at) => entries[at] = entry,
                Err(at) => entries.insert(at, entry),
            }
        }
        Ok(Self { entries, shapes: OnceLock::new() })
    }

    /// Holds every file of `folder` against the rules, and the shapes of its keys against those of our own services: a
    /// shape that another service has would recognise that one's keys as this one's. Definitions of servers are left out.
    pub fn check_folder(folder: &Path) -> Result<Vec<own::Checked>> {
        let ours = Self::embedded();
        let checked = own::check_folder::<Service>(folder, |path| !own::is_of_server(path))?;
        let shaped = |(mut checked, service): (own::Checked, Option<Service>)| {
            for key in service.iter().flat_map(|s| &s.keys).filter(|key| key.regex.is_some()) {
                let id = service.as_ref().map_or("", |s| s.id.as_str());
                let others = ours.recognise(&key.example_shape);
                if let Some(other) =
                    others.iter().find(|o| o.service != id && !key.also_used_by.contains(&o.service))
                {
                    checked.fault = Some(format!(
                        "the shape of its key {} is also that of {}: name it in also_used_by, or make it format_regex",
                        key.kind, other.service
                    ));
                }
            }
            checked
        };
        Ok(checked.into_iter().map(shaped).collect())
    }

    /// Every service, by id.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.entries.iter().map(|entry| entry.service())
    }

    /// The service with this id or alias, in any case.
    pub fn find_service(&self, id_or_alias: &str) -> Option<Arc<Service>> {
        self.lookup(id_or_alias).cloned()
    }

    /// The same; fails with `service_not_found`, suggesting names that are close.
    pub fn service(&self, id_or_alias: &str) -> Result<Arc<Service>> {
        self.find_service(id_or_alias).ok_or_else(|| {
            let close = self.close_to(id_or_alias);
            let error =
                Error::new(Code::ServiceNotFound, "there is no service of that name in the catalogue");
            match close.as_slice() {
                [] => error,
                names => error.next(format!(
                    "Did you mean {}? Call list_services to see them all.",
                    names.join(" or ")
                )),
            }
        })
    }

    fn lookup(&self, name: &str) -> Option<&Arc<Service>> {
        let name = name.trim().to_ascii_lowercase();
        match self.entries.binary_search_by(|entry| entry.id.as_str().cmp(&name)) {
            Ok(at) => Some(self.entries[at].service()),
            Err(_) => self.services().find(|service| service.aliases.contains(&name)),
        }
    }

    /// Up to three ids that somebody who typed `name` may have meant, the closest first.
    fn close_to(&self, name: &str) -> Vec<&str> {
        // A longer text is no name; comparing it would only cost time.
        if name.len() > 64 {
            return Vec::new();
        }
        let name = name.trim().to_ascii_lowercase();
        let mut scored: Vec<(f64, &str)> = self
            .services()
            .map(|service| {
                let known = std::iter::once(&service.id).chain(&service.aliases);
                (known.map(|k| strsim::jaro_winkler(k, &name)).fold(0.0, f64::max), service.id.as_str())
            })
            .filter(|(score, _)| *score >= 0.85)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        scored.into_iter().take(3).map(|(_, id)| id).collect()
    }

    /// What `filter` lets through, by id.
    pub fn list(&self, filter: &Filter) -> Vec<Summary> {
        let text = filter.text.as_deref().unwrap_or("").to_lowercase();
        self.entries
            .iter()
            .map(|entry| (entry.service(), entry.own))
            .filter(|(service, _)| {
                filter.credential_type.is_none_or(|t| service.credential_types.contains(&t))
                    && filter.category.as_ref().is_none_or(|c| c.eq_ignore_ascii_case(&service.category))
                    && filter.oauth.is_none_or(|wanted| wanted == service.oauth.is_some())
                    && text.split_whitespace().all(|word| mentions(service, word))
            })
            .map(|(service, own)| Summary {
                id: service.id.clone(),
                name: service.name.clone(),
                category: service.category.clone(),
                credential_types: service.credential_types.clone(),
                oauth: service.oauth.is_some(),
                own,
            })
            .collect()
    }

    /// The categories there are, each once, in order.
    pub fn categories(&self) -> Vec<&str> {
        let mut categories: Vec<_> = self.services().map(|service| service.category.as_str()).collect();
        categories.sort_unstable();
        categories.dedup();
        categories
    }

    /// Ids of the services that a variable of this name customarily belongs to; several where it is ambiguous.
    ///
    /// `GITHUB_TOKEN` is looked up as it is; then `PROD_GITHUB_TOKEN` and `GITHUB_TOKEN_CI` by the longest known
    /// name at either end. A guess: ask before acting on it.
    pub fn service_for_env_name(&self, name: &str) -> Vec<String> {
        let name = name.trim().to_ascii_uppercase();
        let mut best: (usize, Vec<String>) = (0, Vec::new());
        for service in self.services() {
            let fit = service
                .env_names
                .iter()
                .map(|known| fit(&known.to_ascii_uppercase(), &name))
                .max()
                .unwrap_or(0);
            if fit > best.0 {
                best = (fit, Vec::new());
            }
            if fit > 0 && fit == best.0 {
                best.1.push(service.id.clone());
            }
        }
        best.1
    }

    /// How to sign in at this service, by id or alias.
    pub fn oauth_preset(&self, id_or_alias: &str) -> Option<&OauthPreset> {
        self.lookup(id_or_alias)?.oauth.as_ref()
    }
}

/// How well a variable's name fits a known one: its length, and more when nothing is left over.
fn fit(known: &str, name: &str) -> usize {
    let at_an_end = || {
        name.strip_prefix(known).is_some_and(|rest| rest.starts_with('_'))
            || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('_'))
    };
    match known {
        _ if known == name => usize::MAX,
        // A single word, such as TOKEN, at an end says nothing.
        _ if known.contains('_') && at_an_end() => known.len(),
        _ => 0,
    }
}

fn mentions(service: &Service, word: &str) -> bool {
    [&service.id, &service.name, &service.category]
        .into_iter()
        .chain(&service.aliases)
        .chain(&service.env_names)
        .any(|text| text.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_parses_and_is_named_after_its_id() {
        let catalogue = Catalogue::embedded();

        assert_eq!(catalogue.entries.len(), 131);
        for entry in &catalogue.entries {
            assert_eq!(entry.service().id, entry.id);
        }
    }

    #[test]
    fn a_service_is_found_by_id_and_by_alias_in_any_case() {
        let catalogue = Catalogue::embedded();

        assert_eq!(catalogue.service("GitHub").expect("an id").id, "github");
        assert_eq!(catalogue.service("jira").expect("an alias").id, "atlassian");
        assert!(catalogue.find_service("").is_none());
    }

    #[test]
    fn asking_for_one_service_parses_one_file() {
        let catalogue = Catalogue::of_embedded_files();

        catalogue.service("stripe").expect("in the catalogue");

        assert_eq!(catalogue.entries.iter().filter(|e| e.parsed.get().is_some()).count(), 1);
    }

    #[test]
    fn a_slip_of_the_finger_is_answered_with_what_was_meant() {
        let error = Catalogue::embedded().service("cloudflair").expect_err("no such service");

        assert_eq!(error.code, Code::ServiceNotFound);
        assert!(error.next_step().contains("cloudflare"), "{}", error.next_step());
        assert!(!error.message().contains("cloudflair"), "what was typed may be a secret");
    }

    #[test]
    fn no_id_or_alias_names_two_services() {
        let mut seen = std::collections::HashSet::new();
        for service in Catalogue::embedded().services() {
            for name in std::iter::once(&service.id).chain(&service.aliases) {
                assert!(seen.insert(name), "{name} twice");
            }
        }
    }

    #[test]
    fn a_list_is_narrowed_by_each_filter() {
        let catalogue = Catalogue::embedded();
        let ids = |filter: Filter| catalogue.list(&filter).into_iter().map(|s| s.id).collect::<Vec<_>>();

        assert_eq!(ids(Filter::default()).len(), 131);
        assert_eq!(ids(Filter { text: Some("JIRA".into()), ..Filter::default() }), ["atlassian"]);
        assert!(
            ids(Filter { category: Some("ai".into()), ..Filter::default() }).contains(&"openai".to_owned())
        );
        assert!(!ids(Filter { oauth: Some(false), ..Filter::default() }).contains(&"github".to_owned()));
        let files = ids(Filter { credential_type: Some(CredentialType::File), ..Filter::default() });
        assert!(files.contains(&"gcp-service-account".to_owned()) && !files.contains(&"stripe".to_owned()));
    }

    #[test]
    fn a_variable_name_suggests_its_service_and_an_ambiguous_one_several() {
        let catalogue = Catalogue::embedded();

        assert_eq!(catalogue.service_for_env_name("GITHUB_TOKEN"), ["github"]);
        assert_eq!(catalogue.service_for_env_name("PROD_STRIPE_SECRET_KEY"), ["stripe"]);
        assert_eq!(catalogue.service_for_env_name("OPENAI_API_KEY_CI"), ["openai"]);
        assert!(catalogue.service_for_env_name("DATABASE_URL").len() > 1);
        assert!(catalogue.service_for_env_name("MY_TOKEN").is_empty());
    }
}
