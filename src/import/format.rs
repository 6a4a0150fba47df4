//! Which program wrote a file, and the reading of it by that program's rules.
use super::batch::{At, Batch};
use super::naming::{self, LooksSecret};
use super::record::Record;
use super::tree::{self, Node};
use super::{
    Dialect, MAX_FILE_BYTES, MAX_ITEMS, MAX_TEXT_BYTES, archive, bitwarden, decoded_within, gh, guard,
    keepass, kubernetes, netrc, npmrc, onepassword, parse, pgpass, profiles, registries, shape, stores,
    table, yaml,
};
use crate::error::{Code, Error, Result};

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A file of variables, by its dialect.
    Variables(Dialect),
    OnePux,
    OnePasswordCsv,
    OnePassword7Csv,
    /// `op item get --format json`.
    OnePasswordItem,
    BitwardenJson,
    BitwardenCsv,
    Lastpass,
    /// Chrome, Edge and the browsers like them.
    Browser,
    Firefox,
    Safari,
    KeepassXml,
    KeepassxcCsv,
    Doppler,
    Infisical,
    InfisicalCsv,
    Vault,
    Aws,
    Azure,
    Gcp,
    /// Manifests of Secrets, or `kubectl get secret -o yaml` or `json`.
    Kubernetes,
    /// One flat map, as `infisical export --format=yaml` prints it.
    Yaml,
    /// `~/.aws/credentials`.
    AwsProfiles,
    Netrc,
    Npmrc,
    /// `hosts.yml` of gh.
    Gh,
    /// `config.json` of docker.
    DockerConfig,
    Pgpass,
}

const ALL: &[(Format, &str, &str)] = &[
    (Format::Variables(Dialect::Dotenv), "dotenv", "a .env file"),
    (Format::Variables(Dialect::Docker), "docker", "an env file of docker"),
    (Format::Variables(Dialect::Systemd), "systemd", "an EnvironmentFile of systemd"),
    (Format::Variables(Dialect::Shell), "shell", "assignments of a shell"),
    (Format::Variables(Dialect::Json), "json", "a flat JSON object"),
    (Format::OnePux, "1pux", "a 1PUX export of 1Password"),
    (Format::OnePasswordCsv, "1password-csv", "the CSV export of 1Password"),
    (Format::OnePassword7Csv, "1password7-csv", "the CSV export of 1Password 7"),
    (Format::OnePasswordItem, "1password-json", "an item of the 1Password command line"),
    (Format::BitwardenJson, "bitwarden-json", "the JSON export of Bitwarden"),
    (Format::BitwardenCsv, "bitwarden-csv", "the CSV export of Bitwarden"),
    (Format::Lastpass, "lastpass", "the CSV export of LastPass"),
    (Format::Browser, "chrome", "the CSV export of Chrome or Edge"),
    (Format::Firefox, "firefox", "the CSV export of Firefox"),
    (Format::Safari, "safari", "the CSV export of Safari"),
    (Format::KeepassXml, "keepass-xml", "the XML export of KeePass"),
    (Format::KeepassxcCsv, "keepassxc-csv", "the CSV export of KeePassXC"),
    (Format::Doppler, "doppler", "the JSON of Doppler"),
    (Format::Infisical, "infisical", "the JSON export of Infisical"),
    (Format::InfisicalCsv, "infisical-csv", "the CSV export of Infisical"),
    (Format::Vault, "vault", "the JSON of a Vault KV secret"),
    (Format::Aws, "aws", "the JSON of AWS Secrets Manager"),
    (Format::Azure, "azure", "the JSON of an Azure Key Vault secret"),
    (Format::Gcp, "gcp", "the JSON of a Google Cloud secret"),
    (Format::Kubernetes, "kubernetes", "a Secret of Kubernetes"),
    (Format::Yaml, "yaml", "a flat YAML map"),
    (Format::AwsProfiles, "aws-credentials", "the credentials file of AWS"),
    (Format::Netrc, "netrc", "a .netrc file"),
    (Format::Npmrc, "npmrc", "a .npmrc file"),
    (Format::Gh, "gh", "the hosts.yml of the GitHub command line"),
    (Format::DockerConfig, "docker-config", "the config.json of docker"),
    (Format::Pgpass, "pgpass", "a .pgpass file"),
];

/// How a file is read.
pub struct Options<'a> {
    /// What tells that a text is a secret, so that it becomes no name, label or description.
    pub looks_secret: LooksSecret<'a>,
    /// Each named value becomes a credential of its own.
    pub split: bool,
    /// Secure notes are taken over too.
    pub notes: bool,
    /// What an entry without a name of its own is called: the name of its file.
    pub name: &'a str,
}

impl Format {
    /// The word by which a person names it.
    pub fn word(self) -> &'static str {
        ALL.iter().find(|(f, _, _)| *f == self).map_or("", |(_, word, _)| word)
    }

    /// What it is, as a part of a sentence.
    pub fn title(self) -> &'static str {
        ALL.iter().find(|(f, _, _)| *f == self).map_or("", |(_, _, title)| title)
    }

    pub fn named(word: &str) -> Option<Self> {
        let word = match word {
            "edge" | "brave" | "opera" | "vivaldi" | "chromium" => "chrome",
            word => word,
        };
        ALL.iter().find(|(_, w, _)| *w == word).map(|(f, _, _)| *f)
    }

    pub fn words() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(_, word, _)| *word)
    }

    /// Whether a program keeps it in a home folder and reads it from there.
    fn is_of_a_home(self) -> bool {
        use Format::{AwsProfiles, DockerConfig, Gh, Netrc, Npmrc, Pgpass};
        matches!(self, AwsProfiles | Netrc | Npmrc | Gh | DockerConfig | Pgpass)
    }

    /// The largest file of this kind that is read, bytes.
    pub fn most_bytes(self) -> usize {
        match self {
            Format::Variables(_) | Format::Yaml => MAX_FILE_BYTES,
            f if f.is_of_a_home() => MAX_FILE_BYTES,
            Format::OnePux => MAX_ARCHIVE_BYTES,
            _ => MAX_TEXT_BYTES,
        }
    }
}

/// The largest 1PUX archive that is read, bytes.
pub const MAX_ARCHIVE_BYTES: usize = 256 * 1024 * 1024;

/// How much of a file is looked at to tell what it is.
const HEAD_BYTES: usize = 256 * 1024;

/// The likely format of a file, by its name and its first characters.
///
/// Fails with `invalid_file` for what is known and cannot be read, and for a table whose header nobody writes.
pub fn detect_format(file_name: &str, bytes: &[u8]) -> Result<Format> {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name).to_ascii_lowercase();
    if bytes.starts_with(b"PK\x03\x04") || name.ends_with(".1pux") {
        return Ok(Format::OnePux);
    }
    if bytes.starts_with(&[0x03, 0xD9, 0xA2, 0x9A]) {
        return Err(Error::new(Code::InvalidFile, "this is a KeePass database, which is encrypted")
            .next("Export it in KeePass or KeePassXC as XML (2.x), then import that with --shred."));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let head = String::from_utf8_lossy(&text[..text.len().min(HEAD_BYTES)]);
    let start = head.trim_start();
    if name.ends_with(".xml") || start.starts_with("<?xml") || start.starts_with("<KeePassFile") {
        return Ok(Format::KeepassXml);
    }
    if let Some(format) = detect_yaml(&name, start) {
        return Ok(format);
    }
    // `[default]` begins an INI file.
    let is_list =
        start.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['{', '[', '"', ']']));
    if name.ends_with(".json") || start.starts_with('{') || is_list {
        return detect_json(start);
    }
    if name.ends_with(".toml") && head.lines().any(|line| line.starts_with("[mcp_servers.")) {
        return Err(of_a_client());
    }
    let first = head.lines().next().unwrap_or_default();
    if let Some(format) = table::detect(first).or_else(|| detect_home(&name, start)) {
        return Ok(format);
    }
    if name.ends_with(".csv") {
        if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            return Err(
                Error::new(Code::InvalidFile, "the file is UTF-16").next("Save it as UTF-8, then import it.")
            );
        }
        return Err(Error::new(Code::InvalidFile, "line 1 is the header of no export that is known here").next(
            "Export it again, with commas and with its header; or say who wrote it with --from to hear what is missing.",
        ));
    }
    Ok(Format::Variables(super::detect(file_name, bytes)))
}

/// What a manifest begins with: its members stand in any order.
const OF_A_MANIFEST: &[&str] =
    &["apiVersion:", "data:", "immutable:", "items:", "kind:", "metadata:", "stringData:", "type:"];

/// YAML by its name; a Secret of Kubernetes also by its first lines, as a pipe has no name.
fn detect_yaml(name: &str, start: &str) -> Option<Format> {
    if start.starts_with('{') || name.ends_with(".json") {
        return None;
    }
    let begins = |word: &str| start.lines().any(|line| line.starts_with(word));
    let is_named = name.ends_with(".yaml") || name.ends_with(".yml");
    // Elsewhere a manifest may stand in a note or a value.
    let first =
        start.lines().find(|line| !line.is_empty() && !line.starts_with("---") && !line.starts_with('#'));
    let is_manifest = first.is_some_and(|line| OF_A_MANIFEST.iter().any(|word| line.starts_with(word)));
    if is_manifest && begins("apiVersion:") && begins("kind:") {
        return Some(Format::Kubernetes);
    }
    let is_of_gh = name.ends_with("hosts.yml")
        || start.lines().any(|line| line.starts_with(' ') && line.trim_start().starts_with("oauth_token:"));
    is_named.then_some(if is_of_gh { Format::Gh } else { Format::Yaml })
}

/// A file that a program keeps in a home folder, by its name or by what only that program writes.
fn detect_home(name: &str, start: &str) -> Option<Format> {
    let mut lines =
        start.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let first = lines.clone().next().unwrap_or_default();
    let has = |word: &str| lines.clone().any(|line| line.starts_with(word));
    if first.starts_with('[') && (has("aws_access_key_id") || has("aws_secret_access_key")) {
        return Some(Format::AwsProfiles);
    }
    let of_registry = ["_authToken", "_auth", "_password"];
    let is_npm = |line: &str| {
        line.starts_with("//") && of_registry.iter().any(|word| line.contains(&format!(":{word}")))
    };
    // A variable may hold such a file.
    let is_variable = |line: &str| line.starts_with(|c: char| c.is_ascii_uppercase());
    let is_machine = first.starts_with("machine ") && ["login", "password"].iter().any(|w| start.contains(w));
    let is_postgres = |line: &str| {
        let parts: Vec<_> = line.splitn(5, ':').collect();
        matches!(parts[..], [host, port, _, _, _] if !host.contains('=') && (port == "*" || port.parse::<u16>().is_ok()))
    };
    match name {
        ".netrc" | "_netrc" | "netrc" => Some(Format::Netrc),
        ".npmrc" | "npmrc" => Some(Format::Npmrc),
        ".pgpass" | "pgpass" | "pgpass.conf" => Some(Format::Pgpass),
        _ if is_machine => Some(Format::Netrc),
        _ if lines.clone().any(is_npm) && !lines.clone().any(is_variable) => Some(Format::Npmrc),
        _ if !first.is_empty() && lines.all(is_postgres) => Some(Format::Pgpass),
        _ => None,
    }
}

fn of_a_client() -> Error {
    Error::new(Code::InvalidFile, "this is the configuration of an MCP client").next(
        "Run `unsaid mcp-config --wrap FILE`: it moves the values of its servers into the vault, and shows a diff first.",
    )
}

/// By the names that only one program writes. A name inside a value stands in escaped quotes and does not count.
fn detect_json(head: &str) -> Result<Format> {
    let has = |name: &str| head.contains(&format!("\"{name}\""));
    let is_server = has("command") || has("envFile") || has("headers");
    if has("mcpServers") || has("context_servers") || (has("servers") && is_server) {
        return Err(of_a_client());
    }
    Ok(if has("apiVersion") && has("kind") {
        Format::Kubernetes
    } else if has("encrypted") && (has("items") || has("data")) {
        Format::BitwardenJson
    } else if has("SecretString") || has("SecretBinary") || has("SecretValues") {
        Format::Aws
    } else if has("lease_id") || (has("data") && has("metadata") && has("deletion_time")) {
        Format::Vault
    } else if has("computed") || has("raw") || has("DOPPLER_PROJECT") || has("DOPPLER_CONFIG") {
        Format::Doppler
    } else if has("secretPath") || (head.starts_with('[') && has("key") && has("value")) {
        Format::Infisical
    } else if has("payload") && has("projects") || (has("payload") && has("dataCrc32c")) {
        Format::Gcp
    } else if has("recoveryLevel") || head.contains(".vault.azure.net/secrets/") {
        Format::Azure
    } else if has("category") && has("fields") && has("vault") {
        Format::OnePasswordItem
    } else if has("auths") || has("credHelpers") || has("credsStore") {
        Format::DockerConfig
    } else {
        Format::Variables(Dialect::Json)
    })
}

/// What `bytes` hold, by the rules of `format`.
///
/// Fails with `too_large` beyond the format's limits and with `invalid_file` for what the format cannot be: then
/// nothing of it is told but where and what is wrong. The file is read whole or not at all.
pub fn read(format: Format, bytes: &[u8], options: &Options<'_>) -> Result<Batch> {
    let mut batch = Batch::default();
    match format {
        Format::Variables(dialect) => variables(dialect, bytes, options, &mut batch)?,
        Format::OnePux => {
            if bytes.len() > MAX_ARCHIVE_BYTES {
                return Err(Error::new(Code::TooLarge, "the archive is larger than 256 MiB"));
            }
            archive::read(bytes, options, &mut batch)?;
        }
        Format::KeepassXml => keepass::read(decoded_within(bytes, MAX_TEXT_BYTES)?, options, &mut batch)?,
        Format::BitwardenJson => bitwarden::read(object(bytes)?, options, &mut batch)?,
        Format::OnePasswordItem => onepassword::op_item(json(bytes)?, options, &mut batch)?,
        Format::Doppler => stores::doppler(object(bytes)?, options, &mut batch)?,
        Format::Infisical => {
            stores::infisical(json(bytes)?.into_list(At::Line(1), "the file")?, options, &mut batch)?;
        }
        Format::Vault => stores::vault(object(bytes)?, options, &mut batch)?,
        Format::Aws => stores::aws(object(bytes)?, options, &mut batch)?,
        Format::Azure => stores::azure(object(bytes)?, options, &mut batch)?,
        Format::Gcp => stores::gcp(object(bytes)?, options, &mut batch)?,
        Format::Kubernetes => {
            let text = decoded_within(bytes, format.most_bytes())?;
            let is_json = text.trim_start().starts_with('{');
            let documents = match is_json {
                true => vec![tree::parse(text)?],
                false => yaml::documents(text)?,
            };
            kubernetes::read(documents, options, &mut batch)?;
            if !is_json {
                guard::comments(guard::commented_yaml(text), options, &mut batch);
            }
        }
        Format::DockerConfig => {
            decoded_within(bytes, format.most_bytes())?;
            registries::read(object(bytes)?, options, &mut batch)?;
        }
        Format::Yaml | Format::AwsProfiles | Format::Netrc | Format::Npmrc | Format::Gh | Format::Pgpass => {
            let text = decoded_within(bytes, format.most_bytes())?;
            match format {
                Format::Yaml => yaml::variables(yaml::only(text)?, options, &mut batch)?,
                Format::AwsProfiles => profiles::read(text, options, &mut batch)?,
                Format::Netrc => netrc::read(text, options, &mut batch)?,
                Format::Npmrc => npmrc::read(text, options, &mut batch)?,
                Format::Gh => gh::read(yaml::only(text)?, options, &mut batch)?,
                _ => pgpass::read(text, options, &mut batch)?,
            }
            match format {
                // Its reader knows where a comment may stand.
                Format::Netrc => {}
                Format::Yaml | Format::Gh => {
                    guard::comments(guard::commented_yaml(text), options, &mut batch);
                }
                Format::Pgpass => guard::comments(guard::commented(text, &['#']), options, &mut batch),
                _ => guard::comments(guard::commented(text, &['#', ';']), options, &mut batch),
            }
        }
        _ => table::read(format, decoded_within(bytes, MAX_TEXT_BYTES)?, options, &mut batch)?,
    }
    naming::tell_apart(&mut batch);
    Ok(batch)
}

fn json(bytes: &[u8]) -> Result<Node> {
    tree::parse(decoded_within(bytes, MAX_TEXT_BYTES)?)
}

fn object(bytes: &[u8]) -> Result<tree::Map> {
    json(bytes)?.into_map(At::Line(1), "the file")
}

fn variables(dialect: Dialect, bytes: &[u8], options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let parsed = parse(dialect, bytes)?;
    for skipped in parsed.skipped {
        batch.entries += 1;
        let name = skipped.name.and_then(|name| shape::shown(&name, options.looks_secret));
        batch.leave(At::Line(skipped.line), name, skipped.why);
    }
    for note in parsed.notes {
        let name = shape::shown(&note.name, options.looks_secret).unwrap_or_default();
        batch.remark(At::Line(note.line), &name, note.text);
    }
    for comment in &parsed.comments {
        comment.text.expose(|text| guard::comments([(comment.line, text)], options, batch));
    }
    for entry in parsed.entries {
        let at = At::Line(entry.line);
        if entry.value.expose(str::is_empty) {
            batch.entries += 1;
            shape::leave_empty(at, &entry.name, options, batch);
            continue;
        }
        shape::take(Record::variable(at, &entry.name, entry.value), options, batch);
    }
    batch.left.sort_by_key(|left| left.at);
    Ok(())
}

/// Fails with `too_large` where one more entry is too many.
pub(super) fn check_room(batch: &Batch) -> Result<()> {
    match batch.entries >= MAX_ITEMS {
        true => Err(Error::new(Code::TooLarge, "the file has more than 100,000 entries")),
        false => Ok(()),
    }
}
