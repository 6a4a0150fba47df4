//! The rules about several credentials together: the same value, the same service twice, the same name in many places.
use super::kinds::ENOUGH_COPIES;
use super::subject::{Inventory, Subject};
use super::{Finding, FindingKind as K};
use crate::model::credential::Environment;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

pub fn judge(inventory: &Inventory, found: &mut Vec<Finding>) {
    if inventory.compares {
        duplicates(inventory, found);
    }
    same_service_twice(inventory, found);
    scope_too_narrow(inventory, found);
}

/// The places of credentials that share a key, where there are at least `least` of them.
fn gathered<'a, T: Eq + Hash>(
    inventory: &'a Inventory,
    least: usize,
    keys: impl Fn(&'a Subject) -> Vec<T>,
) -> Vec<Vec<u32>> {
    // Most are alone: one number each, and a list only for those that are not.
    let mut first: HashMap<T, u32> = HashMap::new();
    let mut more: HashMap<u32, Vec<u32>> = HashMap::new();
    for (n, s) in inventory.credentials.iter().enumerate() {
        for key in keys(s) {
            let one = *first.entry(key).or_insert(n as u32);
            if one != n as u32 {
                let all = more.entry(one).or_insert_with(|| vec![one]);
                // Two fields of one credential may be equal: it is counted once.
                if all.last() != Some(&(n as u32)) {
                    all.push(n as u32);
                }
            }
        }
    }
    let mut all: Vec<_> = more.into_values().filter(|all| all.len() >= least).collect();
    all.sort();
    all
}

fn names(inventory: &Inventory, all: &[u32]) -> String {
    let mut text: Vec<_> = all.iter().take(4).map(|n| inventory.credentials[*n as usize].label()).collect();
    if all.len() > 4 {
        text.push(format!("{} more", all.len() - 4));
    }
    text.join(", ")
}

fn duplicates(inventory: &Inventory, found: &mut Vec<Finding>) {
    let mut groups = BTreeSet::new();
    for all in gathered(inventory, 2, |s| s.prints.to_vec()) {
        groups.insert(all);
    }
    for all in groups {
        let of = |n: &u32| &inventory.credentials[*n as usize];
        let scopes: BTreeSet<_> = all.iter().map(|n| of(n).scope.to_string()).collect();
        let environments: BTreeSet<_> = all
            .iter()
            .map(|n| of(n).environment)
            .filter(|e| *e != Environment::Any)
            .map(|e| e.to_string())
            .collect();
        let count = all.len();
        let message = format!("{count} credentials hold the same value: {}", names(inventory, &all));
        let mut finding = Finding::on(K::DuplicateValue, all)
            .fact("scopes", scopes.into_iter().collect::<Vec<_>>().join(", "))
            .fact("count", count.to_string());
        if environments.len() > 1 {
            finding = finding.fact("environments", environments.into_iter().collect::<Vec<_>>().join(", "));
        }
        found.push(finding.says(
            message,
            "Call recommend_scope with the name that stays; then make the others their own values, or delete_credential them.",
        ));
    }
}

fn same_service_twice(inventory: &Inventory, found: &mut Vec<Finding>) {
    let place = |s: &Subject| {
        let is_named = !s.service.is_empty();
        is_named
            .then(|| (s.scope, s.owner.clone(), s.service.clone(), s.account.clone(), s.environment, s.kind))
            .into_iter()
            .collect()
    };
    for all in gathered(inventory, 2, place) {
        let s = &inventory.credentials[all[0] as usize];
        let message = format!(
            "{} credentials of {} stand in one place: {}",
            all.len(),
            s.service,
            names(inventory, &all)
        );
        let finding = Finding::on(K::SameServiceTwice, all.clone())
            .fact("service", s.service.to_string())
            .fact("count", all.len().to_string());
        found.push(finding.says(
            message,
            "Call get_usage for each. Call delete_credential for what nobody uses, or update_credential with the account that tells them apart.",
        ));
    }
}

fn scope_too_narrow(inventory: &Inventory, found: &mut Vec<Finding>) {
    let named = |s: &Subject| vec![(s.name.to_ascii_uppercase(), s.account.clone(), s.environment)];
    for all in gathered(inventory, ENOUGH_COPIES, named) {
        let of = |n: &u32| &inventory.credentials[*n as usize];
        let name = of(&all[0]).name.clone();
        let in_org = inventory.org_names.contains(name.to_ascii_uppercase().as_str());
        // What several accounts or types of one place are called alike is one place's.
        let places: BTreeMap<_, u32> = all.iter().map(|n| ((of(n).scope, of(n).owner.clone()), *n)).collect();
        if in_org || places.len() < ENOUGH_COPIES {
            continue;
        }
        let mut kept: Vec<u32> = places.into_values().collect();
        kept.sort_unstable();
        let message = format!("{} places keep their own {name}: {}", kept.len(), names(inventory, &kept));
        let finding = Finding::on(K::ScopeTooNarrow, kept.clone()).fact("count", kept.len().to_string());
        found.push(finding.says(message, format!("Call recommend_scope with name {name}.")));
    }
}
