//! Tools: listed, called, refused, and what the wire must never carry.
use super::*;
use crate::ops::Toolset;

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tool_answers_with_structured_content_and_the_same_as_text_in_both_eras() {
    let rig = Rig::new().await;
    rig.world.add("ada", "org", "STRIPE_KEY", "plain words").await;
    for era in ERAS {
        let mut client = rig.client(era).await;

        let result = client.call("get_credential", json!({ "credential": "STRIPE_KEY" })).await;

        assert_eq!(result["structuredContent"]["name"], "STRIPE_KEY");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        assert_ne!(result["isError"], true);
        assert!(!result.to_string().contains("plain words"));
    }
}

#[tokio::test]
async fn a_failure_is_a_result_with_code_message_and_next_as_text_alone() {
    let rig = Rig::new().await;
    for era in ERAS {
        let mut client = rig.client(era).await;

        let result = client.call("get_credential", json!({ "credential": "NOT_THERE" })).await;

        let told = failure(&result);
        assert_eq!(told["code"], "credential_not_found");
        assert!(told["message"].is_string() && told["next"].is_string());
    }
}

#[tokio::test]
async fn m_03_a_request_without_what_its_era_asks_for_is_refused_with_the_specifications_code() {
    const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    const ABLE: &str = "io.modelcontextprotocol/clientCapabilities";
    let rig = Rig::new().await;

    for (meta, code, named) in [
        (json!({ VERSION: "2026-07-28" }), -32602, ABLE),
        (json!({ ABLE: {} }), -32602, VERSION),
        (json!({ VERSION: 7, ABLE: {} }), -32602, VERSION),
        (json!({}), -32602, VERSION),
        (json!({ VERSION: "2030-01-01", ABLE: {} }), -32022, "Unsupported protocol version"),
    ] {
        for (method, params) in
            [("tools/call", json!({ "name": "whoami", "arguments": {} })), ("tools/list", json!({}))]
        {
            let mut client = rig.client(Era::PerRequest).await;
            let mut request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            request["params"]["_meta"] = meta.clone();
            client.line(&request.to_string()).await;

            let reply = client.receive().await;

            assert_eq!(reply["error"]["code"], code, "{method} {meta}");
            assert!(reply["error"]["message"].as_str().unwrap().contains(named), "{reply}");
        }
    }
}

#[tokio::test]
async fn a_tool_that_does_not_exist_is_a_protocol_error_and_what_only_people_do_is_no_tool() {
    let rig = Rig::new().await;
    for era in ERAS {
        let mut client = rig.client(era).await;
        for name in ["no_such_tool", "purge_credential", "set_policy", ""] {
            let reply = client.request("tools/call", json!({ "name": name, "arguments": {} })).await;

            assert_eq!(reply["error"]["code"], -32602);
            assert_eq!(reply["error"]["message"], "there is no such tool");
        }
        assert!(!names(&client.tools().await).contains(&"purge_credential"));
    }
}

#[tokio::test]
async fn all_names_texts_and_schemas_stay_under_24_kb_and_every_tool_is_told_in_full() {
    let rig = Rig::new().await;
    let tools = rig.client(Era::Handshake).await.tools().await;

    let size: usize = tools
        .iter()
        .map(|t| {
            t["name"].to_string().len()
                + t["description"].to_string().len()
                + t["inputSchema"].to_string().len()
        })
        .sum();
    assert!(size < 24_000, "{size} bytes");
    // Some clients break off where a whole answer does not fit into what they hold of one unread.
    let whole: usize = tools.iter().map(|t| serde_json::to_string(t).expect("it is JSON").len()).sum();
    assert!(whole < 62_000, "{whole} bytes");
    let mut sorted = names(&tools);
    sorted.sort_unstable();
    assert_eq!(names(&tools), sorted);
    for tool in &tools {
        let hints = &tool["annotations"];
        assert!(tool["title"].is_string() && !tool["description"].as_str().unwrap().contains('\n'), "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        // C-36: no argument that the schema does not name.
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(hints["openWorldHint"], false);
        assert!(
            ["readOnlyHint", "destructiveHint", "idempotentHint"].iter().all(|h| hints[*h].is_boolean()),
            "{tool}"
        );
        // C-38: nothing of an argument goes into a header.
        assert!(!tool.to_string().contains("x-mcp-header"));
    }
}

#[tokio::test]
async fn the_list_is_for_this_caller_alone_in_the_era_that_says_so() {
    let rig = Rig::new().await;

    let list = rig.client(Era::PerRequest).await.request("tools/list", json!({})).await;

    // M-24
    assert_eq!(list["result"]["cacheScope"], "private");
    assert_eq!(list["result"]["ttlMs"], 0);
}

#[tokio::test]
async fn a_read_only_server_lists_and_runs_only_what_reads() {
    let mut rig = Rig::new().await;
    rig.limits.read_only = true;
    let mut client = rig.client(Era::PerRequest).await;

    let tools = client.tools().await;

    assert!(!tools.is_empty() && tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true));
    assert_eq!(client.refused("create_credential", json!({ "name": "A_KEY" })).await, "read_only");
}

#[tokio::test]
async fn a_server_of_some_toolsets_neither_lists_nor_runs_the_others() {
    let mut rig = Rig::new().await;
    rig.limits.toolsets = vec![Toolset::Audit];
    let mut client = rig.client(Era::Handshake).await;

    assert!(!names(&client.tools().await).contains(&"list_credentials"));
    assert_eq!(client.refused("list_credentials", json!({})).await, "tool_not_found");
    let resources = client.request("resources/list", json!({})).await;
    assert!(!resources.to_string().contains("unsaid://inventory"));
    let read = client.request("resources/read", json!({ "uri": "unsaid://inventory" })).await;
    assert_eq!(read["error"]["code"], -32002);
}

#[tokio::test]
async fn an_auditor_is_shown_nothing_that_changes_things_and_a_member_nothing_for_admins() {
    let rig = Rig::new().await;
    rig.becomes("otto");
    let tools = rig.client(Era::Handshake).await.tools().await;
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true));
    assert!(names(&tools).contains(&"search_audit_log"));

    rig.becomes("mia");
    let mine = rig.client(Era::PerRequest).await.tools().await;
    rig.becomes("ada");
    let all = rig.client(Era::PerRequest).await.tools().await;
    assert!(names(&mine).contains(&"create_credential") && mine.len() <= all.len());
}

/// C-21, C-20: what cannot be parsed is answered, and never repeated.
#[tokio::test]
async fn c_21_no_layer_repeats_what_it_could_not_read() {
    let rig = Rig::new().await;
    let canary = canary();
    for era in ERAS {
        let mut client = rig.client(era).await;
        let odd = [
            json!({ "name": "get_credential", "arguments": { "credential": { "x": canary } } }),
            json!({ "name": "get_credential", "arguments": { "credential": [canary] } }),
            json!({ "name": "get_credential", "arguments": { canary.clone(): 1 } }),
            json!({ "name": "get_credential", "arguments": { "credential": canary } }),
            json!({ "name": "list_credentials", "arguments": { "scope": canary } }),
            json!({ "name": "list_credentials", "arguments": { "cursor": canary } }),
            json!({ "name": "list_credentials", "arguments": { "limit": canary } }),
            json!({ "name": "list_credentials", "arguments": canary }),
            json!({ "name": canary, "arguments": {} }),
            json!({ "name": [canary], "arguments": {} }),
            json!({ "arguments": { "credential": canary } }),
            json!({ "name": "delete_credential", "arguments": { "credential": "x", "reason": canary } }),
            json!({ "name": "get_credential", "arguments": { "credential": "x" }, "requestState": canary, "inputResponses": { "confirm": canary } }),
            json!({ "name": "get_credential", "arguments": { "credential": "x" }, "requestState": [canary] }),
        ];
        for params in odd {
            let reply = client.request_any("tools/call", params.clone()).await;
            assert!(!reply.to_string().contains(&canary), "{params} -> {reply}");
            assert!(!reply["error"].is_null() || reply["result"]["isError"] == true, "{params} -> {reply}");
        }
        for (method, params) in [
            (canary.as_str(), json!({})),
            ("resources/read", json!({ "uri": format!("unsaid://credentials/{canary}") })),
            ("resources/read", json!({ "uri": canary })),
            ("resources/read", json!({ "uri": [canary] })),
            ("prompts/get", json!({ "name": canary })),
            ("prompts/get", json!({ "name": "rotate_credential", "arguments": { "credential": canary } })),
            ("prompts/get", json!({ "name": "rotate_credential", "arguments": { "credential": [canary] } })),
            ("prompts/get", json!({ "name": "audit_credentials", "arguments": { "scope": canary } })),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/prompt", "name": canary }, "argument": { "name": "x", "value": "" } }),
            ),
            (
                "completion/complete",
                json!({ "ref": { "type": canary }, "argument": { "name": "x", "value": "" } }),
            ),
        ] {
            let reply = client.request_any(method, params.clone()).await;
            assert!(!reply.to_string().contains(&canary), "{method} {params} -> {reply}");
            assert!(!reply["error"].is_null(), "{method} {params} -> {reply}");
        }
    }
}

impl Client {
    /// A reply to a request that may be so malformed that it carries no id.
    async fn request_any(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params).await;
        self.receive().await
    }
}

#[tokio::test]
async fn the_log_names_the_client_as_it_calls_itself_in_one_clean_line() {
    let rig = Rig::new().await;
    let mut client = rig.client(Era::PerRequest).await;
    let named = format!("od\u{202e}d\n{}", "x".repeat(500));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": named, "version": "1\t2" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": "create_credential", "arguments": { "name": "A_KEY" }, "_meta": meta });
    client
        .line(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string())
        .await;
    client.receive().await;

    let org = rig.world.org.clone();
    let rows = rig.world.app.store.read(move |tx| tx.audit_after(&org, 0, 100)).await.unwrap();
    let row = rows.last().unwrap();
    assert_eq!((row.operation.as_str(), row.door.as_str()), ("create_credential", "stdio"));
    assert!(row.client.starts_with("odd xxx") && row.client.ends_with("x/1 2"), "{}", row.client);
    assert_eq!(row.client.chars().count(), 64);
}

/// M-05, M-04: nothing but messages is written, whatever comes in, and the connection lives on.
#[tokio::test]
async fn m_05_garbage_is_answered_with_nothing_but_messages() {
    let rig = Rig::new().await;
    let mut client = rig.client(Era::PerRequest).await;
    for i in 0..10_000u32 {
        let noise = match i % 5 {
            0 => format!("not json {i}"),
            1 => "{".repeat(1 + i as usize % 300),
            2 => format!("\u{feff}{{\"a\":{i}"),
            3 => String::new(),
            _ => format!("\"{}", "x".repeat(i as usize % 50)),
        };
        client.line(&noise).await;
    }
    client.bytes(b"\xff\xfe\x00{\"jsonrpc\":\"2.0\",\"id\":\xff}\n").await;
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{"name":"whoami","x":"{}"}}}}"#,
        "y".repeat(4 * 1024 * 1024)
    );
    client.line(&long).await;

    let tools = client.tools().await;
    assert!(!tools.is_empty());
}

#[tokio::test]
async fn notifications_and_answers_before_the_first_request_do_not_end_the_connection() {
    let rig = Rig::new().await;
    let mut client = rig.client(Era::PerRequest).await;
    client.line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    client.line(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await;

    assert!(!client.tools().await.is_empty());
}

#[tokio::test]
async fn the_librarys_own_client_lists_and_calls_in_both_eras() {
    use rmcp::model::{CallToolRequestParams, ProtocolVersion};
    use rmcp::{ClientLifecycleMode, ClientServiceExt};
    let rig = Rig::new().await;
    for mode in [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ] {
        let (here, there) = tokio::io::duplex(65_536);
        let (read, write) = tokio::io::split(there);
        let serving = tokio::spawn(stdio::serve(rig.server(), read, write, CancellationToken::new()));
        let client = ().serve_with_lifecycle(here, mode).await.unwrap();

        let tools = client.list_all_tools().await.unwrap();
        let result = client.call_tool(CallToolRequestParams::new("list_credentials")).await.unwrap();

        assert!(tools.iter().any(|tool| tool.name == "list_credentials"));
        assert!(result.structured_content.unwrap()["credentials"].is_array());
        client.cancel().await.unwrap();
        assert!(serving.await.unwrap().is_ok());
    }
}
