//! The rules about consumers.
use super::kinds::ENOUGH_FAILURES;
use super::subject::{Inventory, Party};
use super::{Finding, FindingKind as K};
use crate::model::consumer::BindingSource;

pub fn judge(inventory: &Inventory, found: &mut Vec<Finding>) {
    for (n, party) in inventory.consumers.iter().enumerate() {
        failing(n as u32, party, found);
        plain_secrets(n as u32, party, found);
        missing(n as u32, party, found);
    }
}

fn failing(n: u32, party: &Party, found: &mut Vec<Finding>) {
    if party.failed_lately < ENOUGH_FAILURES || party.ok_lately > 0 {
        return;
    }
    let finding =
        Finding::of_consumer(K::FailingConsumer, n).figure("failures", party.failed_lately.to_string());
    found.push(finding.says(
        format!("{} failed {} times within a week and never worked", party.name, party.failed_lately),
        format!("Call get_consumer with consumer {}, and search_audit_log for why.", party.id),
    ));
}

fn plain_secrets(n: u32, party: &Party, found: &mut Vec<Finding>) {
    for variable in &party.plain_secrets {
        let mut finding = Finding::of_consumer(K::StaticBinding, n).fact("variable", variable.to_string());
        finding.apart = variable.to_string();
        found.push(finding.says(
            format!("{} of {} is plain text that everybody who sees the consumer reads", variable, party.name),
            format!(
                "Ask whether it is a secret. If so: create_credential {variable}, then update_consumer {} with source auto, and replace the value.",
                party.id
            ),
        ));
    }
}

fn missing(n: u32, party: &Party, found: &mut Vec<Finding>) {
    for (variable, wanted, source) in &party.missing {
        let mut finding = Finding::of_consumer(K::MissingCredential, n)
            .fact("variable", variable.to_string())
            .fact("looks_for", wanted.to_string())
            .fact("source", source.to_string());
        finding.apart = variable.to_string();
        let place = match source {
            BindingSource::OrgSecret => "with scope org",
            BindingSource::TeamSecret => "with scope team",
            BindingSource::OAuth => "with type oauth",
            _ => "in the scope that recommend_scope names",
        };
        found.push(finding.says(
            format!("{} needs {wanted} for {variable}, and there is none", party.name),
            format!("Call create_credential with name {wanted} {place}; or update_consumer {}.", party.id),
        ));
    }
}
