//! A reading session that speaks the protocol itself: row packets go to the decoder as they are, without a value or a row object in between.
//!
//! Blocking, because a read has a thread of its own. Knows packets, logins, statements and terminators; must not know Arrow or what is read.
//! Protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.
//! Read next: `session.rs`, then `packet.rs`.

mod column;
mod login;
mod packet;
mod parameter;
mod parse;
mod session;
mod tls;

pub(crate) use column::{ColumnDefinition, kind};
pub(crate) use packet::Brake;
pub(crate) use parameter::Parameter;
pub(crate) use parse::Parse;
pub(crate) use session::Session;
