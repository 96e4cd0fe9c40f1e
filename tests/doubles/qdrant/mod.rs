//! A double of Qdrant on a loopback port: the real protocol, real semantics for what Baton uses, and faults on request.
//!
//! It runs on threads of its own, so that stopping it cuts every connection at once, as a killed server would; what it holds
//! survives, as on a disk. It is strict where the server is: missing collections, wrong lengths, writes that nobody waits for.

mod services;
mod store;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::qdrant_client::qdrant::{
    collections_server::CollectionsServer, points_server::PointsServer, qdrant_server::QdrantServer,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Response, Status};

pub use store::{Collection, Store};

/// What a call meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is refused with this code, so many times.
    Refuse(Code, usize),
    /// It is answered late.
    Slow(Duration),
    /// It waits at the door until the fault is taken away, then it is done.
    Hold,
    /// The first waits so, the others do not.
    HoldFirst,
}

#[derive(Default)]
struct Inside {
    store: Store,
    faults: HashMap<&'static str, Fault>,
    calls: HashMap<&'static str, usize>,
}

/// A running server; clones are the same one.
#[derive(Clone)]
pub struct Double {
    inside: Arc<Mutex<Inside>>,
    changed: Arc<watch::Sender<()>>,
    runtime: Arc<Mutex<Option<Runtime>>>,
    address: SocketAddr,
}

impl Double {
    /// Starts on a free port.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let double = Self {
            inside: Arc::default(),
            changed: Arc::new(watch::channel(()).0),
            runtime: Arc::default(),
            address: listener.local_addr().expect("has an address"),
        };
        double.serve(listener);
        double
    }

    /// The address for the configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection and takes no more.
    pub fn stop(&self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            // Not waited for: it may be called from an async test.
            runtime.shutdown_background();
        }
    }

    /// Takes connections again, on the same port, with what it held.
    pub fn start_again(&self) {
        let mut last = None;
        // The threads of the stopped server let go of the port in their own time.
        for _ in 0..1_000 {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => return self.serve(listener),
                Err(error) => last = Some(error),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the port {} is not free again: {last:?}", self.address);
    }

    fn serve(&self, listener: std::net::TcpListener) {
        listener.set_nonblocking(true).expect("can wait");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let this = self.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("listens");
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            tonic::transport::Server::builder()
                .add_service(PointsServer::new(this.clone()).max_decoding_message_size(64 << 20))
                .add_service(CollectionsServer::new(this.clone()))
                .add_service(QdrantServer::new(this))
                .serve_with_incoming(incoming)
                .await
        });
        *lock(&self.runtime) = Some(runtime);
    }

    /// Every call of a method meets this from now on.
    pub fn fault(&self, method: &'static str, fault: Fault) {
        self.inside().faults.insert(method, fault);
    }

    /// Calls of a method meet nothing any more; those held are let in.
    pub fn mend(&self, method: &'static str) {
        self.inside().faults.remove(method);
        self.changed.send_replace(());
    }

    /// Of the calls held, all but the first are let in.
    pub fn let_in_all_but_first(&self, method: &'static str) {
        self.fault(method, Fault::HoldFirst);
        self.changed.send_replace(());
    }

    /// How often a method was called.
    pub fn calls(&self, method: &'static str) -> usize {
        self.inside().calls.get(method).copied().unwrap_or(0)
    }

    /// Returns once a method was called at least so often.
    pub async fn called(&self, method: &'static str, times: usize) {
        let mut changes = self.changed.subscribe();
        while self.calls(method) < times {
            changes.changed().await.expect("the sender is ours");
        }
    }

    /// What it holds, to look at or to spoil.
    pub fn with_store<T>(&self, look: impl FnOnce(&mut Store) -> T) -> T {
        look(&mut self.inside().store)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    async fn call<T>(
        &self,
        method: &'static str,
        work: impl FnOnce(&mut Store) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let number = {
            let mut inside = self.inside();
            let calls = inside.calls.entry(method).or_default();
            *calls += 1;
            *calls
        };
        self.changed.send_replace(());
        let mut changes = self.changed.subscribe();
        loop {
            let fault = self.inside().faults.get(method).cloned();
            match fault {
                None => break,
                Some(Fault::HoldFirst) if number > 1 => break,
                Some(Fault::Slow(pause)) => {
                    tokio::time::sleep(pause).await;
                    break;
                }
                Some(Fault::Refuse(code, times)) => {
                    let left = times - 1;
                    if left == 0 {
                        self.inside().faults.remove(method);
                    } else {
                        self.inside().faults.insert(method, Fault::Refuse(code, left));
                    }
                    return Err(Status::new(code, "as the test wants it"));
                }
                Some(Fault::Hold | Fault::HoldFirst) => {
                    changes.changed().await.map_err(|_| Status::unavailable("stopped"))?;
                }
            }
        }
        work(&mut self.inside().store).map(Response::new)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
