//! A wire that can go dead: bytes pass until it does, and then nobody is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// A proxy before a server. Dropping it breaks its connections off.
pub struct Wire {
    pub origin: String,
    dead: CancellationToken,
    task: JoinHandle<()>,
}

impl Wire {
    /// Before the server at `origin`.
    pub async fn before(origin: &str) -> Self {
        let server: SocketAddr = origin.trim_start_matches("http://").parse().expect("an address");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let dead = CancellationToken::new();
        let task = tokio::spawn(accept(listener, server, dead.clone()));
        Self { origin, dead, task }
    }

    /// From now on nothing passes in either direction; both ends stay open.
    pub fn dies(&self) {
        self.dead.cancel();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, dead: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = TcpStream::connect(server).await else { continue };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        connections.spawn(pump(near_in, far_out, dead.clone()));
        connections.spawn(pump(far_in, near_out, dead.clone()));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, dead: CancellationToken) {
    let mut bytes = [0; 4096];
    loop {
        tokio::select! {
            biased;
            () = dead.cancelled() => std::future::pending::<()>().await,
            read = from.read(&mut bytes) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    if to.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}
