use proptest::prelude::*;

use super::*;

/// One server as a client's file may spell it.
#[derive(Clone, Debug)]
struct Drawn {
    name: String,
    args: Option<Vec<String>>,
    env: Vec<(String, String)>,
    extra: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let word = "[a-zA-Z0-9 /._é\"\\\\-]{0,12}";
    let variable =
        ("[A-Z]{1,6}(_TOKEN|_URL|_MODE|)", word).prop_map(|(name, value)| (format!("V{name}"), value));
    (
        "[a-zA-Z _.-]{1,10}",
        proptest::option::of(proptest::collection::vec(word, 0..4)),
        proptest::collection::vec(variable, 0..5),
        any::<bool>(),
    )
        .prop_map(|(name, args, env, extra)| Drawn { name, args, env, extra })
}

/// How the file is laid out: line end, indentation, comments and a trailing comma.
fn layout() -> impl Strategy<Value = (&'static str, &'static str, bool, bool)> {
    (
        prop_oneof![Just("\n"), Just("\r\n"), Just("")],
        prop_oneof![Just("  "), Just("\t"), Just("    ")],
        any::<bool>(),
        any::<bool>(),
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn file(servers: &[Drawn], (newline, indent, with_comments, trailing): (&str, &str, bool, bool)) -> String {
    let note = if with_comments { format!(" /* a, b: {{ */{newline}") } else { String::new() };
    let tail = if trailing { "," } else { "" };
    let object = |fields: Vec<String>, depth: usize| {
        let pad = format!("{newline}{}", indent.repeat(depth + 1));
        let end = format!("{newline}{}", indent.repeat(depth));
        match fields.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{{note}{pad}{}{tail}{end}}}", fields.join(&format!(",{note}{pad}"))),
        }
    };
    let one = |server: &Drawn| {
        let mut fields = vec![format!("{}: {}", quoted("command"), quoted("server"))];
        if let Some(args) = &server.args {
            let args: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
            fields.push(format!("{} :[{}]", quoted("args"), args.join(" , ")));
        }
        if !server.env.is_empty() {
            let env = server.env.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)));
            fields.push(format!("{}: {}", quoted("env"), object(env.collect(), 3)));
        }
        if server.extra {
            fields.push(format!("{}: {{ {}: [1, 2.50, null] }}", quoted("dev"), quoted("watch")));
        }
        format!("{}: {}", quoted(&server.name), object(fields, 2))
    };
    let servers = object(servers.iter().map(one).collect(), 1);
    format!(
        "{newline}{}{newline}",
        object(
            vec![
                format!("{}: 1", quoted("before")),
                format!("{}: {servers}", quoted("mcpServers")),
                format!("{}: {{}}", quoted("after"))
            ],
            0
        )
    )
}

/// The file as plain values, comments and trailing commas gone.
fn plain(text: &str) -> serde_json::Value {
    fn of(value: &jsonc_parser::ast::Value<'_>) -> serde_json::Value {
        use jsonc_parser::ast::Value::{Array, BooleanLit, NullKeyword, NumberLit, Object, StringLit};
        match value {
            StringLit(text) => text.value.as_ref().into(),
            NumberLit(number) => number.value.into(),
            BooleanLit(switch) => switch.value.into(),
            NullKeyword(_) => serde_json::Value::Null,
            Array(array) => array.elements.iter().map(of).collect(),
            Object(object) => {
                object.properties.iter().map(|p| (p.name.as_str().to_owned(), of(&p.value))).collect()
            }
        }
    }
    of(document::parse(text).expect("JSON").value.as_ref().expect("a value"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn wrapping_and_putting_the_values_back_gives_the_same_file(
        mut servers in proptest::collection::vec(drawn(), 0..4),
        layout in layout(),
        choice in any::<u64>(),
    ) {
        let mut seen = std::collections::HashSet::new();
        servers.retain(|server| seen.insert(server.name.clone()));
        for server in &mut servers {
            let mut seen = std::collections::HashSet::new();
            server.env.retain(|(name, _)| seen.insert(name.clone()));
        }
        let text = file(&servers, layout);
        let config = read_text(&text);
        let rewrites: Vec<Rewrite> = config
            .servers()
            .iter()
            .filter(|server| server.obstacles.is_empty() && choice >> server.index & 1 == 1)
            .map(|server| Rewrite {
                server: server.index,
                program: "/opt/un said".into(),
                args: vec!["mcp".into(), format!("n{}", server.index)],
                remove_env: server
                    .values
                    .iter()
                    .enumerate()
                    .filter(|(at, value)| value.fate == Fate::Moves && choice >> (8 + at) & 1 == 1)
                    .filter_map(|(_, value)| value.credential_name().map(str::to_owned))
                    .collect(),
            })
            .collect();

        let done = config.rewrite(&rewrites, "f", &known()).expect("it is rewritten");
        let new = done.text.expose(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"));

        // Untouched bytes: what stands before, between and after the servers that were rewritten.
        let after = read_text(&new);
        let outside = |text: &str, config: &Config| {
            let (mut parts, mut at) = (Vec::new(), 0);
            for rewrite in &rewrites {
                let range = config.servers()[rewrite.server].range.clone();
                parts.push(text[at..range.start].to_owned());
                at = range.end;
            }
            parts.push(text[at..].to_owned());
            parts
        };
        prop_assert_eq!(outside(&text, &config), outside(&new, &after));

        // The same values once they are put back.
        let mut back = plain(&new);
        for rewrite in &rewrites {
            let old = &config.servers()[rewrite.server];
            let server = &mut back["mcpServers"][old.name()];
            prop_assert_eq!(&server["command"], &rewrite.program);
            let before = &plain(&text)["mcpServers"][old.name()];
            for value in &old.values {
                if let Where::Env(name) = &value.place
                    && rewrite.remove_env.contains(name)
                {
                    prop_assert!(server["env"].get(name).is_none());
                    if server.get("env").is_none_or(serde_json::Value::is_null) {
                        server["env"] = serde_json::json!({});
                    }
                    server["env"][name] = value.value.expose(|text| text.into());
                }
            }
            server["command"] = before["command"].clone();
            match before.get("args") {
                Some(args) => server["args"] = args.clone(),
                None => drop(server.as_object_mut().expect("an object").remove("args")),
            }
            if before.get("env").is_none() && server["env"].is_null() {
                server.as_object_mut().expect("an object").remove("env");
            }
        }
        prop_assert_eq!(back, plain(&text));
    }
}
