//! When a value ends, as it says itself: a JSON Web Token's `exp`, a certificate's `notAfter`. Nothing is verified: it is a
//! date to warn by, and no proof.
use crate::clock::Millis;
use crate::model::probe::EndSource;
use data_encoding::BASE64URL_NOPAD;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// The longest value that is looked into, bytes; what is longer is a file of another kind.
const MOST_BYTES: usize = 256 * 1024;

/// The earliest end that `value` tells of.
pub fn ending(value: &[u8]) -> Option<(Millis, EndSource)> {
    if value.len() > MOST_BYTES {
        return None;
    }
    // A certificate in DER may end with a byte that looks like a blank: it is taken as it is.
    of_token(value.trim_ascii())
        .map(|at| (at, EndSource::Jwt))
        .or_else(|| of_certificate(value).map(|at| (at, EndSource::Certificate)))
}

/// The `exp` of a signed token in its compact form (RFC 7519 §4.1.4).
fn of_token(value: &[u8]) -> Option<Millis> {
    let text = std::str::from_utf8(value).ok()?;
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let parts: Vec<_> = text.split('.').collect();
    let [header, claims, _] = parts[..] else { return None };
    let opened = |part: &str| -> Option<serde_json::Value> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(part.trim_end_matches('=').as_bytes()).ok()?);
        serde_json::from_slice(&bytes).ok()
    };
    opened(header)?.get("alg")?.as_str()?;
    let claims = opened(claims)?;
    let seconds = claims.get("exp")?.as_f64()?;
    // Past 5138 it is no date that anybody means.
    (seconds > 0.0 && seconds < 1e11).then_some(Millis((seconds * 1000.0) as i64))
}

/// The `notAfter` of the first to end of the certificates in a PEM or DER file (RFC 5280 §4.1.2.5).
fn of_certificate(value: &[u8]) -> Option<Millis> {
    if value.starts_with(&[0x30, 0x82]) {
        return not_after(value);
    }
    // A container of certificates written as text somewhere else, such as JSON, is not searched.
    static MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";
    if !value.windows(MARK.len()).any(|part| part == MARK) {
        return None;
    }
    CertificateDer::pem_slice_iter(value).filter_map(Result::ok).filter_map(|der| not_after(&der)).min()
}

fn not_after(der: &[u8]) -> Option<Millis> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(end.as_millis()).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(claims: &serde_json::Value) -> String {
        let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.{}", part(&json!({"alg": "HS256"})), part(claims), "x".repeat(43))
    }

    #[test]
    fn a_token_ends_when_it_says() {
        let ends = |claims: serde_json::Value| ending(token(&claims).as_bytes());

        assert_eq!(ends(json!({"exp": 1_800_000_000})), Some((Millis(1_800_000_000_000), EndSource::Jwt)));
        assert_eq!(ends(json!({"exp": 1_800_000_000.5})).map(|e| e.0), Some(Millis(1_800_000_000_500)));
        for none in [json!({}), json!({"exp": "soon"}), json!({"exp": -1}), json!({"exp": 1e300}), json!([1])]
        {
            assert_eq!(ends(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn what_only_looks_like_a_token_has_no_end() {
        for text in ["", "a.b.c", "x.y", "1.2.3.4", "..", "eyJhbGciOiJIUzI1NiJ9..", "\u{fffd}.a.b"] {
            assert_eq!(ending(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ending(&[0x30, 0x82, 0, 1, 2]), None);
        assert_eq!(ending(&vec![b'x'; MOST_BYTES + 1]), None);
    }

    fn certificate(year: i32) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        rcgen::CertifiedKey { cert: params.self_signed(&key).unwrap(), signing_key: key }
    }

    #[test]
    fn the_first_certificate_to_end_counts_and_the_key_beside_it_does_not_disturb() {
        let (near, far) = (certificate(2027), certificate(2049));
        let bundle = format!("{}{}{}", far.cert.pem(), near.signing_key.serialize_pem(), near.cert.pem());

        let new_year = Some((Millis(1_798_761_600_000), EndSource::Certificate));
        assert_eq!(ending(bundle.as_bytes()), new_year);
        assert_eq!(ending(near.cert.der()), new_year);
        assert!(ending(certificate(2060).cert.der()).is_some_and(|(at, _)| at.0 > 2_840_000_000_000));
        assert_eq!(ending(near.signing_key.serialize_pem().as_bytes()), None);
    }

    #[test]
    fn a_certificate_ends_when_it_says_whatever_byte_its_signature_ends_with() {
        for _ in 0..5_000 {
            let one = certificate(2027);
            if one.cert.der().last().is_some_and(u8::is_ascii_whitespace) {
                assert!(ending(one.cert.der()).is_some());
                return;
            }
        }
        unreachable!("one signature in fifty ends with such a byte");
    }
}
