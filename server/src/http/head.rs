//! What the head of a request has to be like: not too large, and meant for one host.

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};

use super::error::ApiError;

/// The longest head, in bytes of names, values and address. A token is the longest that a client needs to send.
const MAX_HEAD: usize = 64 << 10;

/// The most bytes of a head that are read at all, so that what is over [`MAX_HEAD`] is refused as everything else is.
/// What is over this, the connection refuses with a bare status.
pub(super) const READ_HEAD: usize = 1280 << 10;

/// Refuses a head that is too large, or that does not name its host as HTTP/1.1 demands: what stands between a client
/// and us may have understood another one.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers().iter();
    let length: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
    let address = request
        .uri()
        .path_and_query()
        .map_or(0, |address| address.as_str().len());
    if length + address > MAX_HEAD {
        let detail = format!(
            "The request's headers and address are longer than {} KiB",
            MAX_HEAD >> 10
        );
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, "headers_too_large", detail));
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let detail = "The request must have one header `Host`";
        return Err(ApiError::bad_request("malformed_request", detail));
    }
    Ok(())
}
