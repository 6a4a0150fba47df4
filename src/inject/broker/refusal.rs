//! What the broker itself answers: why nothing was sent, or why nothing came.
use super::Answer;
use super::asked::Refused;
use super::way::Way;
use crate::error::{Code, Error, Kind};
use crate::services::upstream::Failed;
use http::{HeaderValue, Response, StatusCode, header};

pub(super) fn bad_gateway(why: String) -> Refused {
    Refused { status: Some(502), error: Error::new(Code::Unreachable, why) }
}

pub(super) fn unanswered(failed: Failed, way: &Way) -> Refused {
    let error = Error::new(Code::Unreachable, format!("{} gave no answer: {}", way.host(), failed.why));
    let (status, error) = if failed.is_forbidden {
        (502, error.next("An admin can allow it: `[outbound] allow = [\"host:port\"]` in unsaid.toml."))
    } else if failed.is_malformed {
        (502, error.next("Nothing of its answer was passed on. Check what the service's address is."))
    } else if failed.is_late {
        (504, error)
    } else {
        (502, error)
    };
    Refused { status: Some(status), error }
}

/// `{code, message, next}`.
pub(super) fn refusal(refused: Refused, is_head: bool) -> Response<Answer> {
    let Refused { status, error } = refused;
    let is_unknown = error.code == Code::TokenInvalid;
    let status = status.unwrap_or(if is_unknown { 401 } else { error.kind().http_status() });
    let text = if is_head { String::new() } else { error.to_json().to_string() };
    let mut response = Response::new(Answer::own(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_unknown {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"unsaid\""));
    }
    let told = error.details().iter().find(|(name, _)| *name == "retry_after");
    let told = told.and_then(|(_, seconds)| HeaderValue::from_str(seconds).ok());
    let passes = error.code == Code::TooManyRequests || (error.kind() == Kind::Unavailable && status == 503);
    if let Some(wait) = told.or(passes.then(|| HeaderValue::from_static("1"))) {
        headers.insert(header::RETRY_AFTER, wait);
    }
    response
}
