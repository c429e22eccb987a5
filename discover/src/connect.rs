//! The way to an API server: a context of a kubeconfig, or the service account of the pod.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Target;

/// There is no way.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig does not read, or has no such context.
    #[error("kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is neither a kubeconfig nor a service account.
    #[error("no cluster is configured")]
    Infer(#[from] kube::config::InferConfigError),
    /// What is configured cannot be used.
    #[error("client")]
    Client(#[from] kube::Error),
}

/// An API server gives pages of 500 to its own clients, too.
const PAGE: u32 = 500;
/// Four watches begun twice a minute are nothing to an API server, and a connection that died is
/// found out in less than a minute.
const WATCH: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Answers to lists of large clusters take seconds.
const ANSWER: Duration = Duration::from_secs(60);

// === impl Target ===

impl Target {
    /// The cluster of a context, or the one that is current: that of `kubeconfig`, of `KUBECONFIG` or
    /// of the home directory; without any of these, the one that this process runs in.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, ConnectError> {
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..Default::default() };
        let mut config = match (kubeconfig, context) {
            (Some(file), _) => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await?,
            (None, None) => Config::infer().await?,
        };
        // Every failure is to be seen here: what was not watched is told of.
        config.default_retry = false;
        config.read_timeout = Some(ANSWER);
        let client = Client::try_from(config)?;
        Ok(Self { client, page: PAGE, watch: WATCH, retry: FIRST_RETRY })
    }
}
