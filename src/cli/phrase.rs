//! What an operation says to an assistant, said to a person at a command line: the same steps, as commands.

/// A tool in a sentence, and the command that does the same.
const STEPS: [(&str, &str); 38] = [
    (", or call create_credential and give its link.", "."),
    (", or create_credential with type oauth; then connect it.", "; then connect it with `unsaid connect`."),
    ("Call audit_credentials to see the findings there are, or run", "See the findings there are with"),
    ("Call list_consumers", "Run `unsaid consumer list`"),
    ("Call get_consumer", "Run `unsaid consumer show NAME`"),
    ("Change it with update_consumer", "Change it with `unsaid consumer edit`"),
    ("update_consumer with run_by", "`unsaid consumer edit --run-by`"),
    ("with update_consumer", "with `unsaid consumer bind`"),
    ("Call connect_credential, or ask the person to run", "Run"),
    ("Call connect_credential, or connect it with", "Connect it with"),
    ("ask the person to run", "run"),
    (" in a terminal, or call connect_credential.", "."),
    ("Call refresh_credential", "Run `unsaid refresh NAME`"),
    ("Call list_credentials", "Run `unsaid list`"),
    ("Call get_credential", "Run `unsaid show NAME`"),
    ("Call list_services", "Run `unsaid service list`"),
    ("Call list_oauth_providers", "Run `unsaid provider list`"),
    ("Call whoami", "Run `unsaid status`"),
    ("Call restore_credential", "Run `unsaid restore NAME`"),
    ("Call get_rotation_guide for", "Read `unsaid service guide`, about"),
    ("Call advance_rotation with", "Go on with `unsaid rotate NAME`,"),
    ("call advance_rotation with", "go on with `unsaid rotate NAME`,"),
    ("Call advance_rotation", "Go on with `unsaid rotate NAME`"),
    ("call abort_rotation with", "run `unsaid rotate --abort`, for"),
    ("or abort_rotation", "or run `unsaid rotate --abort NAME`"),
    ("call abort_rotation", "run `unsaid rotate --abort NAME`"),
    ("abort_rotation ends it", "`unsaid rotate --abort` ends it"),
    ("Call get_rotation with", "Run `unsaid rotate --status`, for"),
    ("Call get_rotation:", "Run `unsaid rotate --status NAME`:"),
    ("get_rotation shows", "`unsaid rotate --status` shows"),
    ("Call list_rotations", "Run `unsaid rotate --list`"),
    ("Call start_rotation with overdue", "Run `unsaid rotate --overdue`"),
    ("Call start_rotation for", "Run `unsaid rotate`, for"),
    ("Call connect_credential for", "Run `unsaid connect` for"),
    ("Ask the person to run", "Run"),
    ("Call again", "Run it again"),
    ("and call again", "and run it again"),
    ("then call again", "then run it again"),
];

/// `text` without the names of tools.
pub fn for_people(text: &str) -> String {
    STEPS.iter().fold(text.to_owned(), |text, (tool, command)| text.replace(tool, command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};
    use crate::ops::catalog;

    #[test]
    fn no_step_that_a_person_is_told_names_a_tool() {
        for code in Code::ALL {
            let told = for_people(Error::new(*code, "").next_step());
            let names_one =
                catalog().iter().any(|entry| entry.name.contains('_') && told.contains(entry.name));
            // These two are protocol methods, which no command meets.
            let is_protocol = matches!(code, Code::ToolNotFound | Code::ResourceNotFound);
            assert!(
                is_protocol || !(names_one || told.contains("Call ") || told.contains("call again")),
                "{code:?}: {told}"
            );
        }
    }

    #[test]
    fn a_command_takes_the_place_of_a_tool() {
        assert_eq!(
            for_people("Call list_credentials to see the names that exist."),
            "Run `unsaid list` to see the names that exist."
        );
        assert_eq!(for_people("Wait a moment and call again."), "Wait a moment and run it again.");
        assert_eq!(
            for_people("Call connect_credential, or ask the person to run `unsaid connect X`."),
            "Run `unsaid connect X`."
        );
    }
}
