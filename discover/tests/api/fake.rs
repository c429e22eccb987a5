//! An API server that speaks list and watch as Kubernetes does, and does wrong what it is told to:
//! pages that expire, connections that break, versions that are gone.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// See the module.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Moves when anything happened.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<(String, String), Value>,
    /// Resource, version, event.
    events: Vec<(String, u64, Value)>,
    /// Watches from before this are told that it is gone.
    oldest: u64,
    /// Connections begun before this are cut.
    cut: u64,
    connection: u64,
    pages_expire: u32,
    refuse: bool,
    lists: u64,
    watches: u64,
}

type Params = Query<HashMap<String, String>>;

impl Fake {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Shared { inner: Mutex::default(), changed: watch::Sender::new(0) });
        state.inner.lock().unwrap().version = 100;
        let app = axum::Router::new()
            .route("/api/v1/{resource}", get(serve))
            .route("/apis/discovery.k8s.io/v1/{resource}", get(serve))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, state }
    }

    fn act<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let done = act(&mut self.inner());
        self.state.changed.send_modify(|n| *n += 1);
        done
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.inner.lock().unwrap()
    }

    /// Makes or changes an object.
    pub(crate) fn put(&self, resource: &str, uid: &str, mut object: Value) {
        self.act(|inner| {
            inner.version += 1;
            object["metadata"]["uid"] = json!(uid);
            object["metadata"]["name"] = json!(uid);
            object["metadata"]["resourceVersion"] = json!(inner.version.to_string());
            let key = (resource.to_owned(), uid.to_owned());
            let kind = if inner.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            inner.objects.insert(key, object.clone());
            inner.log(resource, json!({ "type": kind, "object": object }));
        });
    }

    /// Deletes an object.
    pub(crate) fn remove(&self, resource: &str, uid: &str) {
        self.act(|inner| {
            inner.version += 1;
            let mut object = inner.objects.remove(&(resource.to_owned(), uid.to_owned())).unwrap();
            object["metadata"]["resourceVersion"] = json!(inner.version.to_string());
            inner.log(resource, json!({ "type": "DELETED", "object": object }));
        });
    }

    /// Cuts every connection in the middle of what it says.
    pub(crate) fn cut(&self) {
        self.act(|inner| inner.cut = inner.connection + 1);
    }

    /// Answers no request while set.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.act(|inner| inner.refuse = refuse);
    }

    /// Forgets the history: whoever is behind must list anew.
    pub(crate) fn compact(&self) {
        self.act(|inner| inner.oldest = inner.version);
    }

    /// The next pages are gone when they are asked for.
    pub(crate) fn expire_pages(&self, times: u32) {
        self.act(|inner| inner.pages_expire = times);
    }

    /// Lists and watches that were begun.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.lists, inner.watches)
    }
}

impl Inner {
    fn log(&mut self, resource: &str, event: Value) {
        self.events.push((resource.to_owned(), self.version, event));
    }
}

async fn serve(
    State(state): State<Arc<Shared>>,
    Path(resource): Path<String>,
    Query(params): Params,
) -> Response {
    if state.inner.lock().unwrap().refuse {
        return failed(503, "try later");
    }
    if params.contains_key("watch") {
        watch_from(state, resource, &params)
    } else {
        list(&state, &resource, &params)
    }
}

fn failed(code: u16, message: &str) -> Response {
    let status = status(code, message);
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

fn status(code: u16, message: &str) -> Value {
    let reason = if code == 410 { "Expired" } else { "ServiceUnavailable" };
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code })
}

fn list(state: &Shared, resource: &str, params: &HashMap<String, String>) -> Response {
    let mut inner = state.inner.lock().unwrap();
    inner.lists += 1;
    let limit: usize = params.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let from: usize = params.get("continue").map_or(0, |token| token.parse().unwrap());
    if from > 0 && inner.pages_expire > 0 {
        inner.pages_expire -= 1;
        return failed(410, "the provided continue parameter is too old");
    }
    let all = inner.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object);
    let items: Vec<_> = all.clone().skip(from).take(limit).cloned().collect();
    let end = from + items.len();
    let more = if end < all.count() { end.to_string() } else { String::new() };
    let metadata = json!({ "resourceVersion": inner.version.to_string(), "continue": more });
    Json(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
        .into_response()
}

fn watch_from(state: Arc<Shared>, resource: String, params: &HashMap<String, String>) -> Response {
    let from: u64 = params["resourceVersion"].parse().unwrap();
    let seconds: u64 = params["timeoutSeconds"].parse().unwrap();
    let connection = {
        let mut inner = state.inner.lock().unwrap();
        inner.watches += 1;
        inner.connection += 1;
        inner.connection
    };
    let (lines, body) = mpsc::channel::<Result<Bytes, io::Error>>(16);
    tokio::spawn(async move {
        let end = tokio::time::sleep(Duration::from_secs(seconds));
        tokio::pin!(end);
        let mut changed = state.changed.subscribe();
        let (mut at, mut begins) = (from, true);
        loop {
            let (new, is_gone, is_cut) = {
                let inner = state.inner.lock().unwrap();
                let new =
                    inner.events.iter().filter(|(of, version, _)| *of == resource && *version > at);
                let new: Vec<_> =
                    new.map(|(_, version, event)| (*version, event.clone())).collect();
                (new, begins && from < inner.oldest, connection < inner.cut)
            };
            if is_cut {
                // Half a line, and no end of the chunks.
                let _ = lines.send(Ok(Bytes::from_static(b"{\"type\": \"MODI"))).await;
                let _ = lines.send(Err(io::Error::other("cut"))).await;
                return;
            }
            if is_gone {
                let event =
                    json!({ "type": "ERROR", "object": status(410, "too old resource version") });
                let _ = lines.send(Ok(line(&event))).await;
                return;
            }
            begins = false;
            for (version, event) in new {
                at = version;
                // In two pieces: lines are not chunks.
                let line = line(&event);
                let half = line.len() / 2;
                let halves = [line.slice(..half), line.slice(half..)];
                for half in halves {
                    if lines.send(Ok(half)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                () = &mut end => break,
                _ = changed.changed() => {}
            }
        }
        let version = state.inner.lock().unwrap().version.to_string();
        let bookmark = json!({ "type": "BOOKMARK", "object": { "kind": "X", "apiVersion": "v1",
            "metadata": { "resourceVersion": version } } });
        let _ = lines.send(Ok(line(&bookmark))).await;
    });
    let stream = futures::stream::unfold(body, |mut body| async move {
        body.recv().await.map(|line| (line, body))
    });
    Response::new(Body::from_stream(stream))
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}
