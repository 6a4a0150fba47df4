//! What every manifest must obey, ours and a user's own: the tests hold ours against it, and a folder is refused
//! by it.
use std::collections::BTreeMap;

use regex_syntax::hir::{Hir, HirKind, Look};
use url::Url;

use super::broker::{PathPattern, base};
use super::fill::{fill, placeholders};
use super::service::{Key, Service};

/// The first field of `service` that breaks a rule, and the rule; never what the field holds.
pub(super) fn fault(service: &Service) -> Option<(String, String)> {
    names(service)
        .or_else(|| service.keys.iter().enumerate().find_map(|(at, key)| shape(at, key)))
        .or_else(|| steps(service))
        .or_else(|| broker(service))
        .or_else(|| addresses(service).into_iter().find_map(|(field, url)| address(service, field, url)))
}

fn broken(field: impl Into<String>, rule: &str) -> Option<(String, String)> {
    Some((field.into(), rule.to_owned()))
}

fn names(service: &Service) -> Option<(String, String)> {
    let is_id = |id: &str| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_id(&service.id) {
        return broken("id", "only lower-case letters, digits and hyphens");
    }
    if !service.aliases.iter().all(|alias| is_id(alias)) {
        return broken("aliases", "only lower-case letters, digits and hyphens");
    }
    if !service.env_names.iter().all(|name| is_env(name)) {
        return broken("env_names", "only letters, digits and underscores");
    }
    if service.name.trim().is_empty() {
        return broken("name", "must not be empty");
    }
    if service.credential_types.is_empty() {
        return broken("credential_types", "must name at least one");
    }
    None
}

fn shape(at: usize, key: &Key) -> Option<(String, String)> {
    for (field, text) in [("regex", &key.regex), ("format_regex", &key.format_regex)] {
        let Some(text) = text else { continue };
        let field = format!("keys[{at}].{field}");
        if !is_anchored(text) {
            return broken(field, "must be an expression from ^ to $ without alternatives outside a group");
        }
        match regex::Regex::new(text) {
            Err(_) => return broken(field, "must be an expression that compiles"),
            Ok(regex) if !regex.is_match(&key.example_shape) => {
                return broken(field, "must match example_shape");
            }
            Ok(_) => {}
        }
    }
    if key.regex.is_some() && key.format_regex.is_some() {
        return broken(format!("keys[{at}]"), "has regex or format_regex, not both");
    }
    None
}

/// Whether an expression matches nothing but whole values.
fn is_anchored(text: &str) -> bool {
    let Ok(hir) = regex_syntax::parse(text) else { return false };
    let at = |hir: Option<&Hir>, look| matches!(hir.map(Hir::kind), Some(HirKind::Look(l)) if *l == look);
    match hir.kind() {
        HirKind::Concat(parts) => at(parts.first(), Look::Start) && at(parts.last(), Look::End),
        _ => false,
    }
}

fn steps(service: &Service) -> Option<(String, String)> {
    let steps = &service.rotation.steps;
    if !(1..=4).contains(&steps.len()) || steps.iter().any(|step| step.trim().is_empty()) {
        return broken("rotation.steps", "one to four sentences");
    }
    let days = [Some(service.rotation.recommended_interval_days), service.rotation.expiry_max_days];
    if days.into_iter().flatten().any(|days| days == 0) {
        return broken("rotation", "an interval is at least one day");
    }
    None
}

fn broker(service: &Service) -> Option<(String, String)> {
    let Some(said) = &service.broker else { return None };
    // Without parameters it may also be a number, and http: what may be called is for the outbound rules to say.
    let is_fixed = placeholders(&said.base_url).is_empty();
    if is_fixed && base(&said.base_url).is_none() {
        return broken("broker.base_url", "an origin with a path, without a slash at its end, user or query");
    }
    if let Some(at) = said.paths.iter().position(|path| PathPattern::parse(path).is_err()) {
        return broken(format!("broker.paths[{at}]"), "plain segments, * for one and ** at the end for any");
    }
    if !said.base_url_env.iter().all(|name| is_env(name)) {
        return broken("broker.base_url_env", "only letters, digits and underscores");
    }
    if said.base_url_suffix.as_ref().is_some_and(|suffix| !suffix.starts_with('/') || suffix.ends_with('/')) {
        return broken("broker.base_url_suffix", "begins with a slash and does not end with one");
    }
    if service.broker().is_none() {
        return broken("broker.auth", "a header, basic or a query, here or in verify");
    }
    if is_fixed { None } else { address(service, "broker.base_url".into(), &said.base_url) }
}

fn is_env(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn address(service: &Service, field: String, template: &str) -> Option<(String, String)> {
    // A parameter's own example must fit; whatever an earlier answer or the vault supplies is stood in for.
    let mut values: BTreeMap<String, String> =
        placeholders(template).into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect();
    values.extend(service.params.iter().map(|p| (p.name.clone(), p.example.clone())));

    let host =
        template.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let Some(host) = host else { return broken(field, "must begin with https://") };
    let known = |name: &&str| service.params.iter().any(|param| param.name == **name);
    if !placeholders(host).iter().all(known) {
        return broken(field, "the host may only use parameters that the manifest lists");
    }
    match fill(template, &values).map(|filled| Url::parse(&filled)) {
        Ok(Ok(_)) => None,
        _ => broken(field, "must be an address, also when the examples of its parameters are filled in"),
    }
}

/// Every address of a manifest, with its field.
pub(super) fn addresses<'a>(service: &'a Service) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    let mut add = |field: String, url: Option<&'a str>| found.extend(url.map(|url| (field, url)));
    add("website".into(), service.website.as_deref());
    add("docs_url".into(), service.docs_url.as_deref());
    add("manage_url".into(), service.manage_url.as_deref());
    for (what, url) in &service.manage_urls {
        add(format!("manage_urls.{what}"), Some(url));
    }
    for (field, url) in service.oauth.iter().flat_map(|oauth| oauth.addresses()) {
        add(format!("oauth.{field}"), Some(url));
    }
    if let Some(oauth1) = &service.oauth1 {
        add("oauth1.request_url".into(), Some(&oauth1.request_url));
        add("oauth1.authorization_url".into(), Some(&oauth1.authorization_url));
        add("oauth1.token_url".into(), Some(&oauth1.token_url));
    }
    add("verify.url".into(), service.verify.as_ref().and_then(|check| check.url.as_deref()));
    for (at, check) in service.verify_alternatives.iter().enumerate() {
        add(format!("verify_alternatives[{at}].url"), check.url.as_deref());
    }
    for (action, call) in &service.rotation.api {
        add(format!("rotation.api.{action}.url"), call.url.as_deref());
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use crate::services::catalogue::Catalogue;
    use crate::services::recognise::Recognised;

    use super::*;

    #[test]
    fn every_manifest_obeys_the_rules() {
        for service in Catalogue::embedded().services() {
            if let Some((field, rule)) = fault(service) {
                panic!("{}: field {field}: {rule}", service.id);
            }
        }
    }

    #[test]
    fn our_own_services_are_brokered_by_https_alone_and_each_variable_is_one_services() {
        let mut seen = HashSet::new();
        for service in Catalogue::embedded().services() {
            let Some(broker) = service.broker() else { continue };
            assert!(broker.base_url.starts_with("https://"), "{}", service.id);
            for name in broker.base_url_env {
                assert!(seen.insert(name.clone()), "{name} twice");
            }
        }
        assert!(seen.contains("OPENAI_BASE_URL") && seen.contains("ANTHROPIC_BASE_URL"));
    }

    #[test]
    fn no_example_is_recognised_as_another_services() {
        let catalogue = Catalogue::embedded();
        for service in catalogue.services() {
            for key in service.keys.iter() {
                let found = catalogue.recognise(&key.example_shape);

                let of_this =
                    |f: &Recognised| f.service == service.id || f.also_used_by.contains(&service.id);
                assert!(
                    found.len() <= 1 && found.iter().all(of_this),
                    "{} {}: {found:?}",
                    service.id,
                    key.kind
                );
                let by_itself = found.iter().any(|f| f.service == service.id && f.kind == key.kind);
                assert_eq!(by_itself, key.regex.is_some(), "{} {}: {found:?}", service.id, key.kind);
            }
        }
    }

    #[test]
    fn random_values_of_every_shape_are_recognised_as_its_services_only() {
        let catalogue = Catalogue::embedded();
        let mut runner = TestRunner::deterministic();
        for service in catalogue.services() {
            for key in service.keys.iter().filter(|key| key.regex.is_some()) {
                let text = key.regex.as_deref().expect("filtered");
                let unanchored = text.replacen('^', "", 1).trim_end_matches('$').to_owned();
                let values =
                    proptest::string::string_regex(&unanchored).expect("values can be drawn from it");
                for _ in 0..30 {
                    let value = values.new_tree(&mut runner).expect("nothing is rejected").current();

                    let found: HashSet<_> =
                        catalogue.recognise(&value).into_iter().map(|f| f.service).collect();

                    assert_eq!(
                        found,
                        HashSet::from([service.id.clone()]),
                        "{} {}: {value}",
                        service.id,
                        key.kind
                    );
                }
            }
        }
    }

    #[test]
    fn services_named_by_others_exist() {
        let catalogue = Catalogue::embedded();
        for service in catalogue.services() {
            for other in service.keys.iter().flat_map(|key| &key.also_used_by) {
                assert!(catalogue.find_service(other).is_some(), "{} names {other}", service.id);
            }
        }
    }

    #[test]
    fn a_check_says_where_to_ask_and_what_an_answer_means() {
        for service in Catalogue::embedded().services() {
            assert!(
                service.verify.is_some() || service.verify_note.is_some(),
                "{}: no check and no reason",
                service.id
            );
            for check in service.verify.iter().chain(&service.verify_alternatives) {
                let http = check.method.is_some() && check.url.is_some() && !check.ok_status.is_empty();
                assert!(http || check.protocol.is_some(), "{}: a check without a target", service.id);
                for body in check.ok_body.iter().chain(&check.limited_body) {
                    assert!(
                        body.pointer.starts_with('/') && (body.equals.is_some() || body.exists),
                        "{}",
                        service.id
                    );
                }
            }
        }
    }

    #[test]
    fn an_api_call_is_a_request_or_a_statement() {
        for service in Catalogue::embedded().services() {
            for (action, call) in &service.rotation.api {
                assert!(call.method.is_some() != call.sql.is_some(), "{} {action}", service.id);
                assert!(call.url.is_none() || call.method.is_some(), "{} {action}", service.id);
            }
        }
    }

    #[test]
    fn sentences_end_like_sentences() {
        for service in Catalogue::embedded().services() {
            let scopes = service.oauth.iter().flat_map(|oauth| &oauth.scopes).map(|scope| &scope.meaning);
            for sentence in service.rotation.steps.iter().chain(scopes) {
                assert!(sentence.ends_with('.') && !sentence.contains("  "), "{}: {sentence}", service.id);
            }
        }
    }

    #[test]
    fn the_committed_schema_is_what_the_types_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/schema/service.schema.json");
        let schema =
            serde_json::to_string_pretty(&schemars::schema_for!(Service)).expect("a schema is JSON") + "\n";

        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(path, &schema).expect("the schema is written");
        }

        let committed = std::fs::read_to_string(path).expect("the schema is committed");
        assert!(committed == schema, "run the tests with UPDATE_SCHEMAS=1 and commit the result");
    }

    #[test]
    fn an_expression_that_matches_a_part_is_not_anchored() {
        assert!(is_anchored("^ab+$"));
        for text in ["ab", "^ab", "ab$", "^a|b$", "(", "^(?:a$|b)$|c"] {
            assert!(!is_anchored(text), "{text}");
        }
    }
}
