//! Taking a port, or the next free one.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Listen;

/// How many ports are tried when the first is taken.
const TRIES: u16 = 20;

/// Why no port was taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}. {remedy}")]
pub struct NotListening {
    address: SocketAddr,
    source: std::io::Error,
    remedy: &'static str,
}

/// Takes the configured port; with `port_fallback`, the next free one of the following twenty.
///
/// # Errors
/// [`NotListening`] with what to do.
pub async fn bind(listen: &Listen) -> Result<TcpListener, NotListening> {
    let first = SocketAddr::new(listen.host, listen.port);
    let mut port = listen.port;
    for _ in 0..TRIES {
        match TcpListener::bind(SocketAddr::new(listen.host, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && listen.port_fallback => {
                let Some(next) = port.checked_add(1) else { break };
                port = next;
            }
            Err(source) => {
                return Err(NotListening { address: first, remedy: remedy(&source), source });
            }
        }
    }
    let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    let remedy = "The following ports are taken too: choose another with --port";
    Err(NotListening { address: first, source, remedy })
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "Another program has the port: stop it, choose another with --port, or add --port-fallback"
        }
        std::io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need rights: choose another with --port"
        }
        std::io::ErrorKind::AddrNotAvailable => "This machine has no such address: change --host",
        _ => "Change --host or --port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_no_obstacle_with_the_fallback() {
        let free = Listen { port: 0, ..Listen::default() };
        let first = bind(&free).await.expect("a free port");
        let port = first.local_addr().expect("address").port();
        let taken = Listen { port, ..Listen::default() };
        let error = bind(&taken).await.expect_err("taken").to_string();
        assert!(error.contains("--port-fallback"), "{error}");
        let next = bind(&Listen { port_fallback: true, ..taken }).await.expect("the next one");
        assert_ne!(next.local_addr().expect("address").port(), port);
    }
}
