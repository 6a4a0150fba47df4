//! The files that other programs keep in a home folder, and YAML: what must arrive of each, and what is refused.
use crate::importing::damage;
use crate::support::imports::*;
use crate::support::world::World;
use unsaid::error::Code;
use unsaid::import::{Batch, Format, detect_format};
use unsaid::ops::import::OnClash;

/// What must be in the vault after each sample, field by field.
pub fn expected(sample: &str) -> Vec<Stored> {
    match sample {
        "k8s-secret.yaml" => {
            let fields = [("API_KEY", "k8s-synthetic"), ("PLAIN", "plain-synthetic")];
            vec![Stored::custom("API", &fields).described("api", &["namespace:rig"])]
        }
        "infisical.yaml" => {
            let pem = "-----BEGIN X-----\nabc\n-----END X-----";
            vec![Stored::key("API_KEY", "inf-synthetic"), Stored::key("PEM", pem)]
        }
        "files/aws-credentials" => {
            let first = [("access_key_id", "@KEYID1@"), ("secret_access_key", "@KEY1@")];
            let other =
                [("access_key_id", "@KEYID2@"), ("secret_access_key", "@KEY2@"), ("session_token", "tok")];
            vec![
                Stored::custom("AWS", &first).described("AWS", &[]).serving("aws"),
                Stored::custom("AWS_PROD", &other).described("AWS prod", &[]).serving("aws"),
            ]
        }
        "files/netrc" => vec![
            Stored::login("API_EXAMPLE_TEST", "alice", "netrc-synthetic").described("api.example.test", &[]),
            Stored::login("B_EXAMPLE_TEST", "bob", "two words").described("b.example.test", &[]),
            Stored::login("NETRC_DEFAULT", "anonymous", "a@b").described("netrc default", &[]),
        ],
        "files/npmrc" => {
            let about = "npm registry.example.test; registry.example.test";
            vec![Stored::key("NPM_REGISTRY_EXAMPLE_TEST", "npm_synthetic").described(about, &[])]
        }
        "files/gh-hosts.yml" => {
            let about = "GitHub token; user alice; github.com";
            vec![Stored::key("GITHUB_TOKEN", "gho_synthetic").described(about, &[]).serving("github")]
        }
        "files/docker-config.json" => {
            let about = "docker r.example.test; r.example.test";
            vec![Stored::login("DOCKER_R_EXAMPLE_TEST", "alice", "docker-synthetic").described(about, &[])]
        }
        "files/pgpass" => vec![
            Stored::login("PG_RIG", "alice", "pg:synth\\etic").described("PG rig; 127.0.0.1:5432/rig", &[]),
            Stored::login("PG", "bob", "x").described("PG; *:*/*", &[]),
        ],
        other => panic!("nothing is written down for {other}"),
    }
}

#[tokio::test]
async fn damaged_yaml_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.ends_with(".yaml") || name.ends_with(".yml")).await;
}

#[tokio::test]
async fn a_damaged_file_of_a_home_folder_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.starts_with("files/") && !name.contains(".json") && !name.ends_with(".yml")).await;
}

/// Name, account, and fields with their values, of all that a text becomes.
fn becomes(batch: &Batch) -> Vec<String> {
    let text =
        |value: &unsaid::secret::SecretBytes| value.expose(|b| String::from_utf8_lossy(b).into_owned());
    let fields = |i: &unsaid::import::Item| {
        i.fields.iter().map(|f| format!("{}={}", f.name, text(&f.value))).collect::<Vec<_>>().join(" ")
    };
    batch.items.iter().map(|i| format!("{} {}", i.label(), fields(i))).collect()
}

fn left(batch: &Batch) -> Vec<(String, bool)> {
    batch.left.iter().map(|l| (format!("{}: {}", l.at, l.why), l.is_trifle)).collect()
}

#[tokio::test]
async fn what_each_program_may_write_arrives() {
    let w = World::new().await;
    let read = |name: &str, text: &str| {
        let format = detect_format(name, text.as_bytes()).unwrap();
        read_sample(&w, name, format, text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {}", e.message()))
    };
    let secret = |name: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  annotations: {{x: y}}\n{rest}")
    };

    let documents = [
        secret("one", "data:\n  a.b: aGk=\n  bin: /wA=\n  none:\n  both: eA==\nstringData: {both: new}\n"),
        secret("login", "type: kubernetes.io/basic-auth\nstringData: {username: u, password: p}\n"),
        "apiVersion: v1\nkind: ConfigMap\ndata: {A: b}\n".to_owned(),
    ];
    let batch = read("-", &documents.join("---\n"));
    assert_eq!(
        becomes(&batch),
        ["ONE_BIN content=\u{FFFD}\0", "ONE a_b=hi both=new", "LOGIN username=u password=p"]
    );
    let told = left(&batch);
    assert!(
        told.iter().any(|(why, trifle)| why.contains("stringData has the same name") && !trifle),
        "{told:?}"
    );
    assert!(told.iter().any(|(why, trifle)| why.starts_with("entry 3") && !trifle), "{told:?}");

    let list = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"},"data":{"A":"YQ==","B":"Yg=="}}]}"#;
    assert_eq!(becomes(&read("-", list)), ["X A=a B=b"]);

    let batch = read("x.yaml", "A: 1\nB: no\nC:\nD: [x]\nE: ''\nF: true\nPATH: x\nDOPPLER_CONFIG: dev\n");
    assert_eq!(becomes(&batch), ["A value=1", "F value=true"]);
    assert_eq!(
        left(&batch).iter().map(|(_, trifle)| *trifle).collect::<Vec<_>>(),
        [false, false, false, true, false, true]
    );

    let text = "[default]\nregion = x\n[profile role]\nrole_arn = a\nodd = 1\n[half]\naws_access_key_id = A\n[k]\ns3 =\n  a = b\nAWS_ACCESS_KEY_ID=A\naws_secret_access_key=B=\n";
    let batch = read("credentials", text);
    assert_eq!(becomes(&batch), ["AWS_K access_key_id=A secret_access_key=B="]);
    assert_eq!(left(&batch).iter().filter(|(_, trifle)| !trifle).count(), 5, "{:?}", left(&batch));

    let text = "# told\nmachine m.test login a password \"q\\\"\\\\ #1\"\nmachine m.test login b password x#y account z # told\nmachine n.test\n  password only\nmachine o.test login a password b\\c\nmacdef init\nput x\npassword y\n\ndefault login d\n";
    let batch = read(".netrc", text);
    let logins = [
        "M_TEST (a) username=a password=q\"\\ #1",
        "M_TEST (b) username=b password=x#y account=z",
        "N_TEST value=only",
    ];
    assert_eq!(becomes(&batch), logins);
    assert_eq!(left(&batch).iter().filter(|(_, trifle)| !trifle).count(), 3, "{:?}", left(&batch));

    let text = "; told\n@s:registry=https://r.test/\n//registry.npmjs.org/:_authToken = \"t1\"\n//a.test:8080/x/:_password=cHc=\n//a.test:8080/x/:username=u\n//b.test/:_auth=dTpwOnE=\n//c.test/:_authToken=${NPM_TOKEN}\n//d.test/:_authToken=t;x\n//e.test/:keyfile=/k\n";
    let batch = read(".npmrc", text);
    let all = [
        "NPM_REGISTRY_NPMJS_ORG value=t1",
        "NPM_A_TEST_8080_X password=pw username=u",
        "NPM_B_TEST username=u password=p:q",
    ];
    assert_eq!(becomes(&batch), all);
    assert_eq!(batch.items[0].service, Some("npm"));
    let told = left(&batch);
    assert!(
        told.iter()
            .any(|(why, _)| why == "line 7: a reference to the environment: the value is not in the file")
    );
    assert_eq!(told.iter().filter(|(_, trifle)| !trifle).count(), 3, "{told:?}");

    let text = "github.com:\n    users:\n        a:\n            oauth_token: t1\n        b:\n            oauth_token: t2\n        c:\n    user: a\n    oauth_token: t1\nghe.example.test:\n    user: d\n";
    let batch = read("hosts.yml", text);
    assert_eq!(becomes(&batch), ["GITHUB_TOKEN (a) value=t1", "GITHUB_TOKEN (b) value=t2"]);
    assert!(left(&batch)[0].0.contains("keyring"));

    let text = r#"{"auths":{"https://index.docker.io/v1/":{},"a.test":{"auth":"","identitytoken":"i"},"b.test:5000":{"username":"u","password":"p"}},"credsStore":"desktop","credHelpers":{"c.test":"ecr-login"},"psFormat":"x","HttpHeaders":{"X":"y"}}"#;
    let batch = read("config.json", text);
    assert_eq!(becomes(&batch), ["DOCKER_A_TEST value=i", "DOCKER_B_TEST username=u password=p"]);
    assert_eq!(left(&batch).iter().filter(|(_, trifle)| !trifle).count(), 4, "{:?}", left(&batch));

    let batch = read(".pgpass", "# told\nh\\:1:5432:*:*:a\\\\b\nh:*:d:u:x\\y\nh:1:d:u:a:b\nh:1:d:u:\n");
    assert_eq!(becomes(&batch), ["PG_H_1 value=a\\b"]);
    assert_eq!(left(&batch).len(), 3, "{:?}", left(&batch));
}

#[tokio::test]
async fn what_no_program_writes_is_refused_with_its_place() {
    let w = World::new().await;
    let k8s = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{rest}");
    let cases: &[(Format, String, &str)] = &[
        (Format::Kubernetes, k8s("data: {A: hunter2!}\n"), "entry 1: a value of data is no base64"),
        (
            Format::Kubernetes,
            k8s("stringData: {A: 5}\n"),
            "entry 1: a value of data or stringData is not text",
        ),
        (Format::Kubernetes, k8s("stringData: {'a b': hunter22}\n"), "entry 1: a name in data"),
        (Format::Kubernetes, k8s("stringdata: {A: hunter22}\n"), "entry 1: there is more in it"),
        (Format::Kubernetes, k8s("data: hunter22\n"), "entry 1: data is not an object"),
        (Format::Kubernetes, k8s("data: {A: YQ==, A: Yg==}\n"), "line 4: a name stands twice"),
        (Format::Kubernetes, k8s("data: {A: !!binary YQ==}\n"), "line 4: a tag"),
        (
            Format::Kubernetes,
            "apiVersion: v1\nkind: Secret\ndata: {}\n".into(),
            "entry 1: there is no metadata.name",
        ),
        (Format::Kubernetes, k8s("").replace("v1", "v2"), "entry 1: a Secret of another version"),
        (Format::Kubernetes, "apiVersion: v1\nkind: List\nitems: [hunter22]\n".into(), "entry 1"),
        (Format::Kubernetes, "hunter22\n".into(), "entry 1: an object of Kubernetes is not an object"),
        (Format::Kubernetes, "A: hunter22\n".into(), "entry 1: there is no kind"),
        (Format::Yaml, "- hunter22\n".into(), "line 1: the file is not an object"),
        (Format::Yaml, "A: hunter22\n---\nB: x\n".into(), "more than one document"),
        (Format::Yaml, "A: x\nsops: {mac: hunter22}\n".into(), "encrypted by SOPS"),
        (Format::Yaml, "A: x\nA: hunter22\n".into(), "line 2: a name stands twice"),
        (Format::Yaml, "A: &a hunter22\nB: *a\n".into(), "line 1: an anchor"),
        (Format::AwsProfiles, "aws_access_key_id=hunter22\n".into(), "line 1: a setting before"),
        (
            Format::AwsProfiles,
            "[a]\naws_access_key_id=hunter22 #x\n".into(),
            "line 2: a part of an access key",
        ),
        (
            Format::AwsProfiles,
            "[a]\naws_access_key_id=\"hunter22\"\n".into(),
            "line 2: a part of an access key",
        ),
        (Format::AwsProfiles, "[a]\naws_access_key_id=\n".into(), "line 2: a part of an access key"),
        (
            Format::AwsProfiles,
            "[a]\naws_access_key_id=x\naws_access_key_id=hunter22\n".into(),
            "line 3: a name stands twice",
        ),
        (
            Format::AwsProfiles,
            "[a]\nregion=x\n[a]\nregion=hunter22\n".into(),
            "line 3: a profile stands twice",
        ),
        (Format::AwsProfiles, "[hunter22\n".into(), "line 1: a [ without"),
        (Format::AwsProfiles, "[a]\nhunter22\n".into(), "line 2: not of the form"),
        (
            Format::AwsProfiles,
            "[a]\nregion=x\n  hunter22\n".into(),
            "line 3: a line that begins with a space",
        ),
        (Format::AwsProfiles, "# hunter22\n".into(), "line 1: there is no [profile]"),
        (
            Format::Netrc,
            "machine a login b password \"hunter22\n".into(),
            "line 1: a quote that is not closed",
        ),
        (
            Format::Netrc,
            "machine a login b password \"hunter\"22\n".into(),
            "line 1: something stands right behind",
        ),
        (Format::Netrc, "machine a\nlogin password hunter22\n".into(), "line 2: a value is missing"),
        (Format::Netrc, "machine a login b\npassword\n".into(), "line 2: a value is missing"),
        (Format::Netrc, "machine a login b\npasword hunter22\n".into(), "line 2: a word that no netrc"),
        (Format::Netrc, "machine a login b \"password\" hunter22\n".into(), "line 1: a word that no netrc"),
        (Format::Netrc, "machine a password b\npassword hunter22\n".into(), "line 2: a machine has two"),
        (Format::Netrc, "login hunter22\n".into(), "line 1: a login or a password before"),
        (Format::Netrc, "# hunter22\n".into(), "line 1: there is no machine"),
        (Format::Npmrc, "//r.test/:_password=hunter22!\n".into(), "line 1: _password is not what npm writes"),
        (Format::Npmrc, "//r.test/:_auth=aHVudGVyMjI=\n".into(), "line 1: _auth is not what npm writes"),
        (Format::Npmrc, "//r.test/:_authTokn=hunter22\n".into(), "line 1: this is nothing that npm keeps"),
        (Format::Npmrc, "//:_authToken=hunter22\n".into(), "line 1: this is nothing that npm keeps"),
        (Format::Npmrc, "_authTokn=hunter22\n".into(), "line 1: this is nothing that npm keeps"),
        (Format::Npmrc, "//r.test/:_authToken hunter22\n".into(), "line 1: not of the form"),
        (Format::Npmrc, "a=b\na=hunter22\n".into(), "line 2: a setting stands twice"),
        (Format::Npmrc, "[hunter22=x]\n".into(), "line 1: this is no name"),
        (Format::Gh, "github.com: hunter22\n".into(), "entry 1: a host is not an object"),
        (Format::Gh, "'hunter22 x':\n  oauth_token: x\n".into(), "entry 1: this is no name of a host"),
        (Format::Gh, "github.com:\n  oauth_token: [hunter22]\n".into(), "entry 1: oauth_token is not text"),
        (Format::Gh, "github.com:\n  users: {a: {token: hunter22}}\n".into(), "entry 1: there is more in it"),
        (Format::Gh, "{}\n".into(), "line 1: there is no host"),
        (
            Format::DockerConfig,
            r#"{"auths":{"a.test":{"auth":"hunter22!"}}}"#.into(),
            "entry 1: auth is no base64",
        ),
        (
            Format::DockerConfig,
            r#"{"auths":{"a.test":{"auth":"aHVudGVyMjI="}}}"#.into(),
            "entry 1: auth is no base64",
        ),
        (
            Format::DockerConfig,
            r#"{"auths":{"a.test":{"token":"hunter22"}}}"#.into(),
            "entry 1: there is more in it",
        ),
        (Format::DockerConfig, r#"{"auths":["hunter22"]}"#.into(), "line 1: auths is not an object"),
        (Format::DockerConfig, r#"{"psFormat":"hunter22"}"#.into(), "line 1: there are no auths"),
        (Format::Pgpass, "h:1:d:hunter22\n".into(), "line 1: it has fewer than five parts"),
        (Format::Pgpass, "h:x:d:u:hunter22\n".into(), "line 1: it is not of the form"),
        (Format::Pgpass, "h:1:d::hunter22\n".into(), "line 1: it is not of the form"),
        (Format::Pgpass, "# hunter22\n".into(), "line 1: there is no line of the form"),
        (Format::Pgpass, format!("h:1:d:u:{}\n", "x".repeat(1 << 20)), "larger than 1 MiB"),
    ];
    for (format, text, says) in cases {
        let told = match read_sample(&w, "x", *format, text.as_bytes()) {
            Err(e) => format!("{} {}", e.message(), e.next_step()),
            Ok(_) => panic!("{}: {says}: it was read", format.word()),
        };

        assert!(told.contains(says) && !told.contains("hunter"), "{}: {says}: {told}", format.word());
    }
    assert_eq!(count(&w).await, 0);
}

#[test]
fn files_that_are_not_for_import_say_what_is() {
    let kdbx = [0x03, 0xD9, 0xA2, 0x9A, 0x67, 0xFB, 0x4B, 0xB5, 0, 0, 4, 0];
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("mcp.json", sample("mcp.json"), "unsaid mcp-config --wrap FILE"),
        ("vscode-mcp.json", sample("vscode-mcp.json"), "unsaid mcp-config --wrap FILE"),
        ("-", sample("mcp.json"), "unsaid mcp-config --wrap FILE"),
        ("settings.json", b"{\"context_servers\": {}}".to_vec(), "unsaid mcp-config --wrap FILE"),
        ("keepass.kdbx", kdbx.to_vec(), "as XML"),
        ("x.yaml", kdbx.to_vec(), "as XML"),
    ];
    for (name, bytes, says) in cases {
        let e = detect_format(name, bytes).unwrap_err();

        assert_eq!(e.code, Code::InvalidFile, "{name}");
        assert!(e.next_step().contains(says), "{name}: {}", e.next_step());
    }
}

#[tokio::test]
async fn an_encrypted_export_of_bitwarden_says_what_to_export_instead() {
    let w = World::new().await;
    let bytes = sample("bitwarden-encrypted-passwordprotected.json");
    let format = detect_format("x.json", &bytes).unwrap();

    let e = read_sample(&w, "x.json", format, &bytes).expect_err("it is refused");

    assert!(e.message().contains("encrypted") && e.next_step().contains("as .json"), "{}", e.next_step());
}

#[test]
fn what_only_resembles_such_a_file_is_still_a_file_of_variables() {
    for (name, text) in [
        ("x.env", "A=machine x login y\n"),
        ("x.env", "URL=//r.test/:_authToken\n"),
        ("x.env", "[default]\nA=x\n"),
        ("x.env", "# apiVersion: v1\nA=kind:\n"),
        ("x.env", "A=host:5432:db:user:pass\n"),
        ("x.env", "NPMRC='\n//r.test/:_authToken=x\n'\n"),
        ("x.env", "A='\napiVersion: v1\nkind: Secret\n[mcp_servers.x]\n'\n"),
    ] {
        let format = detect_format(name, text.as_bytes()).unwrap();

        assert!(matches!(format, Format::Variables(_)), "{text}: {}", format.word());
    }
    let header = "name,url,username,password,note\n";
    for note in [
        "//r.test/:_authToken=x\n",
        "apiVersion: v1\nkind: Secret\n",
        "[mcp_servers.x]\n",
        "machine a login b\n",
    ] {
        let text = format!("{header}A,x,u,p,\"n\n{note}\"\n");

        assert_eq!(detect_format("x.csv", text.as_bytes()).unwrap(), Format::Browser, "{note}");
    }
}

#[tokio::test]
async fn a_profile_that_is_there_already_gets_a_new_version_by_the_same_file() {
    let w = World::new().await;
    let bytes = sample("files/aws-credentials");
    let wanted = || planned(&w, "credentials", Format::AwsProfiles, &bytes);
    imported(&w, wanted().await.unwrap(), OnClash::Skip).await.unwrap();

    let done = imported(&w, wanted().await.unwrap(), OnClash::Replace).await.unwrap();

    assert!(done.len() == 2 && done.iter().all(|d| d.replaced));
    expect_same("again", &stored(&w).await, &expected("files/aws-credentials"));
}
