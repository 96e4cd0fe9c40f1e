//! Peers that are slow, silent, many or in the middle of something, over real sockets with a short patience.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server that echoes, answers at once, or works until it is told to go on.
struct Served {
    address: SocketAddr,
    all: Arc<Connections>,
    go_on: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

const SHORT: Patience = Patience {
    head: Duration::from_millis(50),
    body: Duration::from_millis(50),
    idle: Duration::from_secs(3_600),
};

async fn serve(patience: Patience, most: usize) -> Served {
    let (all, stop) = (Connections::new(patience, most), CancellationToken::new());
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let address = listener.local_addr().expect("an address");
    let go_on = Arc::new(Notify::new());
    let waits = Arc::clone(&go_on);
    let works = || async move {
        waits.notified().await;
        "done"
    };
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/echo", post(|body: String| async { body }))
        .route("/works", get(works));
    let task =
        tokio::spawn(Arc::clone(&all).serve(listener, router, stop.clone(), Pulse::default()));
    Served { address, all, go_on, stop, task }
}

impl Served {
    async fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(bytes.as_bytes()).await.expect("sends");
        stream
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("ends");
        assert!(self.all.peers().is_empty(), "a connection outlived the server");
    }
}

/// What comes until the server hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is closed on bytes nobody read is reset.
    let _reset = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("ok") && !text.ends_with("hello") && !text.ends_with("done") {
        let mut some = [0; 512];
        let read = stream.read(&mut some).await.expect("reads");
        assert!(read > 0, "hung up after {text}");
        text.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    text
}

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn half_a_head_and_half_a_body_are_given_up_and_others_are_served() {
    let served = serve(SHORT, 100).await;
    let mut head = served.send("GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let mut body =
        served.send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhell").await;
    let mut whole = served.send(ASK).await;
    assert!(answer(&mut whole).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut head).await, "");
    assert_eq!(rest(&mut body).await, "");
    // The one that is between requests is as good as before.
    whole.write_all(ASK.as_bytes()).await.expect("sends");
    assert!(answer(&mut whole).await.starts_with("HTTP/1.1 200"));
    served.end().await;
}

#[tokio::test]
async fn our_own_work_has_all_the_time_it_needs() {
    let served = serve(SHORT, 100).await;
    let mut works = served.send("GET /works HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // What comes later and is overdue is closed while the work goes on.
    let mut half = served.send("GET /").await;
    assert_eq!(rest(&mut half).await, "");
    served.go_on.notify_one();
    assert!(answer(&mut works).await.starts_with("HTTP/1.1 200"));
    served.end().await;
}

#[tokio::test]
async fn nothing_happens_for_long_and_the_connection_is_closed() {
    let patience = Patience { idle: Duration::from_millis(50), ..Patience::default() };
    let served = serve(patience, 100).await;
    let mut silent = served.send("").await;
    let mut asked = served.send(ASK).await;
    assert_eq!(rest(&mut silent).await, "");
    assert!(rest(&mut asked).await.ends_with("ok"));
    served.end().await;
}

#[tokio::test]
async fn who_stalls_longest_makes_room() {
    let served = serve(Patience::default(), 3).await;
    let mut works = served.send("GET /works HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut idle = served.send(ASK).await;
    answer(&mut idle).await;
    let mut half = served.send("GET /").await;
    // All three places are taken once the half request is known as one.
    while served.all.peers().values().filter(|peer| peer.is(Phase::Head)).count() == 0 {
        tokio::task::yield_now().await;
    }
    let mut fourth = served.send(ASK).await;
    answer(&mut fourth).await;
    assert_eq!(rest(&mut half).await, "", "the half-sent request goes first");
    let mut fifth = served.send(ASK).await;
    answer(&mut fifth).await;
    assert_eq!(rest(&mut idle).await, "", "then who idles longest");
    served.go_on.notify_one();
    answer(&mut works).await;
    served.end().await;
}

#[tokio::test]
async fn the_end_waits_for_work_and_for_nobody_else() {
    let served = serve(Patience::default(), 100).await;
    let mut works = served.send("GET /works HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let silent = served.send("").await;
    let half = served.send("GET /").await;
    while served.all.peers().values().filter(|peer| peer.is(Phase::Work)).count() == 0 {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    served.go_on.notify_one();
    let text = rest(&mut works).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("done"), "{text}");
    served.end().await;
    drop((silent, half));
}
