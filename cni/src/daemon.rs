//! Asks the daemon, with a deadline. Changes nothing there.

use std::path::Path;
use std::time::Duration;

use ringlay_control::client;
use ringlay_control::proto::network_service_client::NetworkServiceClient;
use ringlay_control::proto::{GetNetworkRequest, NetworkKey};
use tonic::Code;

use crate::error::CniError;

/// Runtimes ask for the status every few seconds: later than this no answer is of use.
const DEADLINE: Duration = Duration::from_secs(2);

/// Finds out whether the daemon at `socket` answers and has `network`.
///
/// # Errors
/// [`CniError::Unavailable`] if not, saying which of the two it is.
pub(crate) fn find_network(socket: &Path, network: &str) -> Result<(), CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CniError::Io {
            what: "start the client",
            source,
        })?;
    let in_time = async { tokio::time::timeout(DEADLINE, ask(socket, network)).await };
    runtime.block_on(in_time).unwrap_or_else(|_| {
        let seconds = DEADLINE.as_secs();
        let socket = socket.display();
        Err(unavailable(format!(
            "the daemon at {socket} did not answer within {seconds} s"
        )))
    })
}

async fn ask(socket: &Path, network: &str) -> Result<(), CniError> {
    let channel = client::connect(socket)
        .await
        .map_err(|error| unavailable(error.to_string()))?;
    let key = Some(NetworkKey {
        name: network.to_owned(),
    });
    let reply = NetworkServiceClient::new(channel)
        .get_network(GetNetworkRequest { key })
        .await;
    let Err(status) = reply else {
        return Ok(());
    };
    let socket = socket.display();
    Err(unavailable(if status.code() == Code::NotFound {
        format!("the daemon at {socket} has no network `{network}`")
    } else {
        format!("the daemon at {socket} refused: {}", status.message())
    }))
}

fn unavailable(reason: String) -> CniError {
    CniError::Unavailable { reason }
}
