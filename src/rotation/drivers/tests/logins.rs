//! Where a login is, and what its next value is.
use super::super::login::Login;
use super::{credential, fields, text};
use crate::config::{Rotated, Rotation};
use crate::model::credential::CredentialType;

fn said(said: Rotated) -> Rotation {
    Rotation { credential: [("one".to_owned(), said)].into(), ..Rotation::default() }
}

const PAIR: [&str; 4] = [".DB_HOST", ".DB_USERNAME", ".DB_ALTERNATE_USERNAME", "DB_PASSWORD"];

#[test]
fn two_users_take_turns_and_keep_everything_else() {
    let (nothing, c) = (Rotation::default(), credential("postgres", &PAIR));
    let old = fields(&[
        ("DB_HOST", "db.example.com"),
        ("DB_USERNAME", "a"),
        ("DB_ALTERNATE_USERNAME", "b"),
        ("DB_PASSWORD", "old"),
    ]);
    let login = Login::of(&nothing, &c, 5432);

    let new = login.invent(&old).unwrap().fields;

    assert!(login.has_two_roles() && login.is_known());
    assert_eq!((text(&new, "DB_USERNAME"), text(&new, "DB_ALTERNATE_USERNAME")), ("b".into(), "a".into()));
    assert_eq!(text(&new, "DB_HOST"), "db.example.com");
    let password = text(&new, "DB_PASSWORD");
    assert!(password.len() == 32 && password.bytes().all(|b| b.is_ascii_alphanumeric()));
    let places = (login.place(&old).unwrap(), login.place(&new).unwrap());
    assert_eq!(login.account(&old, &places.0), "a / b");
    assert_eq!(login.account(&new, &places.1), "a / b");
    assert_ne!(text(&login.invent(&old).unwrap().fields, "DB_PASSWORD"), password);
}

#[test]
fn a_connection_string_gets_the_new_login_and_names_nobody() {
    let settings = said(Rotated { roles: vec!["a".into(), "b@x".into()], ..Rotated::default() });
    let mut c = credential("postgres", &[]);
    c.kind = CredentialType::ApiKey;
    let old = fields(&[("value", "postgres://a:old@db.example.com:6000/app?sslmode=require")]);
    let login = Login::of(&settings, &c, 5432);

    let new = login.invent(&old).unwrap().fields;

    let value = text(&new, "value");
    assert!(
        value.starts_with("postgres://b%40x:") && value.ends_with("@db.example.com:6000/app?sslmode=require")
    );
    let place = login.place(&new).unwrap();
    assert_eq!((place.user.as_str(), place.port, place.password.len()), ("b@x", 6000, 32));
    let alone = Rotation::default();
    let login = Login::of(&alone, &c, 5432);
    assert_eq!(login.account(&old, &login.place(&old).unwrap()), "");
}

#[test]
fn a_secret_field_names_no_host_and_the_configuration_may() {
    let (nothing, c) = (Rotation::default(), credential("mysql", &["HOST", "USERNAME", "PASSWORD"]));
    let old = fields(&[("HOST", "db.example.com"), ("USERNAME", "a"), ("PASSWORD", "old")]);

    assert!(!Login::of(&nothing, &c, 3306).is_known());
    assert!(Login::of(&nothing, &c, 3306).place(&old).is_err());

    let named = said(Rotated { host: Some("other.example.com".into()), port: Some(1), ..Rotated::default() });
    let place = Login::of(&named, &c, 3306).place(&old).unwrap();
    assert_eq!((place.host.as_str(), place.port), ("other.example.com", 1));
}

#[test]
fn whose_turn_it_is_must_be_clear() {
    let c = credential("postgres", &PAIR);
    let with = |user: &str, other: &str| {
        fields(&[
            ("DB_HOST", "h"),
            ("DB_USERNAME", user),
            ("DB_ALTERNATE_USERNAME", other),
            ("DB_PASSWORD", "p"),
        ])
    };
    let nothing = Rotation::default();
    for (user, other) in [("a", "a"), ("a", ""), ("a", " ")] {
        assert!(Login::of(&nothing, &c, 1).invent(&with(user, other)).is_err(), "{user} {other}");
    }
    for roles in [vec!["x", "y"], vec!["x"], vec!["a", "b", "c"]] {
        let settings =
            said(Rotated { roles: roles.iter().map(|r| (*r).into()).collect(), ..Rotated::default() });
        assert!(Login::of(&settings, &c, 1).invent(&with("a", "b")).is_err(), "{roles:?}");
    }
}
