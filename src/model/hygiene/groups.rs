//! The rules about several credentials together: the same value, the same service twice, the same name in many places.
use super::kinds::ENOUGH_COPIES;
use super::subject::{Inventory, Subject};
use super::{Finding, FindingKind as K};
use crate::model::credential::Environment;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

pub fn judge(inventory: &Inventory, found: &mut Vec<Finding>) {
    if inventory.compares {
        duplicates(inventory, found);
    }
    same_service_twice(inventory, found);
    scope_too_narrow(inventory, found);
}

/// The places of those credentials that are alike, where there are at least `least` of them. Sorted in place of looked up:
/// of a hundred thousand most are alone, and a number each is all that is kept.
fn alike(
    inventory: &Inventory,
    least: usize,
    is_meant: impl Fn(&Subject) -> bool,
    order: impl Fn(&Subject, &Subject) -> Ordering,
) -> Vec<Vec<u32>> {
    let of = |n: &u32| &inventory.credentials[*n as usize];
    let mut places: Vec<u32> = (0..inventory.credentials.len() as u32).filter(|n| is_meant(of(n))).collect();
    places.sort_by(|a, b| order(of(a), of(b)));
    let groups = places.chunk_by(|a, b| order(of(a), of(b)).is_eq());
    let mut all: Vec<_> = groups.filter(|all| all.len() >= least).map(<[u32]>::to_vec).collect();
    all.sort();
    all
}

/// By characters, whatever their case in ASCII.
fn order_of_names(a: &str, b: &str) -> Ordering {
    a.bytes().map(|b| b.to_ascii_uppercase()).cmp(b.bytes().map(|b| b.to_ascii_uppercase()))
}

fn names(inventory: &Inventory, all: &[u32]) -> String {
    let mut text: Vec<_> = all.iter().take(4).map(|n| inventory.credentials[*n as usize].label()).collect();
    if all.len() > 4 {
        text.push(format!("{} more", all.len() - 4));
    }
    text.join(", ")
}

fn duplicates(inventory: &Inventory, found: &mut Vec<Finding>) {
    let each = inventory.credentials.iter().zip(0u32..);
    let mut prints: Vec<_> = each.flat_map(|(s, n)| s.prints.iter().map(move |print| (*print, n))).collect();
    prints.sort_unstable();
    // Two fields of one credential may be equal: it is counted once.
    prints.dedup();
    let groups = prints.chunk_by(|a, b| a.0 == b.0).filter(|all| all.len() > 1);
    let groups: BTreeSet<Vec<u32>> = groups.map(|all| all.iter().map(|(_, n)| *n).collect()).collect();
    drop(prints);
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
    fn place(s: &Subject) -> impl Ord + '_ {
        (s.scope, &s.owner, &s.service, &s.account, s.environment, s.kind)
    }
    for all in alike(inventory, 2, |s| !s.service.is_empty(), |a, b| place(a).cmp(&place(b))) {
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
    let named = |a: &Subject, b: &Subject| {
        let names = order_of_names(&a.name, &b.name);
        names.then_with(|| (&a.account, a.environment).cmp(&(&b.account, b.environment)))
    };
    for all in alike(inventory, ENOUGH_COPIES, |_| true, named) {
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
