//! Serving HTTP to peers that may be slow, silent or gone.
//!
//! Every connection is in one phase of its life, and every phase but the server's own work has an end: a head or a body that
//! does not arrive in time, and a connection on which nothing happens, are closed. There are never more connections than
//! files; when there would be, the one that has stalled longest makes room. An open WebSocket looks after itself.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::health::Pulse;

/// How often connections are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Files kept for the database, models and the log.
const FILES_KEPT: u64 = 256;
/// How long to wait when the machine has no more files.
const NO_FILES: Duration = Duration::from_millis(100);

/// How long peers may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From a request's first byte to the end of its head.
    pub head: Duration,
    /// From there to the end of its body.
    pub body: Duration,
    /// Between requests. Longer than a load balancer keeps its own connections, so that it is the one to close them.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
        }
    }
}

/// Lets the process open as many files as it ever may, and returns how many connections that leaves room for.
#[must_use]
pub fn most_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(FILES_KEPT).max(64)).unwrap_or(usize::MAX)
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// A head is arriving.
    Head,
    /// A body is arriving.
    Body,
    /// We are at work.
    Work,
    /// It has become a WebSocket.
    Socket,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Idle, Self::Head, Self::Body, Self::Work, Self::Socket];
    const BITS: u32 = 3;
}

/// What is known of one connection. Phase and the time it began are one number, so that they change together.
struct Peer {
    id: u64,
    phase: AtomicU64,
    close: Notify,
    all: Arc<Connections>,
}

impl Peer {
    fn set(&self, phase: Phase) {
        let packed = (self.all.now() << Phase::BITS) | phase as u64;
        self.phase.store(packed, Ordering::Relaxed);
    }

    /// The phase, and since when in milliseconds of this server.
    fn phase(&self) -> (Phase, u64) {
        let packed = self.phase.load(Ordering::Relaxed);
        let index = packed & ((1 << Phase::BITS) - 1);
        let phase = Phase::ALL.into_iter().find(|phase| *phase as u64 == index);
        (phase.unwrap_or(Phase::Work), packed >> Phase::BITS)
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase().0 == phase
    }
}

/// Forgets a connection when its last part is gone: the stream, or the WebSocket that it has become.
struct Place(Arc<Peer>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.all.peers().remove(&self.0.id);
    }
}

/// The connections of one server.
pub struct Connections {
    started: Instant,
    patience: Patience,
    most: usize,
    next: AtomicU64,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
}

impl Connections {
    /// None yet, and never more than `most`.
    #[must_use]
    pub fn new(patience: Patience, most: usize) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            patience,
            most,
            next: AtomicU64::new(0),
            peers: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes requests until `stop`, then lets running ones end.
    pub async fn serve(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        router: Router,
        stop: CancellationToken,
        pulse: Pulse,
    ) {
        let running = TaskTracker::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = look.tick() => {
                    pulse.beat();
                    self.close_overdue();
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        if let Some(peer) = self.admit() {
                            let serving = one(stream, address, router.clone(), peer, stop.clone());
                            running.spawn(serving);
                        }
                    }
                    Err(error) if is_peers_fault(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be taken");
                        self.make_room();
                        sleep(NO_FILES).await;
                    }
                },
            }
        }
        running.close();
        running.wait().await;
    }

    fn admit(self: &Arc<Self>) -> Option<Arc<Peer>> {
        let open = self.peers().len();
        if open >= self.most && !self.make_room() {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let peer =
            Peer { id, phase: AtomicU64::new(0), close: Notify::new(), all: Arc::clone(self) };
        let peer = Arc::new(peer);
        peer.set(Phase::Idle);
        self.peers().insert(id, Arc::clone(&peer));
        Some(peer)
    }

    /// Closes the connection that has stalled longest, half-sent requests first. Returns whether there was one.
    fn make_room(&self) -> bool {
        let mut peers = self.peers();
        let stalled = peers.values().filter_map(|peer| match peer.phase() {
            (Phase::Head | Phase::Body, since) => Some((0, since, peer.id)),
            (Phase::Idle, since) => Some((1, since, peer.id)),
            (Phase::Work | Phase::Socket, _) => None,
        });
        let Some((_, _, id)) = stalled.min() else { return false };
        // Forgotten at once, so that the next one in need of room finds another.
        if let Some(peer) = peers.remove(&id) {
            peer.close.notify_one();
        }
        true
    }

    fn close_overdue(&self) {
        let now = self.now();
        let mut stalled = 0_u32;
        for peer in self.peers().values() {
            let (phase, since) = peer.phase();
            let longest = match phase {
                Phase::Idle => self.patience.idle,
                Phase::Head => self.patience.head,
                Phase::Body => self.patience.body,
                Phase::Work | Phase::Socket => continue,
            };
            if u128::from(now.saturating_sub(since)) >= longest.as_millis() {
                stalled += u32::from(phase != Phase::Idle);
                peer.close.notify_one();
            }
        }
        if stalled > 0 {
            tracing::info!(
                connections.stalled = stalled,
                connections.open = self.peers().len(),
                "half-sent requests were given up"
            );
        }
    }
}

/// Errors of a connection that was gone before it was taken.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection until it ends, is closed, or the server stops.
async fn one(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    peer: Arc<Peer>,
    stop: CancellationToken,
) {
    // Small frames must not wait for a delayed acknowledgement.
    let _old_kernel = stream.set_nodelay(true);
    let stream = Stream { stream, place: Place(Arc::clone(&peer)) };
    let asked = Arc::clone(&peer);
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut router, peer) = (router.clone(), Arc::clone(&asked));
        async move {
            let whole = request.body().is_end_stream();
            peer.set(if whole { Phase::Work } else { Phase::Body });
            let arriving = |body| Body::new(Arriving { body, peer: Arc::clone(&peer) });
            let mut request =
                request.map(|body| if whole { Body::empty() } else { arriving(body) });
            request.extensions_mut().insert(ConnectInfo(address));
            let response = router.call(request).await?;
            let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            peer.set(if upgraded { Phase::Socket } else { Phase::Idle });
            Ok::<_, Infallible>(response)
        }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving.with_upgrades());
    let mut stopping = false;
    loop {
        tokio::select! {
            // How a peer breaks off is its own affair.
            _ended = serving.as_mut() => return,
            () = peer.close.notified() => return,
            () = stop.cancelled(), if !stopping => {
                if peer.is(Phase::Idle) || peer.is(Phase::Head) {
                    return;
                }
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A connection's bytes: their coming and going tell its phase.
struct Stream {
    stream: TcpStream,
    place: Place,
}

impl Stream {
    /// Bytes moved although no request is in work: the next one begins to arrive, or an answer is still leaving.
    fn moved(&self, phase: Phase) {
        if self.place.0.is(Phase::Idle) {
            self.place.0.set(phase);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.moved(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.moved(Phase::Idle);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.moved(Phase::Idle);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request's body; once it is whole, the time is ours.
struct Arriving {
    body: Incoming,
    peer: Arc<Peer>,
}

impl Arriving {
    fn arrived(&self) {
        if self.peer.is(Phase::Body) {
            self.peer.set(Phase::Work);
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.arrived();
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.arrived();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
