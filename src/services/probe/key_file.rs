//! A private key of SSH: whether it can be read at all. No server is asked, for its host key would have to be known.
use super::Why;
use super::subject::Subject;
use crate::model::probe::{Probed, Verdict};
use ssh_key::PrivateKey;

pub(super) fn look(subject: &Subject) -> Result<Probed, Why> {
    let text = subject.key().ok_or("its value is no text")?;
    let text = text.trim_start();
    if !text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return match text.starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
            true => {
                Err("keys of the older PEM kinds are not read here; `ssh-keygen -p -f FILE` rewrites one"
                    .into())
            }
            false => Ok(Probed::of(Verdict::Refused, "It is no private key of SSH.")),
        };
    }
    Ok(match PrivateKey::from_openssh(text.as_bytes()) {
        Ok(key) if key.is_encrypted() => Probed::of(
            Verdict::Limited,
            "It is a private key of SSH that a passphrase locks: programs that use it will ask. No server was asked.",
        ),
        Ok(key) => Probed::of(
            Verdict::Valid,
            format!("It is a whole private key of SSH ({}). No server was asked.", key.algorithm().as_str()),
        ),
        // A kind that is not known here says nothing against the key.
        Err(ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. }) => {
            return Err("it is a key of a kind that is not read here".into());
        }
        Err(_) => Probed::of(
            Verdict::Refused,
            "It looks like a private key of SSH and cannot be read: a part is missing or damaged.",
        ),
    })
}
