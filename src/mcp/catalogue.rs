//! Operations seen as tools. Made once: a call neither builds nor copies a schema.
use crate::model::org::Role;
use crate::ops::{Effect, Entry, Limits, Permission, catalog};
use rmcp::model::{Tool, ToolAnnotations};
use std::sync::{Arc, LazyLock};

/// All tools there are, sorted by name.
static TOOLS: LazyLock<Vec<(&'static Entry, Tool)>> = LazyLock::new(|| {
    catalog().iter().filter(|entry| entry.is_tool()).map(|entry| (entry, tool(entry))).collect()
});

fn tool(entry: &'static Entry) -> Tool {
    let reads = entry.effect == Effect::Reads;
    let hints = ToolAnnotations::new()
        .read_only(reads)
        .destructive(matches!(entry.effect, Effect::Removes | Effect::Redirects | Effect::Destroys))
        .idempotent(reads || entry.is_idempotent)
        .open_world(false);
    Tool::new(entry.name, entry.about, Arc::new((*entry.listed).clone()))
        .with_title(entry.title)
        .with_raw_output_schema(Arc::new((*entry.output).clone()))
        .with_annotations(hints)
}

/// Makes the tools now, a few milliseconds of work, so that no call has to.
pub(super) fn prepare() {
    LazyLock::force(&TOOLS);
}

/// The tools that `limits` and the caller's `role` leave. Nobody's role is known before the vault is open: then
/// all are shown, and each says what is wrong when it is called.
pub(super) fn offered(limits: &Limits, role: Option<Role>) -> Vec<Tool> {
    TOOLS
        .iter()
        .filter(|(entry, _)| limits.allow(entry) && role.is_none_or(|role| fits(role, entry)))
        .map(|(_, tool)| tool.clone())
        .collect()
}

/// Whether `role` could ever succeed with it. It only shortens the list: the operation decides.
fn fits(role: Role, entry: &Entry) -> bool {
    match (role, entry.needs) {
        (Role::Auditor, _) if entry.effect != Effect::Reads => false,
        (role, Permission::Admin) => role == Role::Admin,
        (role, Permission::ReadAll) => role != Role::Member,
        _ => true,
    }
}

/// The tool of this name, if a model may call it at all.
pub(super) fn find_tool(name: &str) -> Option<&'static (&'static Entry, Tool)> {
    TOOLS.binary_search_by_key(&name, |(entry, _)| entry.name).ok().map(|i| &TOOLS[i])
}
