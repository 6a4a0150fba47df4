//! What the catalogue knows that the rules need, looked up once for a hundred thousand credentials.
use crate::model::connection::Connection;
use crate::services::Catalogue;
use crate::services::Risk;
use std::collections::HashMap;
use std::sync::Arc;

/// Texts that occur again and again, each kept once.
#[derive(Default)]
pub struct Texts(HashMap<String, Arc<str>>);

impl Texts {
    pub fn of(&mut self, text: &str) -> Arc<str> {
        match self.0.get(text) {
            Some(kept) => kept.clone(),
            None => {
                let kept: Arc<str> = text.into();
                self.0.insert(text.to_owned(), kept.clone());
                kept
            }
        }
    }
}

/// Customary names of variables, and scopes that are broad.
pub struct Known {
    catalogue: &'static Catalogue,
    /// Services by the upper-case name of a variable.
    by_name: HashMap<String, Vec<Arc<str>>>,
    /// What a variable of a service is called first.
    customary: HashMap<String, Arc<str>>,
    /// Scopes that the catalogue marks as admin, by service.
    broad: HashMap<String, Vec<String>>,
}

impl Known {
    pub fn of(catalogue: &'static Catalogue) -> Self {
        let mut known =
            Self { catalogue, by_name: HashMap::new(), customary: HashMap::new(), broad: HashMap::new() };
        for service in catalogue.services() {
            let id: Arc<str> = service.id.as_str().into();
            for name in &service.env_names {
                known.by_name.entry(name.to_ascii_uppercase()).or_default().push(id.clone());
            }
            if let Some(first) = service.env_names.first() {
                known.customary.insert(service.id.clone(), first.as_str().into());
            }
        }
        known
    }

    pub fn customary(&self, service: &str) -> Option<Arc<str>> {
        self.customary.get(service).cloned()
    }

    /// The services that a variable of this name customarily belongs to: exactly, else by the longest known name of several
    /// words at either end. The same as [`Catalogue::service_for_env_name`], without a look at each service.
    pub fn named_after(&self, name: &str) -> Vec<Arc<str>> {
        let name = name.to_ascii_uppercase();
        if let Some(services) = self.by_name.get(&name) {
            return services.clone();
        }
        let mut best: (usize, Vec<Arc<str>>) = (0, Vec::new());
        for (at, _) in name.match_indices('_') {
            for part in [&name[..at], &name[at + 1..]] {
                if let Some(services) = self.by_name.get(part).filter(|_| part.contains('_')) {
                    match part.len() {
                        longer if longer > best.0 => best = (longer, services.clone()),
                        same if same == best.0 => best.1.extend(services.iter().cloned()),
                        _ => {}
                    }
                }
            }
        }
        best.1
    }

    /// Scopes of a connection that are marked as admin, and those that nobody asked for.
    pub fn broad_scopes(&mut self, service: &str, connection: &Connection) -> Vec<String> {
        let catalogue = self.catalogue;
        let admin = self.broad.entry(service.to_owned()).or_insert_with(|| {
            let scopes = catalogue.oauth_preset(service).map(|preset| &preset.scopes);
            let admin = scopes.into_iter().flatten().filter(|scope| scope.risk == Risk::Admin);
            admin.map(|scope| scope.scope.clone()).collect()
        });
        let implied = ["openid", "profile", "email", "offline_access"];
        let is_extra = |scope: &String| {
            !connection.scopes_asked.is_empty()
                && !connection.scopes_asked.contains(scope)
                && !implied.contains(&scope.as_str())
        };
        let mut broad: Vec<_> = connection
            .scopes_granted
            .iter()
            .filter(|scope| admin.contains(scope) || is_extra(scope))
            .cloned()
            .collect();
        broad.sort();
        broad.dedup();
        broad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_customary_for_what_the_catalogue_says() {
        let catalogue = Catalogue::embedded();
        let known = Known::of(catalogue);
        for name in [
            "GITHUB_TOKEN",
            "PROD_STRIPE_SECRET_KEY",
            "OPENAI_API_KEY_CI",
            "DATABASE_URL",
            "MY_TOKEN",
            "TOKEN",
            "",
            "github_token",
            "SOME_AWS_ACCESS_KEY_ID_2",
        ] {
            let mut here: Vec<_> = known.named_after(name).iter().map(ToString::to_string).collect();
            let mut there = catalogue.service_for_env_name(name);
            here.sort();
            there.sort();
            assert_eq!(here, there, "{name}");
        }
    }
}
