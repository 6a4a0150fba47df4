//! A message of the client, as far as the way to the server needs it. Nothing of it is changed.
use crate::error::{Code, Error, Result, invalid};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// From this version on each request says itself which one it speaks, and the method and what it names stand in headers.
const SAYS_ITSELF: &str = "2026-07-28";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What a line says.
pub(super) struct Spoken {
    /// The requests in it; an answer is owed to each.
    pub ids: Vec<Value>,
    /// Of a message by itself.
    method: Option<String>,
    name: Option<String>,
    version: Option<String>,
}

impl Spoken {
    /// Fails with `invalid_input` for what is no JSON, or no message.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let value: Value =
            serde_json::from_slice(line).map_err(|_| invalid("the message of the client is no JSON"))?;
        let id_of = |one: &Value| one.get("method").and_then(|_| one.get("id")).cloned();
        match &value {
            Value::Object(_) => {
                let text = |at: &Value| at.as_str().map(str::to_owned);
                let params = &value["params"];
                let method = text(&value["method"]);
                let named = match method.as_deref() {
                    Some("tools/call" | "prompts/get") => &params["name"],
                    Some("resources/read" | "resources/subscribe" | "resources/unsubscribe") => {
                        &params["uri"]
                    }
                    Some("tasks/get" | "tasks/update" | "tasks/cancel") => &params["taskId"],
                    _ => &Value::Null,
                };
                Ok(Self {
                    ids: id_of(&value).into_iter().collect(),
                    name: text(named),
                    version: text(&params["_meta"][VERSION]),
                    method,
                })
            }
            Value::Array(all) if !all.is_empty() && all.iter().all(Value::is_object) => Ok(Self {
                ids: all.iter().filter_map(id_of).collect(),
                method: None,
                name: None,
                version: None,
            }),
            _ => Err(invalid("the message of the client is no object")),
        }
    }

    pub fn is_initialize(&self) -> bool {
        self.method.as_deref() == Some("initialize")
    }

    pub fn is_initialized(&self) -> bool {
        self.method.as_deref() == Some("notifications/initialized")
    }

    /// As a log may show it.
    pub fn operation(&self) -> String {
        let is_word = |m: &&str| {
            m.len() <= 48 && m.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'_' | b'-'))
        };
        match self.method.as_deref().filter(is_word) {
            Some(method) => format!("mcp {method}"),
            None => "mcp".to_owned(),
        }
    }

    /// What it says itself, in headers, where its version has them.
    pub fn say(&self, headers: &mut HeaderMap) {
        let Some(version) = self.version.as_deref().and_then(version) else { return };
        let is_said = version.to_str().is_ok_and(|text| text >= SAYS_ITSELF);
        headers.insert("mcp-protocol-version", version);
        if !is_said {
            return;
        }
        for (header, text) in [("mcp-method", &self.method), ("mcp-name", &self.name)] {
            if let Some(value) = text.as_deref().and_then(in_header) {
                headers.insert(header, value);
            }
        }
    }
}

/// A version of the protocol, as a header has it.
pub(super) fn version(text: &str) -> Option<HeaderValue> {
    let fits =
        text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    fits.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// Text that may not stand in a header goes there in base64, as the protocol writes it.
fn in_header(text: &str) -> Option<HeaderValue> {
    let is_plain = text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    match is_plain {
        true => HeaderValue::from_str(text).ok(),
        false => {
            let encoded = data_encoding::BASE64.encode(text.as_bytes());
            HeaderValue::from_str(&format!("=?base64?{encoded}?=")).ok()
        }
    }
}

/// The answer to a request that got none: what happened, and what to do next.
pub(super) fn refusal(id: &Value, e: &Error) -> Vec<u8> {
    let code = match e.code {
        Code::InvalidInput if id.is_null() => -32700,
        Code::TooLarge if id.is_null() => -32600,
        _ => -32000,
    };
    let text = format!("{}. {}", e.message(), e.next_step());
    let data = serde_json::json!({ "code": e.code.name(), "next": e.next_step() });
    let error = serde_json::json!({ "code": code, "message": text, "data": data });
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().into_bytes()
}

/// The error of an answer that refuses a message as a whole, as the answer to the request `id`.
pub(super) fn passed_on(id: &Value, body: &[u8]) -> Option<Vec<u8>> {
    let said: Value = serde_json::from_slice(body).ok()?;
    let error = said.get("error").filter(|error| error["code"].is_i64() && error["message"].is_string())?;
    Some(serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Spoken {
        Spoken::parse(text.as_bytes()).expect("a message")
    }

    #[test]
    fn an_answer_is_owed_to_each_request_and_to_nothing_else() {
        for (line, owed) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, 1),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 0),
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, 0),
            (r#"[{"id":1,"method":"a"},{"method":"b"},{"id":"x","method":"c"}]"#, 2),
        ] {
            assert_eq!(parse(line).ids.len(), owed, "{line}");
        }
        for bad in ["", "x", "7", "[]", "[7]", "null", "{"] {
            assert!(Spoken::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_log_sees_the_method_where_it_is_one() {
        assert_eq!(parse(r#"{"id":1,"method":"tools/call"}"#).operation(), "mcp tools/call");
        assert_eq!(parse(r#"{"id":1,"method":"hunter2 is it"}"#).operation(), "mcp");
        assert_eq!(parse(r#"{"id":1,"result":{}}"#).operation(), "mcp");
    }

    #[test]
    fn a_request_that_says_its_version_says_in_headers_what_it_is() {
        let mut headers = HeaderMap::new();
        let line = format!(
            r#"{{"id":1,"method":"tools/call","params":{{"name":"wörter","_meta":{{"{VERSION}":"{SAYS_ITSELF}"}}}}}}"#
        );

        parse(&line).say(&mut headers);

        assert_eq!(headers["mcp-protocol-version"], SAYS_ITSELF);
        assert_eq!(headers["mcp-method"], "tools/call");
        assert_eq!(headers["mcp-name"], "=?base64?d8O2cnRlcg==?=");
        let mut none = HeaderMap::new();
        parse(r#"{"id":1,"method":"tools/call","params":{"name":"x"}}"#).say(&mut none);
        parse(&line.replace(SAYS_ITSELF, "a b")).say(&mut none);
        assert!(none.is_empty());
    }
}
