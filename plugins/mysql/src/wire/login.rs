//! The handshake: who the server is, encryption, and the password.

use super::packet::{Brake, Packets};
use super::parameter::write_string;
use super::parse::Parse;
use crate::client::{CONNECT_TIMEOUT, Family, MAX_PACKET};
use crate::config::{Server, SslMode};
use crate::error::{Fault, NO_TLS};
use mysql_common::scramble::{scramble_native, scramble_sha256};

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";
const CLEAR: &str = "mysql_clear_password";

const SSL: u32 = 1 << 11;
const DEPRECATE_EOF: u32 = 1 << 24;
/// Long password, long flag, database, protocol 4.1, transactions, secure connection, plugins, attributes, long login data.
const WANTED: u32 = 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 19 | 1 << 20 | 1 << 21;
/// `utf8mb4_general_ci`, which every server knows; the session's real one is set by a statement.
const UTF8MB4: u8 = 45;

/// A connection that is logged in.
pub(crate) struct LoggedIn {
    pub(crate) packets: Packets,
    pub(crate) family: Family,
    pub(crate) thread: u32,
    /// Results end with an OK packet instead of an EOF packet, and definitions end with nothing.
    pub(crate) has_ok_ends: bool,
}

/// What the server wants, and we do not do ourselves.
pub(crate) enum Refusal {
    /// Its cache does not know the password, and the connection is not encrypted.
    NeedsFullLogin,
    /// Anything else.
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

struct Greeting {
    version: String,
    thread: u32,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

/// Connects and logs in.
pub(crate) fn log_in(server: &Server, brake: &Brake) -> Result<LoggedIn, Refusal> {
    let mut packets = Packets::connect(server, brake)?;
    packets.set_timeout(Some(CONNECT_TIMEOUT))?;
    let greeting = greet(packets.next()?)?;
    let mut capabilities = WANTED | (greeting.capabilities & DEPRECATE_EOF);
    if server.sslmode != SslMode::Disable {
        if greeting.capabilities & SSL == 0 {
            return Err(Fault::Protocol(NO_TLS).into());
        }
        capabilities |= SSL;
        packets.send(&response_head(capabilities))?;
        packets = packets.secure(server)?;
    }
    let plugin = if [NATIVE, CACHING].contains(&greeting.plugin.as_str()) { greeting.plugin.clone() } else { NATIVE.into() };
    let mut response = response_head(capabilities);
    response.extend_from_slice(server.user.as_bytes());
    response.push(0);
    write_string(&mut response, &scrambled(&plugin, server, &greeting.nonce));
    response.extend_from_slice(server.database.as_bytes());
    response.push(0);
    response.extend_from_slice(plugin.as_bytes());
    response.push(0);
    let mut attributes = Vec::new();
    for text in ["program_name", "karat", "_client_name", "karat"] {
        write_string(&mut attributes, text.as_bytes());
    }
    write_string(&mut response, &attributes);
    packets.send(&response)?;
    prove(&mut packets, server, plugin)?;
    packets.set_timeout(None)?;
    let has_ok_ends = capabilities & DEPRECATE_EOF != 0;
    Ok(LoggedIn { packets, family: Family::of_version(&greeting.version), thread: greeting.thread, has_ok_ends })
}

fn response_head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&u32::try_from(MAX_PACKET).unwrap_or(u32::MAX).to_le_bytes());
    out.push(UTF8MB4);
    out.extend_from_slice(&[0; 23]);
    out
}

fn greet(packet: &[u8]) -> Result<Greeting, Fault> {
    let mut rest = Parse(packet);
    match rest.byte()? {
        10 => {}
        0xff => return Err(refusal(rest)),
        _ => return Err(Fault::Protocol("the server does not greet as MySQL and MariaDB do")),
    }
    let version = String::from_utf8_lossy(rest.until_nul()).into_owned();
    let thread = u32::from_le_bytes(rest.array()?);
    let mut nonce = rest.bytes(8)?.to_vec();
    rest.byte()?;
    let [low, high] = rest.array()?;
    rest.bytes(3)?;
    let [third, fourth] = rest.array()?;
    let capabilities = u32::from_le_bytes([low, high, third, fourth]);
    let length = usize::from(rest.byte()?);
    rest.bytes(10)?;
    let more = rest.bytes(length.saturating_sub(8).max(13).min(rest.0.len()))?;
    nonce.extend_from_slice(more.strip_suffix(&[0]).unwrap_or(more));
    let plugin = String::from_utf8_lossy(rest.until_nul()).into_owned();
    Ok(Greeting { version, thread, capabilities, nonce, plugin })
}

fn scrambled(plugin: &str, server: &Server, nonce: &[u8]) -> Vec<u8> {
    let password = server.password.as_bytes();
    match plugin {
        NATIVE => scramble_native(nonce, password).map(Vec::from),
        CACHING => scramble_sha256(nonce, password).map(Vec::from),
        _ => None,
    }
    .unwrap_or_default()
}

/// An error packet, after its first byte.
pub(crate) fn refusal(mut rest: Parse<'_>) -> Fault {
    let Ok(code) = rest.array() else { return Fault::Protocol("an error packet ends too early") };
    let state = match rest.0.strip_prefix(b"#").and_then(|text| text.split_at_checked(5)) {
        Some((state, message)) => {
            rest.0 = message;
            String::from_utf8_lossy(state).into_owned()
        }
        None => "HY000".into(),
    };
    Fault::Server { code: u16::from_le_bytes(code), state, message: String::from_utf8_lossy(rest.0).into_owned() }
}

fn prove(packets: &mut Packets, server: &Server, plugin: String) -> Result<(), Refusal> {
    let mut plugin = plugin;
    let (is_private, is_verified) = (packets.is_private(), packets.is_verified(server));
    loop {
        let packet = packets.next()?;
        let mut rest = Parse(packet);
        match rest.byte()? {
            0 => return Ok(()),
            0xff => return Err(refusal(rest).into()),
            0xfe if rest.0.is_empty() => return Err(Fault::Login("mysql_old_password".into()).into()),
            0xfe => {
                plugin = String::from_utf8_lossy(rest.until_nul()).into_owned();
                let nonce = rest.0.strip_suffix(&[0]).unwrap_or(rest.0).to_vec();
                let answer = match plugin.as_str() {
                    NATIVE | CACHING => scrambled(&plugin, server, &nonce),
                    // The password itself goes only where the server is known to be the right one.
                    CLEAR if is_verified => with_nul(&server.password),
                    _ => return Err(Fault::Login(plugin).into()),
                };
                packets.send(&answer)?;
            }
            1 => match (plugin.as_str(), rest.0) {
                (CACHING, [3]) => {}
                (CACHING, [4]) if is_private => packets.send(&with_nul(&server.password))?,
                (CACHING, [4]) => return Err(Refusal::NeedsFullLogin),
                _ => return Err(Fault::Login(plugin).into()),
            },
            _ => return Err(Fault::Protocol("the login is answered by an unknown packet").into()),
        }
    }
}

fn with_nul(password: &str) -> Vec<u8> {
    [password.as_bytes(), &[0]].concat()
}
