//! What one definition says about an MCP server, as `manifests/servers/<id>.toml` spells it.
//!
//! Nothing here is a secret: a definition names the values that a server needs, and where they go.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::service::{Confidence, is_false};

/// An MCP server: how it is started or reached, and which values it wants.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerDefinition {
    /// Lower-case letters, digits and hyphens; the name of the file.
    pub id: String,
    pub name: String,
    /// What it gives an agent, in a sentence.
    pub description: String,
    /// Other names people search for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Ours have one; one of your own may go without.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs_url: String,
    pub transport: Transport,
    /// What it is published as; a command that starts one of these starts this server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// File names of programs that are this server, once installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// The values it wants, in the order to ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<CredentialField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Ours say it; one of your own counts as high.
    #[serde(default = "high")]
    pub confidence: Confidence,
    /// The day on which the source was read, as `YYYY-MM-DD`; of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checked: String,
    /// The page that says so, at the version that was read where there is one; of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// Whoever writes a definition of their own knows their server.
fn high() -> Confidence {
    Confidence::High
}

/// How a client speaks to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transport {
    /// A program; `{NAME}` in an argument stands for the value of the field of that id.
    Stdio {
        command: String,
        #[serde(default)]
        args: Vec<String>,
    },
    /// An address that speaks streamable HTTP.
    Http { url: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub registry: Registry,
    /// Without a version or tag; an image with its registry's host, if that is not Docker Hub.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Registry {
    Npm,
    Pypi,
    Docker,
}

/// One value that a server wants.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialField {
    /// The environment variable, the header, or the `{NAME}` in the arguments.
    pub id: String,
    /// Where it goes.
    #[serde(rename = "in", default)]
    pub place: Place,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// A value that nobody else may see; the others are plain configuration.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Where a person finds or makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The service of the catalogue that issues it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What the server assumes without it; only of plain configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// How a header carries it, such as `Bearer {value}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The customary credential name, where `id` is none: of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Options of the command line that carry the same value. What stands there is readable in the process list, so
    /// the environment is used instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl CredentialField {
    /// The name a credential for this field customarily has.
    pub fn credential_name(&self) -> &str {
        self.variable.as_deref().unwrap_or(&self.id)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    #[default]
    Env,
    Header,
    /// The server has no other way: other processes of this machine can read the value while it runs.
    Arg,
}

/// What a form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    Token,
    Password,
    /// An address with a user and a password in it.
    ConnectionUrl,
    Url,
    Text,
    Number,
    Boolean,
}

impl ServerDefinition {
    /// The field of this id in this place, in exactly this spelling (a header in any).
    pub fn field(&self, place: Place, id: &str) -> Option<&CredentialField> {
        self.fields.iter().find(|field| {
            field.place == place
                && (field.id == id || place == Place::Header && field.id.eq_ignore_ascii_case(id))
        })
    }

    /// A secret reaches it as an argument only.
    pub fn takes_secret_arguments(&self) -> bool {
        self.fields.iter().any(|field| field.secret && field.place == Place::Arg)
    }

    /// The field whose value the option `flag` carries on the command line.
    pub fn field_of_flag(&self, flag: &str) -> Option<&CredentialField> {
        self.fields.iter().find(|field| field.flags.iter().any(|known| known == flag))
    }
}
