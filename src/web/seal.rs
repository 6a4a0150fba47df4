//! What the browser seals, opened here: HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
//! AES-256-GCM. The key lives as long as this process, and each seal is for one link.
//!
//! It keeps what proxies and buffers on the way hold from being plaintext. It does not help against a proxy that changes
//! the page itself.
use crate::error::{Code, Error, Result, internal, invalid};
use crate::secret::SecretBytes;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable};
use serde::Deserialize;
use zeroize::Zeroizing;

type P256 = DhP256HkdfSha256;

/// The length of the encapsulated key, an uncompressed point.
const POINT: usize = 65;

pub(super) struct SealKey {
    secret: <P256 as Kem>::PrivateKey,
    public: String,
}

/// What is inside a seal.
#[derive(Deserialize)]
struct Inside {
    fields: std::collections::BTreeMap<String, Zeroizing<String>>,
    file: Option<InsideFile>,
}

#[derive(Deserialize)]
struct InsideFile {
    name: String,
    content: Zeroizing<String>,
}

/// Fields and a file, as the form has them.
pub(super) struct Opened {
    pub fields: Vec<(String, SecretBytes)>,
    pub file: Option<(String, SecretBytes)>,
}

impl SealKey {
    pub fn new() -> Result<Self> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut seed[..]).map_err(|_| internal("the operating system gave no random bytes"))?;
        let (secret, public) = P256::derive_keypair(&seed[..]);
        Ok(Self { secret, public: data_encoding::BASE64URL_NOPAD.encode(&public.to_bytes()) })
    }

    /// The public key, as the page carries it.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// What a seal is for: a seal for one link does not open for another.
    pub fn info(link: &str) -> String {
        format!("unsaid entry 1 {link}")
    }

    /// Opens what the page of `link` sealed. Fails with `invalid_input` for anything else.
    pub fn open(&self, link: &str, sealed: &SecretBytes) -> Result<Opened> {
        let wrong = || {
            Error::new(Code::InvalidInput, "what the browser sealed cannot be opened here")
                .next("Open the page again and enter it once more: the server may have been restarted.")
        };
        let bytes = sealed.expose(|text| data_encoding::BASE64URL_NOPAD.decode(text)).map_err(|_| wrong())?;
        if bytes.len() <= POINT {
            return Err(wrong());
        }
        let (point, sealed) = bytes.split_at(POINT);
        let point = <P256 as Kem>::EncappedKey::from_bytes(point).map_err(|_| wrong())?;
        let info = Self::info(link);
        let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, P256>(
            &OpModeR::Base,
            &self.secret,
            &point,
            info.as_bytes(),
            sealed,
            b"",
        )
        .map_err(|_| wrong())?;
        let plain = Zeroizing::new(plain);
        let inside: Inside = serde_json::from_slice(&plain).map_err(|_| wrong())?;
        let file = match inside.file {
            None => None,
            Some(file) => {
                let content = data_encoding::BASE64.decode(file.content.as_bytes());
                let content = content.map_err(|_| invalid("the file did not arrive whole"))?;
                Some((file.name, SecretBytes::new(content)))
            }
        };
        let fields = inside
            .fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, SecretBytes::copied(value.as_bytes())))
            .collect();
        Ok(Opened { fields, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpke::OpModeS;

    fn seal(key: &SealKey, link: &str, plain: &[u8]) -> SecretBytes {
        let public = data_encoding::BASE64URL_NOPAD.decode(key.public().as_bytes()).unwrap();
        let public = <P256 as Kem>::PublicKey::from_bytes(&public).unwrap();
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).unwrap();
        let (point, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, P256>(
            &OpModeS::Base,
            &public,
            SealKey::info(link).as_bytes(),
            plain,
            b"",
        )
        .unwrap();
        let mut all = point.to_bytes().to_vec();
        all.extend(sealed);
        SecretBytes::new(data_encoding::BASE64URL_NOPAD.encode(&all).into_bytes())
    }

    #[test]
    fn w_09_a_seal_opens_for_its_link_under_its_key_and_nowhere_else() {
        let (key, other) = (SealKey::new().unwrap(), SealKey::new().unwrap());
        let plain = br#"{"fields":{"value":"a value","empty":""},"file":{"name":"k.pem","content":"AAEC"}}"#;
        let sealed = seal(&key, "link", plain);

        let opened = key.open("link", &sealed).ok().unwrap();

        assert!(opened.fields[0].1 == SecretBytes::copied(b"a value"));
        assert_eq!((opened.fields.len(), opened.fields[0].0.as_str()), (1, "value"));
        assert!(opened.file.unwrap().1 == SecretBytes::new(vec![0, 1, 2]));
        assert_eq!(key.open("another", &sealed).err().unwrap().code, Code::InvalidInput);
        assert_eq!(other.open("link", &sealed).err().unwrap().code, Code::InvalidInput);
    }

    #[test]
    fn what_is_no_seal_is_refused_and_not_repeated() {
        let key = SealKey::new().unwrap();
        let mut flipped = sealed_text(&key);
        let last = flipped.len() - 1;
        flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
        for wrong in [b"".to_vec(), b"!!".to_vec(), vec![b'A'; 87], vec![b'A'; 2000], flipped] {
            let refused = key.open("link", &SecretBytes::new(wrong)).err().unwrap();
            assert_eq!(refused.code, Code::InvalidInput);
        }
        let no_json = seal(&key, "link", b"not json at all");
        let refused = key.open("link", &no_json).err().unwrap();
        assert!(!refused.message().contains("json"));
    }

    fn sealed_text(key: &SealKey) -> Vec<u8> {
        seal(key, "link", b"{\"fields\":{},\"file\":null}").expose(<[u8]>::to_vec)
    }
}
