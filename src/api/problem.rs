//! Refusals as RFC 9457 problem documents.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use super::Refused;
use crate::store::StoreError;

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    document: ProblemView,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        let document = ProblemView {
            title,
            status: status.as_u16(),
            detail: detail.into(),
            problems: Vec::new(),
        };
        Self { status, document }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "send the token: `Authorization: Bearer …`")
    }
}

impl From<StoreError> for Problem {
    fn from(fault: StoreError) -> Self {
        error!(%fault, "a request met a failure of the store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the store failed; the log says how")
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(detail) => Self::not_found(detail),
            Refused::Incomplete(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            Refused::Conflict(detail) => Self::new(StatusCode::CONFLICT, detail),
            Refused::Failed(detail) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            Refused::Invalid(problems) => {
                let detail = "nothing was changed";
                let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
                problem.document.problems = problems;
                problem
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.document)).into_response();
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Any other path.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

/// A path that is there, asked in another way.
pub(super) async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
