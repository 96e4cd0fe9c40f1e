//! A load balancer that knows nothing: each connection goes to the next server that takes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Runs until it is dropped; connections that are open end with their server or client.
pub struct Balancer {
    /// Where it listens.
    pub origin: String,
    taken: Arc<Vec<AtomicUsize>>,
    _serving: AbortOnDropHandle<()>,
}

impl Balancer {
    /// Before these servers, which need not be there.
    pub async fn start(servers: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let taken: Arc<Vec<AtomicUsize>> = Arc::new(servers.iter().map(|_| 0.into()).collect());
        let counts = Arc::clone(&taken);
        let serving = tokio::spawn(async move {
            let mut next = 0;
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                next += 1;
                let (servers, counts, first) = (servers.clone(), Arc::clone(&counts), next);
                tokio::spawn(async move {
                    for n in 0..servers.len() {
                        let place = (first + n) % servers.len();
                        let Ok(mut server) = TcpStream::connect(servers[place]).await else {
                            continue;
                        };
                        counts[place].fetch_add(1, Ordering::Relaxed);
                        let _nagle = (client.set_nodelay(true), server.set_nodelay(true));
                        let _either_left = copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                });
            }
        });
        Self { origin, taken, _serving: AbortOnDropHandle::new(serving) }
    }

    /// How many connections each server took.
    pub fn taken(&self) -> Vec<usize> {
        self.taken.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}
