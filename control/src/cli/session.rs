//! A command's talk with the daemon.

use std::{future::Future, path::Path};

use tonic::transport::Channel;

use super::failure::Failure;
use crate::client::connect;

/// Connects to the daemon and lets `talk` talk to it.
pub(super) fn session<T, F>(socket: &Path, talk: impl FnOnce(Channel) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { talk(connect(socket).await?).await })
}
