use super::*;

use crate::model::name::{CredentialName, Reserved};

fn found(command: &str, args: &[&str]) -> Option<String> {
    Servers::embedded().find_for_command(command, args).map(|definition| definition.id.clone())
}

#[test]
fn every_definition_parses_obeys_the_rules_and_is_named_after_its_id() {
    let mut count = 0;
    for file in FILES.files() {
        let text = file.contents_utf8().expect("text");
        let definition: ServerDefinition = toml::from_str(text).expect("a definition");

        assert_eq!(file.path().file_stem().expect("a name"), definition.id.as_str());
        if let Some((field, rule)) = definition.fault() {
            panic!("{}: field {field}: {rule}", definition.id);
        }
        let said = [&definition.docs_url, &definition.source, &definition.checked];
        assert!(said.iter().all(|text| !text.is_empty()), "{}: where it comes from", definition.id);
        count += 1;
    }
    assert_eq!(count, definitions().count());
    assert!(count >= 20, "{count}");
}

#[test]
fn no_id_or_alias_names_two_definitions() {
    let mut seen = std::collections::HashSet::new();
    for definition in definitions() {
        for name in std::iter::once(&definition.id).chain(&definition.aliases) {
            assert!(seen.insert(name), "{name} twice");
        }
    }
}

#[test]
fn no_package_or_program_belongs_to_two_definitions() {
    let mut seen = std::collections::HashSet::new();
    for definition in definitions() {
        let packages = definition.packages.iter().map(|p| format!("{:?} {}", p.registry, p.name));
        for name in packages.chain(definition.programs.iter().cloned()) {
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}

#[test]
fn every_service_that_is_named_exists() {
    for definition in definitions() {
        for service in definition.fields.iter().filter_map(|field| field.service.as_deref()) {
            assert_eq!(
                Catalogue::embedded().service(service).expect("in the catalogue").id,
                service,
                "{}",
                definition.id
            );
        }
    }
}

#[test]
fn a_secret_has_a_name_that_a_credential_can_have() {
    for definition in definitions() {
        for field in definition.fields.iter().filter(|field| field.secret) {
            assert!(CredentialName::parse(field.credential_name()).is_ok(), "{} {}", definition.id, field.id);
        }
    }
    let fields = definitions().flat_map(|definition| &definition.fields);
    let reserved: Vec<_> = fields.filter(|field| Reserved::of(&field.id).is_some()).collect();
    assert!(!reserved.is_empty() && reserved.iter().all(|field| !field.secret));
}

#[test]
fn sentences_end_like_sentences_and_every_definition_asks_for_something() {
    for definition in definitions() {
        assert!(definition.description.ends_with('.'), "{}", definition.id);
        assert!(definition.fields.iter().any(|field| field.secret), "{}", definition.id);
        let addresses = [&definition.docs_url, &definition.source];
        assert!(addresses.iter().all(|url| url.starts_with("https://")), "{}", definition.id);
    }
}

#[test]
fn each_definition_is_recognised_by_its_own_command_or_address() {
    for definition in definitions() {
        let recognised = match &definition.transport {
            Transport::Stdio { command, args } => Servers::embedded().find_for_command(command, args),
            Transport::Http { url } => Servers::embedded().find_for_url(url),
        };
        assert_eq!(recognised.expect("recognised").id, definition.id);
    }
}

#[test]
#[rustfmt::skip]
fn a_package_is_recognised_however_it_is_started() {
    for (command, args, id) in [
        ("npx", &["-y", "@modelcontextprotocol/server-github"][..], "github"),
        ("npx", &["@modelcontextprotocol/server-github@2025.4.8"], "github"),
        ("/usr/local/bin/npx", &["--yes", "--", "@modelcontextprotocol/server-github"], "github"),
        (r"C:\Program~1\nodejs\npx.cmd", &["-y", "@modelcontextprotocol/server-github"], "github"),
        ("cmd", &["/c", "npx", "-y", "figma-developer-mcp", "--stdio"], "figma"),
        ("bunx", &["firecrawl-mcp"], "firecrawl"),
        ("pnpm", &["dlx", "tavily-mcp@latest"], "tavily"),
        ("npm", &["exec", "-y", "--", "@notionhq/notion-mcp-server"], "notion"),
        ("npx", &["-p", "@sentry/mcp-server", "sentry-mcp"], "sentry"),
        ("npx", &["--package=@sentry/mcp-server@0.1", "sentry-mcp"], "sentry"),
        ("npx -y @stripe/mcp", &["--tools=all"], "stripe"),
        ("uvx", &["mcp-atlassian==0.11"], "atlassian"),
        ("uvx", &["--python", "3.12", "mcp_atlassian"], "atlassian"),
        ("uvx", &["--from", "redis-mcp-server@latest", "redis-mcp-server"], "redis"),
        ("uv", &["tool", "run", "elevenlabs-mcp"], "elevenlabs"),
        ("python3.12", &["-m", "mcp_server_sentry", "--auth-token", "x"], "sentry-reference"),
        ("docker", &["run", "-i", "--rm", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "ghcr.io/github/github-mcp-server:v0.5"], "github-official"),
        ("podman", &["run", "-i", "docker.io/grafana/mcp-grafana", "-t", "stdio"], "grafana"),
        ("/opt/github-mcp-server", &["stdio"], "github-official"),
        ("npx", &["-y", "mcp-remote", "https://mcp.linear.app/mcp"], "linear"),
    ] {
        assert_eq!(found(command, args).as_deref(), Some(id), "{command} {args:?}");
    }
}

#[test]
#[rustfmt::skip]
fn what_only_resembles_a_package_is_not_recognised() {
    for (command, args) in [
        ("", &[][..]),
        ("npx", &[]),
        ("npx", &["-y"]),
        ("npx", &["-p"]),
        ("npx", &["-y", "@evil/server-github"]),
        ("npx", &["-y", "server-github"]),
        ("npx", &["-y", "other", "@modelcontextprotocol/server-github"]),
        ("npx", &["-y", "github:modelcontextprotocol/server-github"]),
        ("node", &["@modelcontextprotocol/server-github"]),
        ("docker", &["run", "evil.example/github/github-mcp-server"]),
        ("docker", &["run", "-e", "X=mcp/slack", "mine"]),
        ("uvx", &["mcp-atlassian-evil"]),
        ("npx", &["mcp-remote", "https://mcp.linear.app.evil.example/mcp"]),
        ("cmd", &["/c"]),
        ("python", &["-m"]),
    ] {
        assert_eq!(found(command, args), None, "{command} {args:?}");
    }
}

#[test]
fn an_address_is_recognised_whatever_its_query_and_slash_are() {
    let servers = Servers::embedded();

    assert_eq!(servers.find_for_url("https://mcp.exa.ai/mcp/?tools=x").expect("known").id, "exa-remote");
    for other in ["http://mcp.exa.ai/mcp", "https://mcp.exa.ai:8443/mcp", "https://mcp.exa.ai/", "mcp", ""] {
        assert!(servers.find_for_url(other).is_none(), "{other}");
    }
}

#[test]
fn a_definition_is_found_by_id_alias_and_words() {
    let servers = Servers::embedded();

    assert_eq!(definition("GitHub").expect("an id").id, "github");
    assert_eq!(definition("jira").expect("an alias").id, "atlassian");
    assert_eq!(servers.search("hubspot private_app")[0].required, ["PRIVATE_APP_ACCESS_TOKEN"]);
    assert!(servers.search("server-github").iter().any(|found| found.id == "github" && !found.own));
    assert!(servers.search("linear").iter().any(|found| found.remote));
}

#[test]
fn a_slip_of_the_finger_is_answered_with_what_was_meant() {
    let error = definition("postgress").expect_err("no such server");

    assert!(error.next_step().contains("postgres"), "{}", error.next_step());
    assert!(!error.message().contains("postgress"), "what was typed may be a secret");
}

#[test]
fn the_committed_schema_is_what_the_types_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/schema/server.schema.json");
    let schema = schemars::schema_for!(ServerDefinition);
    let schema = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";

    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &schema).expect("the schema is written");
    }

    let committed = std::fs::read_to_string(path).expect("the schema is committed");
    assert!(committed == schema, "run the tests with UPDATE_SCHEMAS=1 and commit the result");
}

const OWN: &str = r#"
    id = "acme"
    name = "Acme"
    description = "Our own server."
    docs_url = "https://acme.example/mcp"
    confidence = "high"
    checked = "2026-11-20"
    source = "https://acme.example/mcp"
    [transport]
    type = "stdio"
    command = "npx"
    args = ["-y", "@acme/mcp"]
    [[packages]]
    registry = "npm"
    name = "@acme/mcp"
    [[fields]]
    id = "ACME_TOKEN"
    label = "Token"
    type = "token"
    secret = true
    [[fields]]
    id = "ACME_BASE_URL"
    label = "Address"
    type = "url"
    default = "https://acme.example"
"#;

fn with_own(name: &str, text: &str) -> Result<Servers> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(name), text).expect("the file is written");
    Servers::with_folder(folder.path(), Catalogue::embedded())
}

#[test]
fn a_users_folder_adds_definitions_and_replaces_ours() {
    let added = with_own("acme.toml", OWN).expect("it is good");
    let replaced = with_own("github.toml", &OWN.replace("\"acme\"", "\"github\"")).expect("it is good");

    assert_eq!(added.find_for_command("npx", &["-y", "@acme/mcp"]).expect("recognised").id, "acme");
    assert!(added.search("acme")[0].own);
    assert_eq!(added.definitions().count(), definitions().count() + 1);
    assert_eq!(replaced.definition("github").expect("replaced").name, "Acme");
    assert_eq!(definition("github").expect("untouched").name, "GitHub (reference server)");
}

#[test]
fn an_own_definition_needs_no_source_and_a_folder_is_checked_file_by_file() {
    let short: String = OWN
        .lines()
        .filter(|line| {
            !["docs_url", "confidence", "checked", "source"].iter().any(|key| line.trim().starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(with_own("acme.toml", &short).is_ok());

    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    put("acme.toml", &short);
    put("bad.toml", &short.replace("\"npx\"", "\"npx -y\""));
    put(
        "lost.toml",
        &short
            .replace("\"acme\"", "\"lost\"")
            .replace("secret = true", "secret = true\nservice = \"no-such\""),
    );
    put("service.toml", "id = \"service\"");
    let checked = Servers::check_folder(folder.path(), Catalogue::embedded()).expect("it is read");
    let told: Vec<_> = checked.iter().map(|one| (one.file.as_str(), one.fault.is_some())).collect();
    assert_eq!(told, [("acme.toml", false), ("bad.toml", true), ("lost.toml", true)]);
}

#[test]
fn a_folder_that_does_not_exist_holds_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");

    let servers = Servers::with_optional_folder(&folder.path().join("none"), Catalogue::embedded());

    assert_eq!(servers.expect("no error").definitions().count(), definitions().count());
}

#[test]
fn a_bad_file_is_named_with_its_field_and_never_with_its_content() {
    let planted = "planted-".repeat(3);
    let key = format!("gh{}_{}", "p", "a1B2".repeat(9));
    let swap = |from: &str, to: &str| OWN.replacen(from, to, 1);
    let cases = [
        (swap("\"high\"", &format!("\"{planted}\"")), "confidence"),
        (swap("id = \"acme\"", &format!("id = \"{planted}\"")), "id"),
        (swap("name = \"Acme\"", ""), "field name: is missing"),
        (swap("name = \"Acme\"", "name = \"a\\nb\""), "field name"),
        (swap("2026-11-20", "2026-13-20"), "checked"),
        (swap("https://acme.example/mcp", &format!("http://{planted}")), "docs_url"),
        (format!("unknown = \"{planted}\"\n{OWN}"), "line 1"),
        (swap("\"stdio\"", "\"http\""), "transport"),
        (swap("command = \"npx\"", &format!("command = \"npx -y {planted}\"")), "transport.command"),
        (swap("\"@acme/mcp\"]", "\"@acme/mcp\", \"{OTHER}\"]"), "transport.args"),
        (swap("\"@acme/mcp\"]", &format!("\"@acme/mcp\", \"{key}\"]")), "transport.args[2]"),
        (swap("\"ACME_TOKEN\"", "\"ACME-TOKEN\""), "fields[0].id"),
        (swap("\"ACME_TOKEN\"", "\"NODE_OPTIONS\""), "fields[0].id"),
        (swap("\"ACME_TOKEN\"", "\"OPENAI_BASE_URL\""), "fields[0].id"),
        (swap("\"ACME_BASE_URL\"", "\"UNSAID_HOME\""), "fields[1].id"),
        (swap("\"ACME_BASE_URL\"", "\"acme_token\""), "fields[1].id"),
        (swap("secret = true", &format!("secret = true\ndefault = \"{planted}\"")), "fields[0].default"),
        (swap("default = \"https://acme.example\"", &format!("default = \"{key}\"")), "fields[1].default"),
        (swap("secret = true", "secret = true\nin = \"header\""), "fields[0].in"),
        (swap("secret = true", "secret = true\nservice = \"no-such\""), "fields[0].service"),
        (swap("secret = true", "secret = true\nflags = [\"token\"]"), "fields[0].flags"),
        (swap("secret = true", "secret = true\nformat = \"x\""), "fields[0].format"),
        (swap("label = \"Token\"", "label = \"To\\u001b[2Jken\""), "fields[0].label"),
        (swap("label = \"Token\"", "label = \"Tok\\u202een\""), "fields[0].label"),
        (
            swap("secret = true", &format!("secret = true\nhelp = \"{}\"", "words ".repeat(60))),
            "fields[0].help",
        ),
        (swap("secret = true", "secret = true\nhelp = \"one\\ntwo\""), "fields[0].help"),
        (swap("confidence", "notes = \"a\\u200bb\"\n    confidence"), "field notes"),
        (swap("name = \"Acme\"", &format!("name = \"{key}\"")), "field name"),
        (swap("\"npx\"", &format!("\"{key}\"")), "transport.command"),
    ];
    for (text, field) in cases {
        let error = with_own("acme.toml", &text).err().unwrap_or_else(|| panic!("{field} was accepted"));

        assert_eq!(error.code, Code::InvalidFile);
        assert!(error.message().contains("acme.toml") && error.message().contains(field), "{field}: {error}");
        assert!(error.next_step().contains("server.schema.json"));
        let shown = format!("{error:?} {}", error.to_json());
        assert!(!shown.contains(&planted) && !shown.contains(&key), "{field}");
    }
}

#[test]
fn a_remote_definition_is_an_https_address_without_a_query() {
    let remote = |url: &str| {
        let text = OWN.replace("type = \"stdio\"\n    command = \"npx\"", "type = \"http\"");
        let text = text.replace("args = [\"-y\", \"@acme/mcp\"]", &format!("url = \"{url}\""));
        let text = text.split("[[packages]]").next().unwrap_or_default().to_owned();
        with_own("acme.toml", &text).map(|_| ()).map_err(|error| error.message().to_owned())
    };

    assert_eq!(remote("https://acme.example/mcp"), Ok(()));
    for bad in [
        "http://acme.example/mcp",
        "https://u:pw@acme.example/",
        "https://acme.example/?key=x",
        "https://",
        "https://{HOST}/",
        "acme.example",
    ] {
        assert!(remote(bad).expect_err("refused").contains("transport.url"), "{bad}");
    }
}
