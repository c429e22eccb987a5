//! Lists and watches a cluster, as the API server wants it done: pages, watches that go on from a
//! version, a list anew where that version is gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use portolan_model::Nanos;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::{Input, Object, Resource};

/// A cluster to follow, and how.
#[derive(Clone)]
pub struct Target {
    /// Its API server.
    pub client: Client,
    /// Objects of a page.
    pub page: u32,
    /// How long a watch lasts before it is begun anew: a connection that died without a word is
    /// found out this soon.
    pub watch: Duration,
    /// First pause after a failure; it doubles, up to [`LAST_RETRY`].
    pub retry: Duration,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client may hold secrets.
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

/// What following a cluster gives.
#[derive(Debug)]
pub enum Followed {
    /// Something was seen.
    Input(Input),
    /// The API server does not answer as it should; none when it does again.
    Trouble(Resource, Option<FollowError>),
}

/// What the API server, or the way to it, says.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Listing failed.
    #[error("list")]
    List(#[source] kube::Error),
    /// The watch failed.
    #[error("watch")]
    Watch(#[source] kube::Error),
    /// The watch was ended by the server, with a reason.
    #[error("watch: {0}")]
    Ended(String),
    /// Nothing came, not even the end.
    #[error("watch: nothing came for {} s", .0.as_secs())]
    Silent(Duration),
}

/// Longest pause between two tries.
pub const LAST_RETRY: Duration = Duration::from_secs(30);
/// How much later than it should an end may come.
const GRACE: Duration = Duration::from_secs(15);
/// The version that a watch wanted to go on from is gone.
const GONE: u16 = 410;

/// How a watch ended.
enum Ended {
    /// In order: it goes on from its version.
    InOrder,
    /// Its version is gone: all is to be listed.
    Gone,
    /// Nobody wants to hear of it any more.
    Unheard,
    /// It broke: it may go on.
    Broken(FollowError),
}

/// An object that can be watched.
trait Watched: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug {
    const RESOURCE: Resource;
    fn object(self) -> Object;
}

macro_rules! watched {
    ($type:ident, $resource:ident, $object:ident) => {
        impl Watched for $type {
            const RESOURCE: Resource = Resource::$resource;
            fn object(self) -> Object {
                Object::$object(Box::new(self))
            }
        }
    };
}

watched!(Pod, Pods, Pod);
watched!(Service, Services, Service);
watched!(EndpointSlice, Slices, Slice);
watched!(Node, Nodes, Node);

/// Follows all resources until nobody hears of it any more.
pub async fn follow(target: Target, to: mpsc::Sender<Followed>) {
    tokio::join!(
        Follower::<Pod>::new(&target, &to).run(),
        Follower::<Service>::new(&target, &to).run(),
        Follower::<EndpointSlice>::new(&target, &to).run(),
        Follower::<Node>::new(&target, &to).run(),
    );
}

struct Follower<'a, K> {
    api: Api<K>,
    target: &'a Target,
    to: &'a mpsc::Sender<Followed>,
    pause: Duration,
}

// === impl Follower ===

impl<'a, K: Watched> Follower<'a, K> {
    fn new(target: &'a Target, to: &'a mpsc::Sender<Followed>) -> Self {
        Self { api: Api::all(target.client.clone()), target, to, pause: target.retry }
    }

    async fn run(mut self) {
        while !self.to.is_closed() {
            let version = match self.list().await {
                Ok(version) => version,
                Err(error) => {
                    self.trouble(FollowError::List(error)).await;
                    continue;
                }
            };
            self.watch_on(version).await;
        }
    }

    /// Lists all pages and tells of them. A list that broke, or whose next page is gone, is begun
    /// anew by the caller: half a list would end owners that are there.
    async fn list(&mut self) -> Result<String, kube::Error> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(self.target.page);
        loop {
            let page = self.api.list(&params).await?;
            objects.extend(page.items.into_iter().map(K::object));
            if let Some(next) = page.metadata.continue_.filter(|next| !next.is_empty()) {
                params = params.continue_token(&next);
                continue;
            }
            let version = page.metadata.resource_version.unwrap_or_default();
            self.calm().await;
            let resource = K::RESOURCE;
            self.tell(Input::Listed { resource, objects, at: now() }).await;
            return Ok(version);
        }
    }

    /// Watches from `version` on, until all has to be listed again.
    async fn watch_on(&mut self, mut version: String) {
        loop {
            let begun = std::time::Instant::now();
            match self.watch(&mut version).await {
                Ended::InOrder => {
                    // A server that ends every watch at once must not be asked all the time.
                    if begun.elapsed() < self.target.retry {
                        sleep(self.target.retry).await;
                    }
                }
                Ended::Gone => {
                    tracing::info!(resource = ?K::RESOURCE, "the watch lost its place: listing anew");
                    return;
                }
                Ended::Unheard => return,
                Ended::Broken(error) => self.trouble(error).await,
            }
            if self.to.is_closed() {
                return;
            }
        }
    }

    /// One watch, to its end.
    async fn watch(&mut self, version: &mut String) -> Ended {
        let lasts = self.target.watch;
        let params = WatchParams::default().timeout(lasts.as_secs().max(1) as u32);
        let events = match self.api.watch(&params, version).await {
            Ok(events) => events,
            Err(kube::Error::Api(status)) if status.code == GONE => return Ended::Gone,
            Err(error) => return Ended::Broken(FollowError::Watch(error)),
        };
        let mut events = std::pin::pin!(events);
        let resource = K::RESOURCE;
        if !self.tell(Input::Connected { resource, at: now() }).await {
            return Ended::Unheard;
        }
        self.calm().await;
        let silent = lasts + GRACE;
        loop {
            let event = match timeout(silent, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Ended::Broken(FollowError::Watch(error)),
                Ok(None) => return Ended::InOrder,
                Err(_) => return Ended::Broken(FollowError::Silent(silent)),
            };
            let at = now();
            let input = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    *version = object.resource_version().unwrap_or_default();
                    Input::Applied { object: object.object(), at }
                }
                WatchEvent::Deleted(object) => {
                    *version = object.resource_version().unwrap_or_default();
                    Input::Deleted { object: object.object(), at }
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    Input::Current { resource, at }
                }
                WatchEvent::Error(status) if status.code == GONE => return Ended::Gone,
                WatchEvent::Error(status) => {
                    return Ended::Broken(FollowError::Ended(status.message));
                }
            };
            if !self.tell(input).await {
                return Ended::Unheard;
            }
        }
    }

    async fn tell(&self, input: Input) -> bool {
        self.to.send(Followed::Input(input)).await.is_ok()
    }

    /// Says what is wrong, and waits before the next try.
    async fn trouble(&mut self, error: FollowError) {
        let told = self.to.send(Followed::Trouble(K::RESOURCE, Some(error))).await;
        if told.is_ok() {
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LAST_RETRY);
        }
    }

    /// It works again.
    async fn calm(&mut self) {
        if self.pause > self.target.retry {
            self.pause = self.target.retry;
            // Nobody hears of it: then nobody minds.
            let _ = self.to.send(Followed::Trouble(K::RESOURCE, None)).await;
        }
    }
}

fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Nanos
}
