//! A user's own folder of manifests: read with care, refused with reasons.
//!
//! A refusal names file, field and line. It never repeats what the file holds, since people paste secrets into the
//! wrong file.
use std::path::Path;

use serde::de::DeserializeOwned;

use super::rules;
use super::service::Service;
use crate::error::{Code, Error, Result};

/// Something that a folder may hold, one in a file.
pub(super) trait Manifest: DeserializeOwned {
    /// What a file is meant to be, as a message calls it.
    const WHAT: &'static str;
    /// Where the repository says what such a file holds.
    const SCHEMA: &'static str;

    /// What its file must be named after.
    fn id(&self) -> &str;
    /// The first field that breaks a rule, and the rule; never what the field holds.
    fn fault(&self) -> Option<(String, String)>;
}

impl Manifest for Service {
    const WHAT: &'static str = "service manifest";
    const SCHEMA: &'static str = "manifests/schema/service.schema.json";

    fn id(&self) -> &str {
        &self.id
    }
    fn fault(&self) -> Option<(String, String)> {
        rules::fault(self)
    }
}

/// A manifest is a page of text; a file above this many bytes is something else.
const LARGEST_FILE_BYTES: u64 = 256 * 1024;

/// What every `*.toml` in `folder` holds, in the order of names.
///
/// Fails with `invalid_file` at the first that cannot be read, is no manifest, or breaks a rule.
pub(super) fn read_folder<M: Manifest>(folder: &Path) -> Result<Vec<M>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_own(path)).collect()
}

/// One file of a folder, and what is wrong with it.
#[derive(Debug, serde::Serialize)]
pub struct Checked {
    pub file: String,
    /// Field, line and rule; never what the file holds. Nothing where it is in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Every `*.toml` in `folder`, each by itself, so that all faults are told at once.
pub(super) fn check_folder<M: Manifest>(
    folder: &Path,
    is_wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<(Checked, Option<M>)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        paths.push(entry.map_err(|e| unreadable(folder, e))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && is_wanted(path));
    paths.sort();
    let checked = paths.iter().map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match read_own::<M>(path) {
            Ok(manifest) => (Checked { file, fault: None }, Some(manifest)),
            Err(e) => (Checked { file, fault: Some(e.message().to_owned()) }, None),
        }
    });
    Ok(checked.collect())
}

/// Whether a file is meant to be the definition of an MCP server: those alone say how one speaks to it.
pub(super) fn is_of_server(path: &Path) -> bool {
    let is_small =
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST_FILE_BYTES);
    let text = if is_small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("transport"))
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    Error::new(Code::InvalidFile, format!("{} cannot be read", path.display())).because(cause)
}

/// Reads one file and holds it against our rules.
fn read_own<M: Manifest>(path: &Path) -> Result<M> {
    let found = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if !found.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(broken::<M>(path, "it is no regular file"));
    }
    if found.len() > LARGEST_FILE_BYTES {
        return Err(broken::<M>(path, "the file is too large for a manifest"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, e))?;
    let manifest: M = parse(&text).map_err(|fault| broken::<M>(path, &fault))?;
    if path.file_stem().is_none_or(|stem| stem != manifest.id()) {
        return Err(broken::<M>(path, "field id: must be the name of the file"));
    }
    match manifest.fault() {
        Some((field, reason)) => Err(broken::<M>(path, &format!("field {field}: {reason}"))),
        None => Ok(manifest),
    }
}

pub(super) fn broken<M: Manifest>(path: &Path, fault: &str) -> Error {
    Error::new(Code::InvalidFile, format!("{} is not a {}: {fault}", path.display(), M::WHAT))
        .next(format!("Correct the file; {} says what it holds.", M::SCHEMA))
}

/// Parses a manifest; a failure names field and line, never the text: toml's own message would quote it.
fn parse<M: Manifest>(text: &str) -> Result<M, String> {
    let line = |span: Option<std::ops::Range<usize>>| {
        let end = span.map_or(0, |s| s.start.min(text.len()));
        text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count() + 1
    };
    let deserializer = toml::de::Deserializer::parse(text)
        .map_err(|e| format!("line {}: this is not TOML", line(e.span())))?;
    serde_path_to_error::deserialize(deserializer).map_err(|e| {
        let line = line(e.inner().span());
        let place = e.path().to_string();
        // The name in this one message comes from our types, not from the file.
        if let Some(rest) = e.inner().message().strip_prefix("missing field `") {
            let field = rest.split('`').next().unwrap_or_default();
            let place = if place == "." { String::new() } else { format!("{place}.") };
            return format!("field {place}{field}: is missing");
        }
        format!("field {place}: unknown, or of the wrong type (line {line})")
    })
}

#[cfg(test)]
mod tests {
    use crate::services::catalogue::{Catalogue, Filter};

    use super::*;

    fn folder_with(name: &str, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(name), text).expect("the file is written");
        folder
    }

    const OWN: &str = r#"
        id = "acme"
        name = "Acme"
        category = "internal"
        credential_types = ["api_key"]
        confidence = "high"
        [rotation]
        overlap_possible = true
        recommended_interval_days = 30
        steps = ["Make a second key, switch, delete the first."]
    "#;

    #[test]
    fn a_folder_adds_services_and_replaces_ours() {
        let folder = folder_with("acme.toml", OWN);
        let ours_replaced = OWN.replace("\"acme\"", "\"stripe\"");
        std::fs::write(folder.path().join("stripe.toml"), ours_replaced).expect("the file is written");

        let catalogue = Catalogue::with_folder(folder.path()).expect("both are good");

        assert_eq!(catalogue.service("acme").expect("added").name, "Acme");
        assert_eq!(catalogue.service("stripe").expect("replaced").name, "Acme");
        assert_eq!(catalogue.list(&Filter::default()).len(), 132);
        assert_eq!(Catalogue::embedded().service("stripe").expect("untouched").name, "Stripe");
    }

    #[test]
    fn a_folder_named_like_a_manifest_is_refused_without_being_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("acme.toml")).expect("the folder is made");

        let error = Catalogue::with_folder(folder.path()).err().expect("refused");

        assert!(error.message().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_check_tells_of_every_file_by_itself() {
        let folder = folder_with("acme.toml", OWN);
        let twice = "[[keys]]\nkind = 'k'\nregex = '^ghp_[0-9A-Za-z]{36}$'\nexample_shape = 'ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\n";
        let other = format!("{}{twice}", OWN.replace("\"acme\"", "\"other\""));
        std::fs::write(folder.path().join("other.toml"), other).expect("the file is written");
        std::fs::write(folder.path().join("wrong.toml"), "id = 1").expect("the file is written");
        std::fs::write(folder.path().join("notes.txt"), "x").expect("the file is written");

        let checked = Catalogue::check_folder(folder.path()).expect("the folder is read");

        let told: Vec<_> = checked.iter().map(|c| (c.file.as_str(), c.fault.is_some())).collect();
        assert_eq!(told, [("acme.toml", false), ("other.toml", true), ("wrong.toml", true)]);
        assert!(checked[1].fault.as_deref().is_some_and(|fault| fault.contains("github")));
    }

    const BROKER: &str = r#"
        [broker]
        base_url = "http://127.0.0.1:8099/api"
        paths = ["/api/v1/**"]
        base_url_env = ["ACME_BASE_URL"]
        base_url_suffix = "/v1"
        auth = { in = "header", name = "X-Key", format = "{token}" }
    "#;

    #[test]
    fn a_service_of_ones_own_can_be_brokered_on_this_machine() {
        let folder = folder_with("acme.toml", &format!("{OWN}{BROKER}"));

        let acme = Catalogue::with_folder(folder.path()).expect("good").service("acme").expect("added");

        let preset = acme.broker().expect("reached");
        let base = acme.broker_base(&preset, &Default::default()).expect("an address");
        assert_eq!(base.as_str(), "http://127.0.0.1:8099/api");
        assert!(preset.paths[0].fits("/api/v1/x") && !preset.paths[0].fits("/api/v2"));
        assert_eq!((preset.base_url_env.len(), preset.base_url_suffix.as_deref()), (1, Some("/v1")));
    }

    #[test]
    fn a_broker_section_that_could_mean_two_things_is_refused() {
        for (good, bad, field) in [
            ("http://127.0.0.1:8099/api", "http://u:p@127.0.0.1:8099/api", "broker.base_url"),
            ("http://127.0.0.1:8099/api", "http://127.0.0.1:8099/api/", "broker.base_url"),
            ("http://127.0.0.1:8099/api", "http://{host}/api", "broker.base_url"),
            ("http://127.0.0.1:8099/api", "ftp://127.0.0.1/api", "broker.base_url"),
            ("/api/v1/**", "/api/../**", "broker.paths[0]"),
            ("ACME_BASE_URL", "ACME=BASE", "broker.base_url_env"),
            ("\"/v1\"", "\"v1\"", "broker.base_url_suffix"),
            ("in = \"header\", name = \"X-Key\", format = \"{token}\"", "in = \"path\"", "broker.auth"),
        ] {
            let folder = folder_with("acme.toml", &format!("{OWN}{}", BROKER.replace(good, bad)));

            let error = Catalogue::with_folder(folder.path()).err().expect("refused");

            assert!(error.message().contains(field), "{field}: {error}");
        }
    }

    #[test]
    fn a_bad_file_is_named_with_its_field_and_never_with_its_content() {
        let planted = "planted-".repeat(3);
        let cases = [
            (OWN.replace("\"high\"", &format!("\"{planted}\"")), "confidence"),
            (OWN.replace("30", &format!("\"{planted}\"")), "rotation.recommended_interval_days"),
            (OWN.replace("30", &format!("30 {planted} = = ")), "not TOML"),
            (OWN.replace("[rotation]", &format!("website = \"http://{planted}\"\n[rotation]")), "website"),
            (OWN.replace("\"acme\"", &format!("\"{planted}\"")), "id"),
            (OWN.replace("name = \"Acme\"", ""), "field name: is missing"),
            (OWN.replace("overlap_possible = true", ""), "field rotation.overlap_possible: is missing"),
            (format!("unknown = \"{planted}\"\n{OWN}"), "line 1"),
            (
                format!("{OWN}[[keys]]\nkind = 'k'\nregex = '{planted}'\nexample_shape = 'x'\n"),
                "keys[0].regex",
            ),
            (
                format!("{OWN}[verify]\nauth = {{ in = 'header', name = 'X', format = 1, x = '{planted}' }}"),
                "verify.auth",
            ),
        ];
        for (text, field) in cases {
            let folder = folder_with("acme.toml", &text);

            let error = Catalogue::with_folder(folder.path()).err().expect("refused");

            assert_eq!(error.code, Code::InvalidFile);
            assert!(
                error.message().contains("acme.toml") && error.message().contains(field),
                "{field}: {error}"
            );
            let shown = format!("{error:?} {}", error.to_json());
            assert!(!shown.contains(&planted), "{shown}");
        }
    }
}
