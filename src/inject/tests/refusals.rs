//! What is refused before anything runs.
use super::*;

fn refusal(change: impl FnOnce(&mut Launch)) -> Error {
    let mut scene = sh("exit 0", &[]).launch();
    change(&mut scene);
    launch(scene, &|_| {}).unwrap_err()
}

#[test]
fn a_nul_in_a_variable_is_refused_and_the_file_offered() {
    let error = refusal(|l| l.injected.push(injected("KEY", b"abc\0defgh", Delivery::Environment)));

    assert_eq!(error.code, Code::InvalidInput);
    assert!(error.message().contains("KEY") && error.next_step().contains("file"));
    assert!(!format!("{error}{error:?}{}", error.to_json()).contains("defgh"));
}

#[test]
fn an_empty_value_is_refused_in_either_delivery() {
    for delivery in [Delivery::Environment, Delivery::File { file_name: "key".into() }] {
        let error = refusal(|l| l.injected.push(injected("KEY", b"", delivery)));

        assert_eq!(error.code, Code::ValueMissing);
        assert!(error.message().contains("KEY"));
    }
}

#[test]
fn two_values_for_one_variable_are_refused() {
    let error = refusal(|l| {
        l.injected.push(injected("KEY", b"one value", Delivery::Environment));
        l.injected.push(injected("KEY", b"another", Delivery::Environment));
    });

    assert_eq!(error.code, Code::InvalidInput);
}

#[test]
fn a_file_name_that_leads_elsewhere_is_refused() {
    for name in ["", ".", "..", "../key", "/etc/key", "a/b", "a\0b"] {
        let file_name = name.to_owned();
        let error = refusal(|l| l.injected.push(injected("KEY", b"a value", Delivery::File { file_name })));

        assert_eq!(error.code, Code::InvalidInput, "{name:?}");
    }
}

#[test]
fn no_command_and_a_nul_in_an_argument_are_refused() {
    assert_eq!(refusal(|l| l.argv.clear()).code, Code::InvalidInput);
    assert_eq!(refusal(|l| l.argv[0] = OsString::new()).code, Code::InvalidInput);
    assert_eq!(refusal(|l| l.argv.push("a\0b".into())).code, Code::InvalidInput);
}

#[test]
fn a_shell_sees_125_126_and_127() {
    for (code, seen) in [
        (Code::CommandNotFound, 127),
        (Code::CommandNotExecutable, 126),
        (Code::CommandNotStarted, 125),
        (Code::InvalidInput, 125),
    ] {
        assert_eq!(exit_code(&Error::new(code, "no")), seen);
    }
}
