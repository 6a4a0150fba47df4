//! An assertion signed with a service account's key (RFC 7523), as a key file of JSON holds it.
use super::Why;
use crate::clock::Millis;
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

/// How long it is good for, seconds.
const LIFE_S: i64 = 300;

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

/// The assertion that the key in `file` signs for `audience` at `now`.
pub(super) fn signed(
    file: &str,
    algorithm: &str,
    audience: &str,
    scope: &str,
    now: Millis,
) -> Result<Zeroizing<String>, Why> {
    if algorithm != "RS256" {
        return Err("it asks for a signature of a kind that is not supported".into());
    }
    let file: KeyFile = serde_json::from_str(file).map_err(|_| "its file is no key of a service account")?;
    let at = now.0.div_euclid(1000);
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": file.private_key_id });
    let claims = json!({
        "iss": file.client_email, "scope": scope, "aud": audience, "iat": at, "exp": at + LIFE_S,
    });
    let encoded = |part: &serde_json::Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let message = format!("{}.{}", encoded(&header), encoded(&claims));
    let unreadable = "the private key in its file cannot be read";
    let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| unreadable)?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unreadable)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| "an assertion could not be signed")?;
    Ok(Zeroizing::new(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))))
}
