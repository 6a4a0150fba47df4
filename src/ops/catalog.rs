//! The list of all operations, as data: what the doors, the permission table and the schema snapshot are made from.
use super::confirm::Confirmer;
use super::dispatch::{Reply, typed};
use super::{Effect, Operation, Permission, Toolset};
use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use futures_util::future::BoxFuture;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::sync::LazyLock;

type Call =
    for<'a> fn(&'a App, &'a Caller, Map<String, Value>, &'a dyn Confirmer) -> BoxFuture<'a, Result<Reply>>;

/// One operation, with its types erased.
pub struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    pub toolset: Toolset,
    pub effect: Effect,
    pub needs: Permission,
    pub is_idempotent: bool,
    pub input: LazyLock<Map<String, Value>>,
    /// As `input`, and as short as tools are listed: what stands inside lists has no limits there, and in a tool that
    /// changes something only the names that the one which makes it describes.
    pub listed: LazyLock<Map<String, Value>>,
    pub output: LazyLock<Map<String, Value>>,
    pub(super) call: Call,
}

impl Entry {
    /// Whether a model may call it at all.
    pub fn is_tool(&self) -> bool {
        self.toolset != Toolset::People
    }

    /// Whether `path` begins with one of our own field names.
    pub fn has_property(&self, path: &str) -> bool {
        let first = path.split(['.', '[']).next().unwrap_or(path);
        self.input.get("properties").and_then(Value::as_object).is_some_and(|p| p.contains_key(first))
    }
}

fn entry<O: Operation>() -> Entry {
    Entry {
        name: O::NAME,
        title: O::TITLE,
        about: O::ABOUT,
        toolset: O::TOOLSET,
        effect: O::EFFECT,
        needs: O::NEEDS,
        is_idempotent: O::IDEMPOTENT,
        input: LazyLock::new(input_schema::<O>),
        listed: LazyLock::new(|| listed(input_schema::<O>(), O::NAME.starts_with("update_"))),
        output: LazyLock::new(output_schema::<O>),
        call: typed::<O>,
    }
}

fn input_schema<O: Operation>() -> Map<String, Value> {
    let schema = SchemaSettings::draft2020_12()
        .with(|s| {
            s.meta_schema = None;
            s.inline_subschemas = true;
        })
        .into_generator()
        .into_root_schema_for::<O>();
    let mut map = tidy(schema.to_value());
    map.values_mut().for_each(without_null);
    map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    map.insert("additionalProperties".into(), Value::Bool(false));
    if O::EFFECT != Effect::Reads
        && let Some(Value::Object(properties)) = map.get_mut("properties")
    {
        properties.insert("idempotency_key".into(), serde_json::json!({ "type": "string", "maxLength": 64 }));
    }
    map
}

/// Shortens what stands inside lists and objects of an input; see [`Entry::listed`].
fn listed(mut input: Map<String, Value>, is_told_elsewhere: bool) -> Map<String, Value> {
    fn shorten(schema: &mut Value, is_told_elsewhere: bool) {
        let Some(map) = schema.as_object_mut() else { return };
        ["maxLength", "minLength", "maxItems"].iter().for_each(|word| drop(map.remove(*word)));
        if let Some(Value::Object(properties)) = map.get_mut("properties") {
            for inner in properties.values_mut() {
                match is_told_elsewhere {
                    true => *inner = Value::Object(Map::new()),
                    false => shorten(inner, false),
                }
            }
        }
        if let Some(items) = map.get_mut("items") {
            shorten(items, is_told_elsewhere);
        }
    }
    let properties = input.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        // An empty name or a long key is refused, as everywhere: that need not stand in every tool.
        if let Some(map) = property.as_object_mut() {
            map.remove("minLength");
            if name == "idempotency_key" {
                map.remove("maxLength");
            }
        }
        if let Some(items) = property.get_mut("items") {
            shorten(items, is_told_elsewhere);
        } else if property.get("properties").is_some() {
            shorten(property, is_told_elsewhere);
        }
    }
    input
}

/// What may be left out need not be given as null: that it may costs more than a kilobyte in all. It is taken all the same.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = &types[..] {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(all) => all.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn output_schema<O: Operation>() -> Map<String, Value> {
    let schema = SchemaSettings::draft2020_12()
        .with(|s| {
            s.meta_schema = None;
            s.inline_subschemas = true;
        })
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<O::Output>();
    let mut map = tidy(schema.to_value());
    map.iter_mut().for_each(|(key, value)| bare(value, key == "properties"));
    let mut schema = Value::Object(map);
    terse(&mut schema, O::NAME.starts_with("list_"));
    let Value::Object(mut map) = schema else { return Map::new() };
    map.values_mut().for_each(without_required);
    map.entry("type").or_insert_with(|| "object".into());
    map
}

/// A long list of words; it stands in the tool that lists, and the other tools' answers have the same.
const LONG_LIST: usize = 10;

/// Drops from an answer's shape what says nothing: what may be left out is left out and never null, and what is not
/// forbidden need not be allowed.
fn terse(schema: &mut Value, lists: bool) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(true)) {
                map.remove("additionalProperties");
            }
            if !lists
                && map.get("enum").and_then(Value::as_array).is_some_and(|words| words.len() > LONG_LIST)
            {
                map.remove("enum");
            }
            let required = map.get("required").cloned().unwrap_or_default();
            let is_required =
                |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
                    never_null(property);
                }
            }
            map.values_mut().for_each(|inner| terse(inner, lists));
        }
        Value::Array(all) => all.iter_mut().for_each(|inner| terse(inner, lists)),
        _ => {}
    }
}

/// Leaves out what every row of an answer has: for reading one it is enough to know what may stand there, and with it the
/// list of tools is longer than what some clients hold of an answer.
fn without_required(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("required").is_some_and(Value::is_array) {
                map.remove("required");
            }
            map.values_mut().for_each(without_required);
        }
        Value::Array(all) => all.iter_mut().for_each(without_required),
        _ => {}
    }
}

/// What is left out where there is nothing.
fn never_null(property: &mut Value) {
    let Some(map) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            map.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

/// Leaves an answer's shape alone: its names say what stands there, and with all the words the list of tools is more than
/// 64 KiB.
fn bare(schema: &mut Value, is_properties: bool) {
    match schema {
        Value::Object(map) => {
            if !is_properties {
                for word in ["description", "maxLength", "minimum"] {
                    map.remove(word);
                }
            }
            map.iter_mut().for_each(|(key, value)| bare(value, key == "properties" && !is_properties));
        }
        Value::Array(all) => all.iter_mut().for_each(|one| bare(one, false)),
        _ => {}
    }
}

/// Drops what costs room and tells a model nothing: titles, integer formats, the struct's own description.
fn tidy(schema: Value) -> Map<String, Value> {
    fn walk(value: &mut Value, is_properties: bool) {
        match value {
            Value::Object(map) => {
                if !is_properties {
                    map.remove("title");
                    if map
                        .get("format")
                        .and_then(Value::as_str)
                        .is_some_and(|f| f.starts_with("int") || f.starts_with("uint"))
                    {
                        map.remove("format");
                    }
                    if map.get("default").is_some_and(Value::is_null) {
                        map.remove("default");
                    }
                    if map.get("description").is_some_and(|words| words == "") {
                        map.remove("description");
                    }
                }
                for (key, inner) in map.iter_mut() {
                    walk(inner, key == "properties" && !is_properties);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|v| walk(v, false)),
            _ => {}
        }
    }
    let mut schema = schema;
    walk(&mut schema, false);
    match schema {
        Value::Object(mut map) => {
            map.remove("description");
            map
        }
        _ => Map::new(),
    }
}

/// Every operation there is, sorted by name.
pub fn catalog() -> &'static [Entry] {
    static CATALOG: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        use super::{
            approval, audit, broker, canary, connection as n, consumer as k, credential as c, hygiene as h,
            org, provider as p, rotation as r, service as s, session, token,
        };
        let mut all = vec![
            entry::<session::Whoami>(),
            entry::<c::list::ListCredentials>(),
            entry::<c::get::GetCredential>(),
            entry::<c::create::CreateCredential>(),
            entry::<c::update::UpdateCredential>(),
            entry::<c::set_value::SetCredentialValue>(),
            entry::<c::delete::DeleteCredential>(),
            entry::<c::restore::RestoreCredential>(),
            entry::<c::purge::PurgeCredential>(),
            entry::<c::share::ShareCredential>(),
            entry::<c::unshare::UnshareCredential>(),
            entry::<c::explain::ExplainResolution>(),
            entry::<audit::SearchAuditLog>(),
            entry::<audit::VerifyAuditLog>(),
            entry::<audit::GetUsage>(),
            entry::<s::ListServices>(),
            entry::<s::GetService>(),
            entry::<s::GetRotationGuide>(),
            entry::<p::ListOauthProviders>(),
            entry::<p::CreateOauthProvider>(),
            entry::<p::UpdateOauthProvider>(),
            entry::<p::DeleteOauthProvider>(),
            entry::<n::ConnectCredential>(),
            entry::<n::RefreshCredential>(),
            entry::<n::DisconnectCredential>(),
            entry::<n::TestCredential>(),
            entry::<k::ListConsumers>(),
            entry::<k::RegisterConsumer>(),
            entry::<k::UpdateConsumer>(),
            entry::<k::RemoveConsumer>(),
            entry::<k::GetConsumer>(),
            entry::<broker::LiftSuspension>(),
            entry::<canary::ListCanaries>(),
            entry::<canary::MarkCanary>(),
            entry::<canary::AcknowledgeCanary>(),
            entry::<h::AuditCredentials>(),
            entry::<h::RecommendScope>(),
            entry::<h::PlanOffboarding>(),
            entry::<h::AcceptFinding>(),
            entry::<r::StartRotation>(),
            entry::<r::AdvanceRotation>(),
            entry::<r::GetRotation>(),
            entry::<r::ListRotations>(),
            entry::<r::AbortRotation>(),
            entry::<r::SetRotationPolicy>(),
            entry::<r::ReportUse>(),
            entry::<approval::ListApprovals>(),
            entry::<token::ListTokens>(),
            entry::<token::RevokeToken>(),
            entry::<org::GetPolicy>(),
            entry::<org::SetPolicy>(),
            entry::<org::ListUsers>(),
            entry::<org::AddUser>(),
            entry::<org::UpdateUser>(),
            entry::<org::EraseUser>(),
            entry::<org::ListTeams>(),
            entry::<org::CreateTeam>(),
            entry::<org::DeleteTeam>(),
            entry::<org::SetMember>(),
            entry::<org::RemoveMember>(),
        ];
        all.sort_by_key(|entry| entry.name);
        all
    });
    &CATALOG
}

/// The operation of this name.
pub fn find_entry(name: &str) -> Option<&'static Entry> {
    let all = catalog();
    all.binary_search_by_key(&name, |entry| entry.name).ok().map(|i| &all[i])
}
