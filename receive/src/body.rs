//! The body of a request over HTTP: what it says it is, and it without its compression.

use std::io::Read as _;

use axum::body::Bytes;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use flate2::read::MultiGzDecoder;

/// Its media type, without parameters; empty if it says none.
pub(crate) fn kind(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// The body without its compression, never longer than allowed.
pub(crate) fn plain(
    headers: &HeaderMap,
    body: Bytes,
    most: usize,
) -> Result<Bytes, (StatusCode, String)> {
    let coding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match coding {
        None | Some(b"" | b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&*body).take(most as u64 + 1).read_to_end(&mut plain);
            match read {
                Ok(_) if plain.len() <= most => Ok(plain.into()),
                Ok(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("more than {most} bytes"))),
                Err(error) => Err((StatusCode::BAD_REQUEST, format!("not gzip: {error}"))),
            }
        }
        Some(_) => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is taken".to_owned())),
    }
}
