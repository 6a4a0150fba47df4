//! What the fixtures ask of the client: forms, messages of its model, and its roots.
use rmcp::model::{
    CallToolResponse, CreateMessageRequest, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams,
    ElicitationSchema, ErrorData, InputRequest, InputRequiredResult, InputResponses, ListRootsRequest,
    SamplingMessage,
};
use serde_json::{Value, json};

const MOST_TOKENS: u32 = 100;

pub fn form(message: &str, properties: Value, required: &[&str]) -> Result<ElicitRequestParams, ErrorData> {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let requested_schema: ElicitationSchema = serde_json::from_value(schema)
        .map_err(|_| ErrorData::internal_error("a fixture's form is no form", None))?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: message.into(), requested_schema })
}

/// A form with one text field.
pub fn asked(message: &str, field: &str) -> Result<InputRequest, ErrorData> {
    asked_for(message, field, "string")
}

/// A form with one field of this type.
pub fn asked_for(message: &str, field: &str, kind: &str) -> Result<InputRequest, ErrorData> {
    let params = form(message, json!({ field: { "type": kind } }), &[field])?;
    Ok(InputRequest::Elicitation(ElicitRequest::new(params)))
}

pub fn message(prompt: &str) -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], MOST_TOKENS)
}

pub fn sample(prompt: &str) -> InputRequest {
    InputRequest::CreateMessage(CreateMessageRequest::new(message(prompt)))
}

pub fn roots() -> InputRequest {
    InputRequest::ListRoots(ListRootsRequest::default())
}

/// These questions have to be answered first; `state` comes back with the answers.
pub fn needs<const N: usize>(
    questions: [(&str, InputRequest); N],
    state: Option<String>,
) -> InputRequiredResult {
    let questions = questions.into_iter().map(|(key, question)| (key.to_owned(), question));
    InputRequiredResult::new(Some(questions.collect()), state)
}

pub fn ask<const N: usize>(questions: [(&str, InputRequest); N]) -> CallToolResponse {
    needs(questions, None).into()
}

/// The answer to the question `key`, if it came.
pub fn answer<'a>(answers: &'a Option<InputResponses>, key: &str) -> Option<&'a Value> {
    answers.as_ref()?.get(key).filter(|answer| answer.is_object())
}
