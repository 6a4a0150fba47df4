//! Where requests go by what a credential says, and what of it is looked for in answers.
use super::*;
use crate::ops::credential::value::{Target, enter_value};
use crate::ops::hand_over::hand_over_to;
use crate::services::probe::says_where;
use crate::testing::{PersonYes, World};
use serde_json::{Value, json};

/// A consumer of mia's own that is lent KEY for `service`; `fields` with what is entered in each, secret where it is none
/// of `plain`.
struct Lent {
    w: World,
    fields: Vec<&'static str>,
    service: &'static str,
}

impl Lent {
    async fn of(kind: &str, service: &'static str, fields: &[(&'static str, &str)], plain: &[&str]) -> Self {
        let w = World::new().await;
        let mut ask = json!({"name": "KEY", "type": kind, "scope": "personal", "service": service});
        if kind == "custom" {
            let spec = |(name, _): &(&str, &str)| json!({"name": name, "secret": !plain.contains(name)});
            ask["fields"] = fields.iter().map(spec).collect::<Vec<Value>>().into();
        }
        w.call(&w.person("mia"), "create_credential", ask).await.expect("it is made");
        let lent = Self { w, fields: fields.iter().map(|(name, _)| *name).collect(), service };
        lent.enter(&fields.iter().map(|(_, value)| *value).collect::<Vec<_>>()).await;
        let bindings = json!([{"variable": "KEY", "delivery": "header", "service": service}]);
        let bot = json!({"name": "bot", "bindings": bindings});
        lent.w
            .call_with(&lent.w.person("mia"), "register_consumer", bot, &PersonYes)
            .await
            .expect("it is bound");
        lent
    }

    async fn enter(&self, values: &[&str]) {
        let copied =
            |(name, value): (&&str, &&str)| ((*name).to_owned(), SecretBytes::copied(value.as_bytes()));
        let values = self.fields.iter().zip(values).map(copied).collect();
        let target = Target::Existing("KEY".into());
        enter_value(&self.w.app, &self.w.person("mia"), target, values, String::new())
            .await
            .expect("entered");
    }

    async fn meant(&self) -> (Caller, Meant) {
        let started = hand_over_to(&self.w.app, &self.w.person("mia"), "bot", "sh").await.expect("it starts");
        let meant = meant(&self.w.app, &started.caller, "bot", self.service).await.expect("it is meant");
        (started.caller, meant)
    }

    /// Where a request goes, or what is wrong.
    async fn goes(&self) -> Result<String> {
        let (caller, meant) = self.meant().await;
        destination(&self.w.app, &caller, &meant).await.map(|to| to.route.address().to_string())
    }

    /// Each field as the service's texts name it, with its value, and whether it is looked for.
    async fn added(&self) -> Vec<(String, String, bool)> {
        let (caller, meant) = self.meant().await;
        let to = destination(&self.w.app, &caller, &meant).await.expect("it goes somewhere");
        let host = "acme.example".to_owned();
        let opened = open_for_request(&self.w.app, &caller, &meant, &to.stated, "GET /".into(), host).await;
        let opened = opened.expect("it is opened").value;
        let text = |g: &Given| g.value.expose(|value| String::from_utf8_lossy(value).into_owned());
        let given = given(&self.w.app, opened, &to.placement, "KEY");
        given.iter().map(|g| (g.field.clone(), text(g), g.is_secret)).collect()
    }
}

fn key() -> String {
    crate::ids::fresh()
}

fn one(name: &str, value: &str, is_secret: bool) -> (String, String, bool) {
    (name.into(), value.into(), is_secret)
}

#[tokio::test]
async fn an_address_is_filled_in_by_the_plain_fields_beside_the_key() {
    for (service, field, value, address) in [
        ("databricks", "SERVER", "acme.cloud.databricks.com", "https://acme.cloud.databricks.com/"),
        ("elastic", "SERVER", "es.acme.example:9243", "https://es.acme.example:9243/"),
        ("zendesk", "SUBDOMAIN", "acme", "https://acme.zendesk.com/"),
        // Its manifest has a default.
        ("gitlab", "SERVER", "git.acme.example", "https://git.acme.example/"),
    ] {
        let key = key();
        let fields = [("TOKEN", key.as_str()), (field, value), ("EMAIL", "mia@acme.example")];
        let lent = Lent::of("custom", service, &fields, &[field, "EMAIL"]).await;

        assert_eq!(lent.goes().await.expect("it goes"), address, "{service}");

        let added = lent.added().await;
        assert!(added.contains(&one("token", &key, true)), "{service}");
        assert!(added.contains(&one("", value, false)), "{service}");
    }
    let lent = Lent::of("api_key", "gitlab", &[("value", &key())], &[]).await;
    assert_eq!(lent.goes().await.expect("by its default"), "https://gitlab.com/");
}

#[tokio::test]
async fn b_01_a_field_that_is_no_host_takes_the_key_nowhere_and_nothing_is_opened() {
    for value in [
        "localhost",
        "127.0.0.1",
        "0x7f.1",
        "a@evil.example",
        "evil.example/x",
        "evil.example#",
        "evil.example?x=",
        "evil.example\\@",
        "[::1]",
        "https://evil.example",
        "evil.example:0",
        "..",
    ] {
        let key = key();
        let fields = [("TOKEN", key.as_str()), ("SERVER", value)];
        let lent = Lent::of("custom", "databricks", &fields, &["SERVER"]).await;

        let refused = lent.goes().await.expect_err(value);

        assert_eq!(refused.code, Code::InvalidInput, "{value}");
        assert!(!refused.to_json().to_string().contains("evil"), "{value}");
        assert!(!lent.w.log().await.iter().any(|line| line.starts_with("use ")), "{value}");
    }
    // Below the vendor's own domain nothing but a label of it can be said.
    for value in ["evil.example/", "acme.evil.example#", "x@y", "a b"] {
        let key = key();
        let fields = [("TOKEN", key.as_str()), ("SUBDOMAIN", value), ("EMAIL", "mia@acme.example")];
        let lent = Lent::of("custom", "zendesk", &fields, &["SUBDOMAIN", "EMAIL"]).await;
        assert_eq!(lent.goes().await.expect_err(value).code, Code::InvalidInput, "{value}");
    }
}

#[tokio::test]
async fn what_is_secret_or_missing_names_no_host_and_the_error_says_what_to_do() {
    let (first, second) = (key(), "acme.cloud.databricks.com");
    let secret = [("TOKEN", first.as_str()), ("SERVER", second)];
    let lent = Lent::of("custom", "databricks", &secret, &[]).await;
    assert!(lent.goes().await.expect_err("a secret says it").message().contains("kept as a secret"));
    for field in ["PLACE", "SERVERS"] {
        let fields = [("TOKEN", first.as_str()), (field, second)];
        let lent = Lent::of("custom", "databricks", &fields, &[field]).await;
        let e = lent.goes().await.expect_err("nothing says where");
        assert!(e.code == Code::InvalidInput && e.next_step().contains("(SERVER)"), "{e:?}");
        assert!(e.message().contains("workspace_host"), "{e:?}");
    }
    let lent = Lent::of("api_key", "databricks", &[("value", &first)], &[]).await;
    assert_eq!(lent.goes().await.expect_err("a key alone").code, Code::InvalidInput);
}

#[tokio::test]
async fn a_field_that_says_where_and_is_a_secret_is_not_overlooked_for_the_manifests_default() {
    for field in ["SERVER", "GITLAB_SERVER"] {
        let key = key();
        let fields = [("TOKEN", key.as_str()), (field, "git.acme.example")];
        let lent = Lent::of("custom", "gitlab", &fields, &[]).await;

        let e = lent.goes().await.expect_err("not to gitlab.com");

        assert!(e.code == Code::InvalidInput && e.message().contains(field), "{e:?}");
        assert!(!e.to_json().to_string().contains("git.acme"));
    }
}

#[tokio::test]
async fn c_21_a_key_in_the_field_of_the_host_is_no_host_and_is_not_repeated() {
    for key in ["aB3dE5gH7jK9mN1pQ3sT5vW7", "0123456789abcdef0123456789abcdef", "glpat-aB3dE5gH7jK9mN1pQ3sT"]
    {
        let fields = [("TOKEN", "git.acme.example"), ("SERVER", key)];
        let lent = Lent::of("custom", "gitlab", &fields, &["SERVER"]).await;

        let e = lent.goes().await.expect_err("a value");

        assert!(!e.to_json().to_string().to_lowercase().contains(&key[..10].to_lowercase()), "{e:?}");
        assert!(!lent.w.log().await.iter().any(|line| line.starts_with("use ok")));
    }
}

#[tokio::test]
async fn c_30_a_plain_field_is_no_key_though_it_is_called_so() {
    let (shown, hidden) = (key(), key());
    let fields = [("TOKEN", shown.as_str()), ("NOTE", hidden.as_str())];
    let lent = Lent::of("custom", "gitlab", &fields, &["TOKEN"]).await;

    let added = lent.added().await;

    assert!(!added.iter().any(|(name, _, _)| name == "token"), "neither is sent");
}

#[tokio::test]
async fn who_says_anew_where_a_secret_is_sent_enters_it_again() {
    let key = key();
    let fields = [("TOKEN", key.as_str()), ("SERVER", "acme.example"), ("EMAIL", "mia@acme.example")];
    let lent = Lent::of("custom", "databricks", &fields, &["SERVER", "EMAIL"]).await;
    let enter = async |values: &[(&str, &str)]| {
        let copied =
            |(name, value): &(&str, &str)| ((*name).to_owned(), SecretBytes::copied(value.as_bytes()));
        let values = values.iter().map(copied).collect();
        let (caller, target) = (lent.w.person("mia"), Target::Existing("KEY".into()));
        enter_value(&lent.w.app, &caller, target, values, String::new()).await
    };

    for moved in
        [vec![("SERVER", "evil.example")], vec![("SERVER", "evil.example"), ("EMAIL", "x@y.example")]]
    {
        let e = enter(&moved).await.expect_err("the key would go there");
        assert!(e.code == Code::InvalidInput && e.message().contains("SERVER"), "{e:?}");
        assert_eq!(lent.goes().await.expect("as before"), "https://acme.example/");
    }
    // What does not say where, the same place again, and the key by itself.
    for kept in
        [vec![("EMAIL", "bob@acme.example")], vec![("SERVER", "acme.example")], vec![("TOKEN", &*key)]]
    {
        enter(&kept).await.expect("nothing is moved");
    }
    enter(&[("SERVER", "new.example"), ("TOKEN", &key)]).await.expect("by who has it");
    assert_eq!(lent.goes().await.expect("it goes"), "https://new.example/");
}

#[test]
fn a_field_that_is_part_of_a_host_is_known_by_its_service_and_by_all_where_that_is_none() {
    let catalogue = crate::services::Catalogue::embedded();
    for (service, field, is_one) in [
        ("datadog", "SITE", true),
        ("", "SITE", true),
        ("", "MY_SITE", true),
        ("no-such-service", "SUBDOMAIN", true),
        ("zendesk", "SUBDOMAIN", true),
        ("stripe", "SITE", false),
        ("", "EMAIL", false),
        ("smtp", "PORT", true),
        ("stripe", "PORT", false),
        ("stripe", "API_URL", true),
    ] {
        assert_eq!(says_where(catalogue, service, field), is_one, "{service} {field}");
    }
}

#[tokio::test]
async fn a_value_that_comes_after_it_was_asked_where_it_goes_is_not_sent_to_the_default() {
    let key = key();
    let fields = [("TOKEN", key.as_str()), ("SERVER", "git.acme.example")];
    let lent = Lent::of("custom", "gitlab", &fields, &["SERVER"]).await;
    let (caller, meant) = lent.meant().await;
    let gone = |tx: &mut crate::store::Writer<'_>, c: &crate::model::credential::Credential| {
        let mut c = tx.find_credential(&c.org_id, &c.id)?.expect("there");
        let had = c.current_version.take();
        tx.save(&mut c)?;
        Ok::<_, Error>(had)
    };
    let c = meant.credential.clone();
    let store = &lent.w.app.store;
    let had = store
        .write(&lent.w.person("mia"), move |tx| {
            let had = gone(tx, &c)?;
            tx.record_step(Event::of("test"), had)
        })
        .await
        .expect("as before its first value");
    let stated = stated(&lent.w.app, &caller, &meant, &["host"]).await.expect("nothing is stated");
    assert!(stated.params.is_empty());
    let c = meant.credential.clone();
    store
        .write(&lent.w.person("mia"), move |tx| {
            let mut c = tx.find_credential(&c.org_id, &c.id)?.expect("there");
            c.current_version = had;
            tx.save(&mut c)?;
            tx.record_step(Event::of("test"), ())
        })
        .await
        .expect("the value comes");

    let opened =
        open_for_request(&lent.w.app, &caller, &meant, &stated, "GET /".into(), "gitlab.com".into()).await;

    assert_eq!(opened.err().map(|e| e.code), Some(Code::Changed));
}

#[tokio::test]
async fn a_value_goes_only_where_its_own_version_says() {
    let (old, new) = (key(), key());
    let fields = [("TOKEN", old.as_str()), ("SERVER", "old.example")];
    let lent = Lent::of("custom", "databricks", &fields, &["SERVER"]).await;
    let (caller, meant) = lent.meant().await;
    let to = destination(&lent.w.app, &caller, &meant).await.expect("it goes");

    lent.enter(&[&new, "new.example"]).await;
    let opened =
        open_for_request(&lent.w.app, &caller, &meant, &to.stated, "GET /".into(), "old.example".into())
            .await;

    assert_eq!(opened.err().map(|e| e.code), Some(Code::Changed));
    assert_eq!(lent.goes().await.expect("it goes"), "https://new.example/");
    let log = lent.w.log().await;
    assert!(log.contains(&"use refused changed_meanwhile".to_owned()), "{log:?}");
}

#[tokio::test]
async fn a_user_name_and_a_password_go_where_the_service_wants_them() {
    let (password, user) = (key(), ["AC", &"0123456789abcdef".repeat(2)].concat());
    for (service, name, user) in [
        ("twilio", "account_sid", user.as_str()),
        ("bitbucket", "email", "mia@acme.example"),
        ("mixpanel", "service_account", "acme.a1b2c3.mp-service-account"),
    ] {
        let fields = [("username", user), ("password", password.as_str())];
        let lent = Lent::of("basic", service, &fields, &[]).await;

        let mut added = lent.added().await;
        added.sort();

        let mut expected = [one(name, user, false), one("token", &password, true)];
        expected.sort();
        assert_eq!(added, expected, "{service}");
    }
}

#[tokio::test]
async fn a_user_name_that_is_a_key_by_its_shape_is_looked_for() {
    let user = ["ghp_", &"a1B2c3D4e5F6g7H8i9".repeat(2)].concat();
    let password = key();
    let fields = [("username", user.as_str()), ("password", password.as_str())];
    let lent = Lent::of("basic", "bitbucket", &fields, &[]).await;

    assert!(lent.added().await.contains(&one("email", &user, true)));
    // Nor is what the service itself calls a key, or what nobody would call a name.
    for (service, name, user) in [
        ("amplitude", "api_key", "plainword"),
        ("bitbucket", "email", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("mixpanel", "service_account", "aB3dE5gH7jK9mN1pQ3sT5vW7xY9z"),
    ] {
        let fields = [("username", user), ("password", password.as_str())];
        let lent = Lent::of("basic", service, &fields, &[]).await;
        assert!(lent.added().await.contains(&one(name, user, true)), "{service}");
    }
}
