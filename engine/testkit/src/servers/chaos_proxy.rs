//! A TCP proxy on the loopback that breaks connections on purpose.
//!
//! It runs on a thread of its own, so it serves tests with and without a runtime. What passes encrypted it cannot read: byte patterns need plain connections.

use super::chaos_rules::{Cut, Direction, Passage, Rules, Verdict};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// A TCP proxy on a free port of 127.0.0.1. Until told otherwise it passes everything on. Rules hold for connections that are open, too.
pub struct ChaosProxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    upstream: u16,
    rules: Mutex<Rules>,
    connections: AtomicU64,
    cuts: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    /// Counts orders to cut everything that is open.
    cut_all: watch::Sender<u64>,
}

impl ChaosProxy {
    /// A proxy before the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn to(upstream: u16) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("the loopback has a free port");
        listener.set_nonblocking(true).expect("a listener need not block");
        let port = listener.local_addr().expect("a listener has an address").port();
        let none = AtomicU64::default;
        let rules = Mutex::default();
        let shared = Arc::new(Shared { upstream, rules, connections: none(), cuts: none(), to_server: none(), to_client: none(), cut_all: watch::Sender::new(0) });
        let stop = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let (for_thread, until) = (shared.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = until.notified() => {}
                    () = accept(listener, for_thread) => {}
                }
            });
        });
        Self { port, shared, stop, thread: Some(thread) }
    }

    /// The port to connect to instead of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a rule that cuts connections.
    pub fn cut(&self, cut: Cut) {
        self.shared.rules().cuts.push(cut);
    }

    /// Cuts every connection that is open.
    pub fn cut_all(&self) {
        self.shared.cut_all.send_modify(|orders| *orders += 1);
    }

    /// Each piece of data arrives this much later.
    pub fn delay(&self, by: Duration) {
        self.shared.rules().delay = by;
    }

    /// New connections are reset at once.
    pub fn refuse(&self) {
        self.shared.rules().refuses = true;
    }

    /// Nothing arrives any more, and no connection ends: what a pulled cable looks like.
    pub fn swallow(&self) {
        self.shared.rules().swallows = true;
    }

    /// Data arrives in pieces of this many bytes at most.
    pub fn slice(&self, bytes: usize) {
        self.shared.rules().slice = Some(bytes.max(1));
    }

    /// Forgets all rules; what was swallowed goes on.
    pub fn clear(&self) {
        *self.shared.rules() = Rules::default();
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections were cut by a rule or refused: a test whose rule never struck has shown nothing.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// How many bytes have passed in a direction, all connections together.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.counter(direction).load(Ordering::SeqCst)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A proxy that panicked has broken connections, which the test saw.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the runtime takes a listener that does not block");
    let mut open = JoinSet::new();
    loop {
        // A client that vanished between knocking and entering is nobody's loss.
        let Ok((client, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if shared.rules().refuses {
            shared.cuts.fetch_add(1, Ordering::SeqCst);
            reset(&client);
            continue;
        }
        open.spawn(connection(client, shared.clone()));
        while open.try_join_next().is_some() {}
    }
}

/// One connection, to its end or until it is cut.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.upstream)).await else { return reset(&client) };
    // Nagle's algorithm would be one more delay, and not the asked one.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut orders = shared.cut_all.subscribe();
    let ends_at_reply = AtomicBool::new(false);
    let was_cut = {
        let up = pump(from_client, &mut to_server, Direction::ToServer, &shared, &ends_at_reply);
        let down = pump(from_server, &mut to_client, Direction::ToClient, &shared, &ends_at_reply);
        tokio::select! {
            end = async { tokio::try_join!(up, down) } => end.is_err(),
            // The sender lives as long as the proxy.
            _ = orders.changed() => true,
        }
    };
    if was_cut {
        shared.cuts.fetch_add(1, Ordering::SeqCst);
        reset(to_client.as_ref());
        reset(to_server.as_ref());
    }
}

/// The connection is to be cut.
struct WasCut;

/// Passes data on until one side ends.
async fn pump(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, direction: Direction, shared: &Shared, ends_at_reply: &AtomicBool) -> Result<(), WasCut> {
    let mut buffer = vec![0; 64 << 10];
    let mut passage = Passage::new(direction);
    loop {
        let slice = shared.rules().slice.unwrap_or(buffer.len()).min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..slice]).await else {
            // The other side may still have something to say; the end is passed on, too.
            let _ = to.shutdown().await;
            return Ok(());
        };
        let piece = &buffer[..read];
        while shared.rules().swallows {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let delay = shared.rules().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if direction == Direction::ToClient && ends_at_reply.load(Ordering::SeqCst) {
            return Err(WasCut);
        }
        let verdict = passage.judge(&mut shared.rules(), piece);
        if verdict == Verdict::CutAtReply {
            ends_at_reply.store(true, Ordering::SeqCst);
        }
        let passes = if let Verdict::CutAfter(bytes) = verdict { &piece[..bytes.min(read)] } else { piece };
        if to.write_all(passes).await.is_err() {
            return Ok(());
        }
        shared.counter(direction).fetch_add(passes.len() as u64, Ordering::SeqCst);
        if matches!(verdict, Verdict::CutAfter(_)) {
            return Err(WasCut);
        }
    }
}

/// Both ends learn that the connection is broken, not that it has ended.
fn reset(stream: &TcpStream) {
    // A stream that is already gone needs no reset.
    let _ = stream.set_zero_linger();
}
