//! Peers that read nothing, and thousands that never finish what they began to say, against the real process.

use std::time::{Duration, Instant};

use baton::model::scripted::Script;
use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::is_ready;
use crate::support::{Engine, Launch, Scene, Visitor, eventually, say};

/// Half-sent requests at once.
fn stalled() -> usize {
    let wanted = std::env::var("BATON_TEST_STALLED").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(3_000)
}

/// Lets this process open as many files as it may; returns how many that is.
fn more_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raises the limit of open files");
    limit.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

fn address(origin: &str) -> std::net::SocketAddr {
    origin.trim_start_matches("http://").parse().expect("an address")
}

/// Ends when the server hangs up, whichever way.
async fn hung_up(mut stream: TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(read) if read > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_half_sent_requests_keep_nobody_waiting() {
    let many = stalled().min(more_files().saturating_sub(500));
    let scene = Scene::new(Engine::Sqlite, Script::instant(), Launch::default()).await;
    let process = scene.start().await;
    let visitor = scene.visitor(&process, "Rina").await;
    scene.acknowledge(&visitor.write("Before.").await);
    let (files, memory) = (process.files(), process.status("VmRSS"));
    let server = address(&process.origin);
    let body = format!(
        "POST /api/v1/widget/{}/session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 999\r\n\r\n{{",
        scene.business.key
    );
    let mut half = Vec::with_capacity(many);
    for number in 0..many {
        let mut stream = TcpStream::connect(server).await.expect("connects");
        let begun: &[u8] = if number % 2 == 0 {
            b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: "
        } else {
            body.as_bytes()
        };
        stream.write_all(begun).await.expect("begins to say something");
        half.push(stream);
    }
    let held = process.status("VmRSS").saturating_sub(memory);
    let asked = Instant::now();
    scene.acknowledge(&visitor.write("Meanwhile.").await);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?} behind {many} half-sent requests");
    assert!(is_ready_now(&scene, &process).await, "a node full of half requests is ready");
    let begun = Instant::now();
    join_all(half.into_iter().map(hung_up)).await;
    let says = [("message", json!("half-sent requests were given up"))];
    let line = process.says("half-sent requests", &says).await;
    assert!(line["connections.stalled"].as_u64().is_some_and(|stalled| stalled > 0), "{line}");
    eventually("the files of the stalled", || async {
        let open = process.files();
        if open <= files + 20 { Ok(()) } else { Err(format!("{open} files, {files} before")) }
    })
    .await;
    say(&format!(
        "{many} half-sent requests: a message is stored in {took:?} meanwhile, all given up within {:?} more, {held} kB in all",
        begun.elapsed()
    ));
    scene.end(process, "half-sent requests").await;
}

async fn is_ready_now(scene: &Scene, process: &crate::support::Process) -> bool {
    let (status, body) = process.ready(&scene.http).await;
    is_ready(status, &body)
}

/// Opens a socket by hand, says hello, and then reads nothing, with as little room for what comes as there can be.
async fn sleeps(visitor: &Visitor) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stream = socket.connect(address(&visitor.origin)).await.expect("connects");
    let upgrade = "GET /api/v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.expect("asks for a socket");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a socket"));
    }
    let hello = json!({ "type": "hello", "token": visitor.token, "after": 0 }).to_string();
    let length = u16::try_from(hello.len()).expect("short");
    // A text frame, masked with zeros.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(hello.bytes());
    stream.write_all(&frame).await.expect("says hello");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_costs_little_and_misses_nothing() {
    const SOCKETS: usize = 14;
    /// More than the kernel keeps for a socket.
    const MESSAGES: usize = 600;
    /// What all of them together may cost: the kernel's buffers are not the process's.
    const MOST_KB: u64 = 48 * 1024;
    let scene = Scene::new(Engine::Sqlite, Script::instant(), Launch::default()).await;
    let process = scene.start().await;
    let ana = scene.agent(&process);
    let visitor = scene.visitor(&process, "Rina").await;
    let id = scene.acknowledge(&visitor.write("Hello.").await);
    ana.take_over(&id).await;
    let text = "x".repeat(7_900);
    let writes = async |id: &str| {
        let epoch = ana.epoch(id).await;
        for number in 0..MESSAGES {
            let body = json!({
                "text": format!("{number}: {text}"), "client_id": format!("slow-{number}"),
                "expected_epoch": epoch,
            });
            let answer = ana.post(&format!("/conversations/{id}/messages"), body).await.ok();
            scene.remember(&answer);
        }
    };
    // The same without them first: caches and buffers have their size then.
    let other = scene.visitor(&process, "Tono").await;
    let theirs = scene.acknowledge(&other.write("Hello.").await);
    ana.take_over(&theirs).await;
    writes(&theirs).await;
    let (files, memory) = (process.files(), process.status("VmRSS"));
    let sleepers = join_all((0..SOCKETS).map(|_| sleeps(&visitor))).await;
    let mut awake = visitor.live().await;
    let last = format!("{}: xx", MESSAGES - 1);
    let is_last = |frame: &serde_json::Value| {
        frame["message"]["text"].as_str().is_some_and(|text| text.starts_with(&last))
    };
    let hears = async {
        loop {
            let frame = awake.next().await.expect("who reads is not dropped");
            if is_last(&frame) {
                return;
            }
        }
    };
    tokio::join!(writes(&id), hears);
    drop(awake);
    let cost = process.status("VmRSS").saturating_sub(memory);
    assert!(cost < MOST_KB, "{SOCKETS} sleepers cost {cost} kB");
    // Each of them is dropped, though their end of the wire stays open and unread.
    eventually("the end of who does not read", || async {
        let open = process.files();
        if open <= files + 5 { Ok(()) } else { Err(format!("{open} files, {files} before")) }
    })
    .await;
    let mut page = visitor.live_after(10).await;
    page.ever("the last message", |frame| {
        let all = frame["conversation"]["messages"].as_array();
        is_last(frame)
            || all.is_some_and(|all| all.iter().any(|m| is_last(&json!({ "message": m }))))
    })
    .await;
    let seqs: Vec<u64> = page.heard().iter().flat_map(numbers).collect();
    assert_eq!(
        seqs,
        (11..).take(seqs.len()).collect::<Vec<u64>>(),
        "resumed without gap or double"
    );
    say(&format!(
        "{SOCKETS} sockets that never read, {MESSAGES} messages of {} kB: {cost} kB more memory, all dropped, resumed without a gap",
        text.len() / 1_000
    ));
    drop(sleepers);
    scene.end(process, "slow readers").await;
}

/// The numbers of the messages in a frame.
fn numbers(frame: &serde_json::Value) -> Vec<u64> {
    let all = frame["conversation"]["messages"].as_array().cloned().unwrap_or_default();
    let all = all.iter().chain(std::iter::once(&frame["message"]));
    all.filter_map(|message| message["public_seq"].as_u64()).collect()
}
