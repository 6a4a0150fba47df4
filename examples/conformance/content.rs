//! What the fixtures answer with.
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, JsonObject, ResourceContents};
use serde_json::Value;

/// A single pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// No sound at all, at 8 kHz.
pub const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

pub fn text(text: impl Into<String>) -> CallToolResponse {
    blocks(vec![ContentBlock::text(text.into())])
}

pub fn blocks(blocks: Vec<ContentBlock>) -> CallToolResponse {
    CallToolResult::success(blocks).into()
}

pub fn failed(why: impl Into<String>) -> CallToolResponse {
    CallToolResult::error(vec![ContentBlock::text(why.into())]).into()
}

pub fn resource(uri: &str, mime: &str, text: impl Into<String>) -> ResourceContents {
    ResourceContents::TextResourceContents {
        uri: uri.into(),
        mime_type: Some(mime.into()),
        text: text.into(),
        meta: None,
    }
}

/// The members of `value`; none where it is no object.
pub fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

/// The text argument `name`, empty where there is none.
pub fn argument<'a>(arguments: Option<&'a JsonObject>, name: &str) -> &'a str {
    arguments.and_then(|given| given.get(name)).and_then(Value::as_str).unwrap_or_default()
}
