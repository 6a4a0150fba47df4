//! A request signed as AWS wants it (Signature Version 4), for a request whose parameters stand in its address.
use super::Why;
use super::http::Request;
use crate::clock::Millis;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HeaderName};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// Adds the date and the signature by `(access key id, secret access key)`.
pub(super) fn sign(
    request: &mut Request,
    service: &str,
    region: &str,
    (id, secret): &(Zeroizing<String>, Zeroizing<String>),
    now: Millis,
) -> Result<(), Why> {
    let at = jiff::Timestamp::from_millisecond(now.0).map_err(|_| "the clock is out of range")?;
    let (day, moment) = (at.strftime("%Y%m%d").to_string(), at.strftime("%Y%m%dT%H%M%SZ").to_string());
    let host = request.url.host_str().ok_or("it names no host")?.to_owned();
    let mut pairs: Vec<_> =
        request.url.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()).collect();
    pairs.sort_unstable();
    let body = request.body.as_ref().map_or(&[][..], |(_, body)| body);
    let canonical = format!(
        "{}\n{}\n{}\nhost:{host}\nx-amz-date:{moment}\n\nhost;x-amz-date\n{}",
        request.method,
        request.url.path(),
        pairs.join("&"),
        HEXLOWER.encode(&Sha256::digest(body))
    );
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}",
        HEXLOWER.encode(&Sha256::digest(canonical.as_bytes()))
    );
    let start = Zeroizing::new(format!("AWS4{}", secret.as_str()).into_bytes());
    let mut key = start;
    for part in [day.as_str(), region, service, "aws4_request", &to_sign] {
        key = keyed(&key, part.as_bytes())?;
    }
    let signature = HEXLOWER.encode(&key);
    request.headers.push((DATE, Zeroizing::new(moment)));
    request.headers.push((
        AUTHORIZATION,
        Zeroizing::new(format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
            id.as_str()
        )),
    ));
    Ok(())
}

fn keyed(key: &[u8], text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Why> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| "it could not be signed")?;
    mac.update(text);
    Ok(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}
