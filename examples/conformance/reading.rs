//! The resources and prompts that the suite reads.
use super::content::{PNG, argument, resource};
use super::questions::{answer, asked, needs};
use rmcp::model::{
    CompleteRequestParams, ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Prompt,
    PromptArgument, PromptMessage, ReadResourceResponse, ReadResourceResult, Reference, Resource,
    ResourceContents, ResourceTemplate, Role,
};
use serde_json::json;

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
const BEFORE_ID: &str = "test://template/";
const AFTER_ID: &str = "/data";

pub fn resources() -> impl Iterator<Item = Resource> {
    [(TEXT, "text/plain"), (BINARY, "image/png"), (WATCHED, "text/plain")].into_iter().map(|(uri, mime)| {
        Resource::new(uri, uri).with_description("a fixture of the conformance suite").with_mime_type(mime)
    })
}

pub fn template() -> ResourceTemplate {
    ResourceTemplate::new(format!("{BEFORE_ID}{{id}}{AFTER_ID}"), "test_template")
        .with_description("a fixture of the conformance suite")
        .with_mime_type("application/json")
}

pub fn find_resource(uri: &str) -> Option<ReadResourceResponse> {
    let contents = match uri {
        TEXT => resource(uri, "text/plain", "This is the content of the static text resource."),
        WATCHED => resource(uri, "text/plain", "Nothing has changed."),
        BINARY => ResourceContents::BlobResourceContents {
            uri: uri.into(),
            mime_type: Some("image/png".into()),
            blob: PNG.into(),
            meta: None,
        },
        _ => {
            let id = uri.strip_prefix(BEFORE_ID)?.strip_suffix(AFTER_ID)?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            resource(uri, "application/json", data.to_string())
        }
    };
    Some(ReadResourceResult::new(vec![contents]).into())
}

pub fn prompts() -> impl Iterator<Item = Prompt> {
    [
        ("test_simple_prompt", &[][..]),
        ("test_prompt_with_arguments", &["arg1", "arg2"]),
        ("test_prompt_with_embedded_resource", &["resourceUri"]),
        ("test_prompt_with_image", &[]),
        ("test_input_required_result_prompt", &[]),
    ]
    .into_iter()
    .map(|(name, arguments)| {
        let argument =
            |name: &&str| PromptArgument::new(*name).with_description("any text").with_required(true);
        let arguments = (!arguments.is_empty()).then(|| arguments.iter().map(argument).collect());
        Prompt::new(name, Some("a fixture of the conformance suite"), arguments)
    })
}

/// Whether the suite asks for completions of a fixture; there are none.
pub fn completes(request: &CompleteRequestParams) -> bool {
    match &request.r#ref {
        Reference::Prompt(prompt) => prompts().any(|fixture| fixture.name == prompt.name),
        Reference::Resource(resource) => resource.uri.starts_with(BEFORE_ID),
        _ => false,
    }
}

pub fn find_prompt(request: &GetPromptRequestParams) -> Option<GetPromptResponse> {
    let given = |name| argument(request.arguments.as_ref(), name);
    let says = |text: String| PromptMessage::new_text(Role::User, text);
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![says("This is a simple prompt for testing.".into())],
        "test_prompt_with_arguments" => {
            vec![says(format!("Prompt with arguments: arg1='{}', arg2='{}'", given("arg1"), given("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let embedded =
                resource(given("resourceUri"), "text/plain", "Embedded resource content for testing.");
            vec![
                PromptMessage::new(Role::User, ContentBlock::resource(embedded)),
                says("Please process the embedded resource above.".into()),
            ]
        }
        "test_prompt_with_image" => vec![
            PromptMessage::new(Role::User, ContentBlock::image(PNG, "image/png")),
            says("Please analyze the image above.".into()),
        ],
        "test_input_required_result_prompt" => match answer(&request.input_responses, "user_context") {
            Some(answer) => vec![says(format!("The context is {}", answer["content"]["context"]))],
            None => {
                let question = asked("What context should the prompt use?", "context").ok()?;
                return Some(needs([("user_context", question)], None).into());
            }
        },
        _ => return None,
    };
    Some(GetPromptResult::new(messages).into())
}
