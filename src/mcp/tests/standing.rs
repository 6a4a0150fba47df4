//! What keeps the server standing: a vault that is not there yet, panics, crowds, cancelled calls, clients that leave.
use super::*;
use std::time::{Duration, Instant};

#[tokio::test]
async fn before_init_every_tool_is_listed_and_says_what_to_run_and_works_once_it_ran() {
    let rig = Rig::new().await;
    rig.is_initialised.store(false, Ordering::SeqCst);
    for era in ERAS {
        let mut client = rig.client(era).await;
        let listed = client.tools().await;
        for tool in &listed {
            let result = client.call(tool["name"].as_str().unwrap(), json!({})).await;
            assert_eq!(failure(&result)["code"], "not_initialised", "{tool}");
            assert!(failure(&result)["next"].as_str().unwrap().contains("unsaid init"));
        }
        let read = client.request("resources/read", json!({ "uri": "unsaid://inventory" })).await;
        assert_eq!(read["error"]["data"]["code"], "not_initialised");

        rig.is_initialised.store(true, Ordering::SeqCst);
        assert!(
            client.call("list_credentials", json!({})).await["structuredContent"]["credentials"].is_array()
        );
        assert_eq!(client.tools().await.len(), listed.len());
        rig.is_initialised.store(false, Ordering::SeqCst);
    }
}

/// C-20: the vault says it where it is open; where it is not, the answer still tells that the secret leaked.
#[tokio::test]
async fn a_secret_in_an_argument_is_told_as_a_leak_before_there_is_a_vault_and_for_no_tool_at_all() {
    let rig = Rig::new().await;
    rig.is_initialised.store(false, Ordering::SeqCst);
    let planted = format!("ghp_{}", "aB3xK9".repeat(6));
    for era in ERAS {
        let mut client = rig.client(era).await;

        let told = client.call("create_credential", json!({ "name": "A", "description": planted })).await;
        assert_eq!(failure(&told)["code"], "secret_in_argument");
        let told = client.call("create_credential", json!({ "name": "A", "value": "words" })).await;
        assert_eq!(failure(&told)["code"], "secret_in_argument");
        let call = json!({ "name": "store_secret", "arguments": { "text": planted } });
        let unknown = client.request("tools/call", call).await;
        assert!(unknown["error"]["message"].as_str().unwrap().contains("leaked"), "{unknown}");
        assert!(!format!("{told}{unknown}").contains(&planted));
    }
}

/// C-13: a panicking handler answers `internal`, says nothing of what it held, and the process serves on.
#[tokio::test]
async fn c_13_a_panicking_handler_still_answers() {
    let rig = Rig::new().await;
    for era in ERAS {
        let mut client = rig.client(era).await;
        rig.panics.store(true, Ordering::SeqCst);

        let called = client.call("list_credentials", json!({})).await;
        assert_eq!(failure(&called)["code"], "internal");
        let completing = json!({ "ref": { "type": "ref/resource", "uri": "unsaid://credentials/{id}" }, "argument": { "name": "id", "value": "" } });
        let replies = [
            client.request("resources/read", json!({ "uri": "unsaid://policy" })).await,
            client
                .request(
                    "prompts/get",
                    json!({ "name": "rotate_credential", "arguments": { "credential": "X" } }),
                )
                .await,
            client.request("completion/complete", completing).await,
            client.request("tools/list", json!({})).await,
        ];

        assert_eq!(replies[0]["error"]["code"], -32603);
        assert_eq!(replies[1]["error"]["code"], -32603);
        assert_eq!(replies[2]["result"]["completion"]["values"], json!([]));
        assert!(replies[3]["result"]["tools"].is_array());
        assert!(!format!("{called}{replies:?}").contains(&canary()));
        rig.panics.store(false, Ordering::SeqCst);
        assert_ne!(client.call("list_credentials", json!({})).await["isError"], true);
    }
}

#[tokio::test]
async fn calls_in_flight_are_bounded_and_a_full_queue_is_told_so() {
    let mut rig = Rig::new().await;
    rig.gate = (2, 3);
    rig.turns = Arc::new(Semaphore::new(0));
    let mut client = rig.client(Era::PerRequest).await;
    for _ in 0..9 {
        client.send("tools/call", json!({ "name": "list_credentials", "arguments": {} })).await;
    }

    for _ in 0..4 {
        let refused = client.receive().await;
        assert_eq!(failure(&refused["result"])["code"], "too_many_requests");
    }
    rig.turns.add_permits(100);
    for _ in 0..5 {
        assert!(client.receive().await["result"]["structuredContent"]["credentials"].is_array());
    }
}

/// M-06: a cancelled change has happened and is in the log, or neither.
#[tokio::test]
async fn m_06_a_cancelled_change_is_whole_or_not_there() {
    let rig = Rig::new().await;
    let mut client = rig.client(Era::Handshake).await;
    for i in 0..40u64 {
        let arguments = json!({ "name": format!("KEY_{i}") });
        let id =
            client.send("tools/call", json!({ "name": "create_credential", "arguments": arguments })).await;
        tokio::time::sleep(Duration::from_micros(i * 40)).await;
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
        client.line(&cancel.to_string()).await;
    }
    // What was let in before its cancellation is done when nothing more is in flight.
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.world.call(&rig.world.caller("ada"), "create_credential", json!({ "name": "LAST" })).await.unwrap();

    let page =
        rig.world.call(&rig.world.caller("ada"), "list_credentials", json!({ "limit": 100 })).await.unwrap();
    let there = page["credentials"].as_array().unwrap().len();
    let logged = rig.world.log().await.iter().filter(|line| *line == "create_credential ok").count();
    assert_eq!(there, logged);
    assert!(rig.world.chain_is_whole().await);
}

#[tokio::test]
async fn a_call_that_waits_in_the_queue_and_is_cancelled_does_nothing() {
    let mut rig = Rig::new().await;
    rig.gate = (1, 10);
    rig.turns = Arc::new(Semaphore::new(0));
    let mut client = rig.client(Era::Handshake).await;
    client.send("tools/call", json!({ "name": "list_credentials", "arguments": {} })).await;
    let waiting = client
        .send("tools/call", json!({ "name": "create_credential", "arguments": { "name": "A_KEY" } }))
        .await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": waiting } });
    client.line(&cancel.to_string()).await;
    assert_eq!(client.request_after_queue().await["error"]["code"], -32601);

    rig.turns.add_permits(100);
    client.receive().await;
    let after = client.call("list_credentials", json!({})).await;

    assert_eq!(after["structuredContent"]["credentials"], json!([]));
}

impl Client {
    /// Something that is answered without a place, to know that what was sent before has been read.
    async fn request_after_queue(&mut self) -> Value {
        self.request("no/such/method", json!({})).await
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_a_word_is_no_failure() {
    let rig = Rig::new().await;
    let (here, there) = tokio::io::duplex(1024);
    let (read, write) = tokio::io::split(there);
    drop(here);

    assert!(stdio::serve(rig.server(), read, write, CancellationToken::new()).await.is_ok());
}

#[tokio::test]
async fn a_client_that_leaves_during_a_question_or_a_signal_ends_the_server_at_once() {
    for by_signal in [true, false] {
        let rig = Rig::new().await;
        rig.world.add("ada", "org", "A_KEY", "v").await;
        let (here, there) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(there);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(stdio::serve(rig.server(), read, write, stop.clone()));
        let (read, mut write) = tokio::io::split(here);
        let mut lines = BufReader::new(read).lines();
        let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} }, "clientInfo": { "name": "a", "version": "1" } } });
        write.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
        lines.next_line().await.unwrap();
        let delete = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "delete_credential", "arguments": { "credential": "A_KEY", "reason": "old" } } });
        write.write_all(format!("{delete}\n").as_bytes()).await.unwrap();
        assert!(lines.next_line().await.unwrap().unwrap().contains("elicitation/create"));

        let began = Instant::now();
        match by_signal {
            true => stop.cancel(),
            false => write.shutdown().await.unwrap(),
        }
        serving.await.unwrap().unwrap();

        assert!(began.elapsed() < Duration::from_secs(2), "{by_signal} {:?}", began.elapsed());
        assert!(
            !rig.world.log().await.iter().any(|line| line.contains("delete") || line.contains("approval"))
        );
    }
}
