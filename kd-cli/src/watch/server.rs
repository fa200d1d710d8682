//! The server: one thread, on this machine alone.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use kd_core::{Error, Result};

use super::guard::refusal;
use super::pages::{Answer, Watched};
use super::route::{Route, since};

/// Headers of every answer: nothing is kept, guessed, framed or handed to pages of others.
const HEADERS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

#[derive(Clone)]
struct Served {
    port: u16,
    watched: Arc<Mutex<Watched>>,
}

/// Serves what is watched until the process ends.
///
/// # Errors
///
/// [`Error::Io`] if the system does not let it.
pub(crate) fn serve(listener: TcpListener, port: u16, watched: Watched) -> Result<()> {
    let failed = || Error::io("serve at", Path::new("127.0.0.1"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed())?;
    listener.set_nonblocking(true).map_err(failed())?;
    let watched = Arc::new(Mutex::new(watched));
    let router = Router::new()
        .fallback(answer)
        .with_state(Served { port, watched });
    runtime
        .block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        })
        .map_err(failed())
}

async fn answer(
    State(served): State<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    if let Some((status, why)) = refusal(&method, &uri, &headers, served.port) {
        return respond(status, "text/plain", why.into());
    }
    let Some(route) = Route::of(uri.path()) else {
        return respond(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is no such page".into(),
        );
    };
    let mut watched = served
        .watched
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match watched.answer(&route, since(uri.query())) {
        Answer::Html(html) => respond(StatusCode::OK, "text/html", html.into()),
        Answer::File(bytes) => respond(StatusCode::OK, "text/html", bytes.into()),
        Answer::Same => respond(StatusCode::NO_CONTENT, "text/plain", Body::empty()),
        Answer::Nothing => respond(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is no such page".into(),
        ),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let kind = match kind {
        "text/html" => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}
