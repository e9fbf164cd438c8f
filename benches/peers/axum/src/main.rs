//! `axum-broadcast PORT [READ_BUFFER_BYTES]`: every client at `/sub` receives what clients send to `/pub`. It is
//! written as recommended: a task per connection, each with a receiver of one `tokio::sync::broadcast` channel, and the
//! text shared without copies.
//!
//! Without the second argument the WebSocket's read buffer is the library's default; with it, of the given size.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

/// Messages by which a slow viewer may lag before it loses some.
const CHANNEL_MESSAGES: usize = 1_024;

#[derive(Clone)]
struct Show {
    messages: Sender<Utf8Bytes>,
    read_buffer_bytes: Option<usize>,
}

impl Show {
    fn fitted(&self, upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
        match self.read_buffer_bytes {
            Some(bytes) => upgrade.read_buffer_size(bytes),
            None => upgrade,
        }
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|a| a.parse().ok()).expect("a port");
    let read_buffer_bytes = args.next().map(|bytes| bytes.parse().expect("bytes"));
    let (messages, _) = tokio::sync::broadcast::channel(CHANNEL_MESSAGES);
    let show = Show { messages, read_buffer_bytes };
    let app = Router::new().route("/sub", get(subscribe)).route("/pub", get(publish)).with_state(show);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // Without it, the kernel would delay small messages.
    });
    axum::serve(listener, app).await.expect("serves");
}

async fn subscribe(upgrade: WebSocketUpgrade, State(show): State<Show>) -> Response {
    let messages = show.messages.subscribe();
    show.fitted(upgrade).on_upgrade(move |socket| deliver(socket, messages))
}

async fn deliver(mut socket: WebSocket, mut messages: Receiver<Utf8Bytes>) {
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(text) => if socket.send(Message::Text(text)).await.is_err() {
                    return;
                },
                Err(RecvError::Lagged(_)) => {} // The missed messages are lost.
                Err(RecvError::Closed) => return,
            },
            said = socket.recv() => if !matches!(said, Some(Ok(_))) {
                return;
            },
        }
    }
}

async fn publish(upgrade: WebSocketUpgrade, State(show): State<Show>) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message {
                let _ = show.messages.send(text); // Fails if there is no viewer.
            }
        }
    })
}
