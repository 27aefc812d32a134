//! Packets over a socket: a large read buffer out of which rows are handed without a copy.

use super::tls;
use crate::client::CONNECT_TIMEOUT;
use crate::config::{Server, SslMode};
use crate::error::Fault;
use rustls::{ClientConnection, StreamOwned};
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const BUFFER_BYTES: usize = 256 << 10;
/// A payload of this length goes on in the next packet.
const FULL_PACKET: usize = 0xff_ffff;

enum Socket {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

/// Breaks a connection from another thread.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    state: Mutex<BrakeState>,
}

#[derive(Debug, Default)]
struct BrakeState {
    is_pulled: bool,
    sockets: Vec<Handle>,
}

#[derive(Debug)]
enum Handle {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Brake {
    /// Breaks every connection it holds, and every later one at once.
    pub(crate) fn pull(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_pulled = true;
        for socket in state.sockets.drain(..) {
            // A connection that is closed already is what is wanted.
            let _closed = match socket {
                Handle::Tcp(stream) => stream.shutdown(Shutdown::Both),
                Handle::Unix(stream) => stream.shutdown(Shutdown::Both),
            };
        }
    }

    /// True once it was pulled.
    pub(crate) fn is_pulled(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_pulled
    }

    fn hold(&self, socket: Handle) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_pulled {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        state.sockets.push(socket);
        Ok(())
    }
}

/// One connection, cut into packets.
pub(crate) struct Packets {
    socket: Socket,
    buffer: Vec<u8>,
    /// What is in the buffer and not handed out yet.
    from: usize,
    upto: usize,
    /// A payload that was too large for one packet.
    joined: Vec<u8>,
    sequence: u8,
    out: Vec<u8>,
}

impl Packets {
    /// Connects; `brake` can break the connection from now on.
    pub(crate) fn connect(server: &Server, brake: &Brake) -> Result<Self, Fault> {
        let socket = match &server.socket {
            Some(path) => {
                let stream = UnixStream::connect(path)?;
                brake.hold(Handle::Unix(stream.try_clone()?))?;
                Socket::Unix(stream)
            }
            None => {
                let stream = connect_any(server)?;
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(6);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                brake.hold(Handle::Tcp(stream.try_clone()?))?;
                Socket::Plain(stream)
            }
        };
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], from: 0, upto: 0, joined: Vec::new(), sequence: 0, out: Vec::new() })
    }

    /// Waits at most so long for an answer; `None` waits as long as the connection lives.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Fault> {
        match &self.socket {
            Socket::Plain(stream) => stream.set_read_timeout(timeout)?,
            Socket::Tls(stream) => stream.sock.set_read_timeout(timeout)?,
            Socket::Unix(stream) => stream.set_read_timeout(timeout)?,
        }
        Ok(())
    }

    /// Encrypts what follows.
    pub(crate) fn secure(self, server: &Server) -> Result<Self, Fault> {
        let Socket::Plain(stream) = self.socket else { return Err(Fault::Protocol("a socket cannot be encrypted")) };
        Ok(Self { socket: Socket::Tls(Box::new(tls::connect(server, stream)?)), ..self })
    }

    /// True when nobody on the way can read what is sent.
    pub(crate) fn is_private(&self) -> bool {
        !matches!(self.socket, Socket::Plain(_))
    }

    /// True when the server is also known to be the right one.
    pub(crate) fn is_verified(&self, server: &Server) -> bool {
        match self.socket {
            Socket::Plain(_) => false,
            Socket::Unix(_) => true,
            Socket::Tls(_) => matches!(server.sslmode, SslMode::VerifyCa | SslMode::VerifyFull),
        }
    }

    /// The next command starts a new count.
    pub(crate) fn restart_count(&mut self) {
        self.sequence = 0;
    }

    /// Sends one payload.
    pub(crate) fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.out.clear();
        let mut chunks = payload.chunks(FULL_PACKET).chain(payload.len().is_multiple_of(FULL_PACKET).then_some(&[][..]));
        let first = chunks.next();
        for chunk in first.into_iter().chain(chunks) {
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes();
            self.out.extend_from_slice(&[length[0], length[1], length[2], self.sequence]);
            self.out.extend_from_slice(chunk);
            self.sequence = self.sequence.wrapping_add(1);
        }
        match &mut self.socket {
            Socket::Plain(stream) => stream.write_all(&self.out)?,
            Socket::Unix(stream) => stream.write_all(&self.out)?,
            Socket::Tls(stream) => {
                stream.write_all(&self.out)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// The next payload.
    pub(crate) fn next(&mut self) -> Result<&[u8], Fault> {
        let length = self.header()?;
        if length < FULL_PACKET {
            self.fill(length)?;
            let payload = &self.buffer[self.from..self.from + length];
            self.from += length;
            return Ok(payload);
        }
        self.joined.clear();
        let mut length = length;
        loop {
            self.fill(length)?;
            self.joined.extend_from_slice(&self.buffer[self.from..self.from + length]);
            self.from += length;
            if length < FULL_PACKET {
                return Ok(&self.joined);
            }
            length = self.header()?;
        }
    }

    fn header(&mut self) -> Result<usize, Fault> {
        self.fill(4)?;
        let [a, b, c, sequence] = [self.buffer[self.from], self.buffer[self.from + 1], self.buffer[self.from + 2], self.buffer[self.from + 3]];
        self.from += 4;
        if sequence != self.sequence {
            return Err(Fault::Protocol("packets are out of order"));
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(u32::from_le_bytes([a, b, c, 0]) as usize)
    }

    /// Makes sure that so many bytes lie in the buffer.
    #[inline]
    fn fill(&mut self, count: usize) -> Result<(), Fault> {
        if self.upto - self.from >= count {
            return Ok(());
        }
        self.read_more(count)
    }

    fn read_more(&mut self, count: usize) -> Result<(), Fault> {
        self.buffer.copy_within(self.from..self.upto, 0);
        self.upto -= self.from;
        self.from = 0;
        if self.buffer.len() < count {
            self.buffer.resize(count.next_power_of_two(), 0);
        } else if self.buffer.len() > 4 * BUFFER_BYTES && self.upto.max(count) < BUFFER_BYTES {
            // One large row must not hold its memory until the end of the read.
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
        while self.upto < count {
            match self.socket.read(&mut self.buffer[self.upto..]) {
                Ok(0) => return Err(Fault::Io(ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.upto += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Fault::Io(ErrorKind::TimedOut.into())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn connect_any(server: &Server) -> Result<TcpStream, Fault> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}
