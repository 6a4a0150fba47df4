//! The suite's tools.
use super::Shared;
use super::content::{PNG, WAV, argument, blocks, failed, object, resource, text};
use super::questions::{answer, ask, asked, asked_for, form, message, needs, roots, sample};
use rmcp::RoleServer;
use rmcp::model::{
    AudioContent, CallToolRequestParams, CallToolResponse, ClientCapabilities, ContentBlock,
    ElicitRequestParams, ErrorData, InputRequests, InputRequiredResult, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, Tool,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use std::time::Duration;

const SCHEMA_TOOL: &str = "json_schema_2020_12_tool";
/// Between two notifications of one call, so that they come one by one.
const BETWEEN: Duration = Duration::from_millis(50);

/// Tools without an argument.
const PLAIN: [&str; 23] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_error_handling",
    "test_tool_with_progress",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

pub fn is_fixture(name: &str) -> bool {
    name == SCHEMA_TOOL || name.starts_with("test_")
}

pub fn all() -> Vec<Tool> {
    let with = |name: &'static str, field: Value| {
        let required: Vec<_> = field.as_object().into_iter().flat_map(|field| field.keys()).collect();
        (name, json!({ "type": "object", "required": required, "properties": field }))
    };
    let plain = PLAIN.into_iter().map(|name| (name, json!({ "type": "object", "properties": {} })));
    let others = [
        with("test_sampling", json!({ "prompt": { "type": "string" } })),
        with("test_elicitation", json!({ "message": { "type": "string" } })),
        with("test_custom_header", json!({ "value": { "type": "string", "x-mcp-header": "Value" } })),
        (SCHEMA_TOOL, schema_2020_12()),
    ];
    let tools = plain.chain(others);
    tools
        .map(|(name, schema)| Tool::new(name, "a fixture of the conformance suite", object(schema)))
        .collect()
}

/// Has every keyword that the suite looks for once it has passed through a server.
fn schema_2020_12() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": text, "city": text },
            },
        },
        "properties": {
            "name": text,
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": text,
            "email": text,
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

pub async fn call(
    shared: &Shared,
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let given = |name| argument(request.arguments.as_ref(), name);
    Ok(match request.name.as_ref() {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => blocks(vec![ContentBlock::image(PNG, "image/png")]),
        "test_audio_content" => blocks(vec![ContentBlock::Audio(AudioContent::new(WAV, "audio/wav"))]),
        "test_embedded_resource" => {
            let embedded = "This is an embedded resource content.";
            blocks(vec![ContentBlock::resource(resource("test://embedded-resource", "text/plain", embedded))])
        }
        "test_multiple_content_types" => blocks(vec![
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            ContentBlock::resource(resource(
                "test://mixed-content-resource",
                "application/json",
                json!({ "test": "data", "value": 123 }).to_string(),
            )),
        ]),
        "test_error_handling" => failed("This tool intentionally returns an error for testing"),
        "test_custom_header" => text(given("value")),
        SCHEMA_TOOL => text("the arguments were taken"),
        "test_tool_with_logging" => {
            for step in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(cx, LoggingLevel::Info, step).await;
                tokio::time::sleep(BETWEEN).await;
            }
            text("logged")
        }
        // The later era logs only for a request that asks for it.
        "test_logging_tool" => {
            if let (true, Some(level)) = (is_per_request(cx), cx.meta.log_level()) {
                log(cx, level, "as the request asked").await;
            }
            text("logged where it was asked for")
        }
        "test_tool_with_progress" => {
            if let Some(token) = cx.meta.get_progress_token() {
                for done in [0.0, 50.0, 100.0] {
                    let progress = ProgressNotificationParam::new(token.clone(), done).with_total(100.0);
                    // A client that has gone is told nothing more.
                    let _ = cx.peer.notify_progress(progress).await;
                    tokio::time::sleep(BETWEEN).await;
                }
            }
            text("done")
        }
        "test_sampling" => match cx.peer.create_message(message(given("prompt"))).await {
            Ok(made) => {
                let said = made.message.content.first().and_then(|block| block.as_text());
                text(format!("LLM response: {}", said.map_or("", |said| said.text.as_str())))
            }
            Err(e) => failed(e.to_string()),
        },
        "test_elicitation" => elicit(cx, two_fields(given("message"))?).await,
        "test_elicitation_sep1034_defaults" => elicit(cx, with_defaults()?).await,
        "test_elicitation_sep1330_enums" => elicit(cx, with_choices()?).await,
        "test_missing_capability" => {
            if cx.client_capabilities().unwrap_or_default().sampling.is_none() {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            text("the client can be asked for a message")
        }
        "test_trigger_tool_change" | "test_trigger_prompt_change" => {
            let listeners: Vec<_> = shared.listeners().values().cloned().collect();
            for listener in listeners {
                // One who does not listen for this, or any more, is told nothing.
                let _ = match request.name.as_ref() {
                    "test_trigger_tool_change" => listener.notify_tool_list_changed().await,
                    _ => listener.notify_prompt_list_changed().await,
                };
            }
            text("everybody who listens was told")
        }
        _ => return multi_round(shared, request, cx),
    })
}

/// Tools that answer with questions, and answer them on the next call.
fn multi_round(
    shared: &Shared,
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let answers = &request.input_responses;
    let state = request.request_state.as_deref();
    let name = || asked("What is your name?", "name");
    Ok(match request.name.as_ref() {
        "test_streaming_elicitation" => ask([("value", asked("Which value?", "value")?)]),
        "test_input_required_result_elicitation" => match answer(answers, "user_name") {
            Some(told) if told["action"].is_string() => text(format!("Hello, {}!", told["content"]["name"])),
            _ => ask([("user_name", name()?)]),
        },
        "test_input_required_result_sampling" => match answer(answers, "capital_question") {
            Some(told) => text(format!("The model said {}", told["content"])),
            None => ask([("capital_question", sample("What is the capital of France?"))]),
        },
        "test_input_required_result_list_roots" => match answer(answers, "client_roots") {
            Some(told) => text(format!("The roots are {}", told["roots"])),
            None => ask([("client_roots", roots())]),
        },
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            match state {
                Some(state) => {
                    opened(shared, state)?;
                    text("state-ok")
                }
                None => {
                    let question = asked_for("Please confirm", "ok", "boolean")?;
                    needs([("confirm", question)], Some(sealed(shared, "confirm"))).into()
                }
            }
        }
        "test_input_required_result_multiple_inputs" => {
            let keys = ["user_name", "greeting", "client_roots"];
            match state.filter(|_| keys.iter().all(|key| answer(answers, key).is_some())) {
                Some(state) => {
                    opened(shared, state)?;
                    text("every answer is there")
                }
                None => {
                    let questions = [name()?, sample("Greet the user."), roots()];
                    let questions = keys.map(str::to_owned).into_iter().zip(questions).collect();
                    InputRequiredResult::new(Some(questions), Some(sealed(shared, "asked"))).into()
                }
            }
        }
        "test_input_required_result_multi_round" => {
            match state.map(|state| opened(shared, state)).transpose()?.as_deref() {
                None => needs([("step1", name()?)], Some(sealed(shared, "first"))).into(),
                Some(b"first") => {
                    let colour = asked("Which colour?", "color")?;
                    needs([("step2", colour)], Some(sealed(shared, "second"))).into()
                }
                Some(_) => text("complete"),
            }
        }
        "test_input_required_result_capabilities" => {
            let can = cx.client_capabilities().unwrap_or_default();
            let asking = [
                can.elicitation.is_some().then(|| name().map(|form| ("user_name", form))).transpose()?,
                can.sampling.is_some().then(|| ("greeting", sample("Greet the user."))),
                can.roots.is_some().then(|| ("client_roots", roots())),
            ];
            let asking = asking.into_iter().flatten().map(|(key, question)| (key.to_owned(), question));
            let asking: InputRequests = asking.collect();
            match asking.is_empty() || answers.is_some() {
                true => text("asked for nothing more"),
                false => InputRequiredResult::new(Some(asking), None).into(),
            }
        }
        _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
    })
}

fn sealed(shared: &Shared, state: &str) -> String {
    shared.codec.seal(state.as_bytes())
}

/// Fails for a state that was not sealed here.
fn opened(shared: &Shared, state: &str) -> Result<Vec<u8>, ErrorData> {
    shared.codec.open(state).map_err(|_| ErrorData::invalid_params("requestState is not valid", None))
}

fn is_per_request(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| !version.has_initialize())
}

async fn log(cx: &RequestContext<RoleServer>, level: LoggingLevel, what: &str) {
    // A client that has gone is told nothing more.
    let _ = cx.peer.notify_logging_message(LoggingMessageNotificationParam::new(level, json!(what))).await;
}

async fn elicit(cx: &RequestContext<RoleServer>, form: ElicitRequestParams) -> CallToolResponse {
    match cx.peer.create_elicitation(form).await {
        Ok(told) => text(format!(
            "Elicitation completed: action={}, content={}",
            json!(told.action),
            told.content.unwrap_or_default()
        )),
        Err(e) => failed(e.to_string()),
    }
}

fn two_fields(message: &str) -> Result<ElicitRequestParams, ErrorData> {
    let fields = json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    });
    form(message, fields, &["username", "email"])
}

fn with_defaults() -> Result<ElicitRequestParams, ErrorData> {
    let fields = json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    });
    form("Every field has a default.", fields, &[])
}

fn with_choices() -> Result<ElicitRequestParams, ErrorData> {
    let titled = |names: [&str; 3]| {
        let named = names.into_iter().zip(1..);
        Value::Array(
            named.map(|(title, n)| json!({ "const": format!("value{n}"), "title": title })).collect(),
        )
    };
    let fields = json!({
        "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
        "titledSingle": { "type": "string", "oneOf": titled(["First Option", "Second Option", "Third Option"]) },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
        },
        "titledMulti": {
            "type": "array",
            "items": { "anyOf": titled(["First Choice", "Second Choice", "Third Choice"]) },
        },
    });
    form("Choose in every way there is.", fields, &[])
}
