//! Statements and their results.

use super::column::ColumnDefinition;
use super::login::{Refusal, log_in, refusal};
use super::packet::{Brake, Packets};
use super::parameter::Parameter;
use super::parse::Parse;
use crate::client::{Family, login, pins};
use crate::config::Server;
use crate::error::Fault;

const QUIT: u8 = 1;
const QUERY: u8 = 3;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;

/// A row of text, as catalogues are read.
pub(crate) type TextRow = Vec<Option<String>>;

/// One session, pinned. Dropping it closes the connection.
pub(crate) struct Session {
    packets: Packets,
    has_ok_ends: bool,
    /// MySQL or MariaDB.
    pub(crate) family: Family,
    /// The server's number of this connection.
    pub(crate) thread: u32,
}

impl Session {
    /// Connects, logs in and pins.
    pub(crate) fn open(server: &Server, brake: &Brake) -> Result<Self, Fault> {
        let logged_in = match log_in(server, brake) {
            Ok(logged_in) => logged_in,
            Err(Refusal::Fault(fault)) => return Err(fault),
            // The driver exchanges the password under the server's key; after that the server remembers it for us.
            Err(Refusal::NeedsFullLogin) => {
                log_in_with_driver(server)?;
                match log_in(server, brake) {
                    Ok(logged_in) => logged_in,
                    Err(Refusal::Fault(fault)) => return Err(fault),
                    Err(Refusal::NeedsFullLogin) => return Err(Fault::Login("caching_sha2_password".into())),
                }
            }
        };
        let mut session = Self { packets: logged_in.packets, has_ok_ends: logged_in.has_ok_ends, family: logged_in.family, thread: logged_in.thread };
        session.run(&pins(session.family))?;
        Ok(session)
    }

    /// Runs a statement without a result.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), Fault> {
        self.texts(sql).map(|_| ())
    }

    /// Runs a query whose result is small.
    pub(crate) fn texts(&mut self, sql: &str) -> Result<Vec<TextRow>, Fault> {
        self.command(QUERY, sql.as_bytes())?;
        let Some(columns) = self.definitions()? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        loop {
            let packet = self.packets.next()?;
            match packet.first() {
                Some(0xff) => return Err(refusal(Parse(&packet[1..]))),
                Some(0xfe) if is_end(packet, self.has_ok_ends) => return Ok(rows),
                _ => {
                    let mut rest = Parse(packet);
                    let row = columns.iter().map(|_| Ok(rest.string()?.map(|text| String::from_utf8_lossy(text).into_owned())));
                    rows.push(row.collect::<Result<_, Fault>>()?);
                }
            }
        }
    }

    /// The first value of the first row of a small query.
    pub(crate) fn text(&mut self, sql: &str) -> Result<Option<String>, Fault> {
        Ok(self.texts(sql)?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// The columns that a query would give.
    pub(crate) fn columns_of(&mut self, sql: &str) -> Result<Vec<ColumnDefinition>, Fault> {
        let (statement, columns) = self.prepare(sql)?;
        self.close(statement)?;
        Ok(columns)
    }

    /// Runs a query by the binary protocol; its rows are read one by one, and must be read to the end before anything else is asked.
    pub(crate) fn rows(&mut self, sql: &str, parameters: &[Parameter]) -> Result<Rows<'_>, Fault> {
        let (statement, _) = self.prepare(sql)?;
        let mut request = statement.to_le_bytes().to_vec();
        // No server-side cursor, and the one that must be one.
        request.extend_from_slice(&[0, 1, 0, 0, 0]);
        if !parameters.is_empty() {
            request.resize(request.len() + parameters.len().div_ceil(8), 0);
            request.push(1);
            parameters.iter().for_each(|parameter| request.extend_from_slice(&parameter.kind()));
            parameters.iter().for_each(|parameter| parameter.write(&mut request));
        }
        self.command(EXECUTE, &request)?;
        let columns = self.definitions()?.ok_or(Fault::Protocol("a query gives no columns"))?;
        Ok(Rows { session: self, statement, columns, ended: None })
    }

    /// Ends the session in order, so that the server does not count it as an aborted one.
    pub(crate) fn quit(&mut self) {
        // The connection is closed right after, whether the server heard this or not.
        let _unheard = self.command(QUIT, &[]);
    }

    fn prepare(&mut self, sql: &str) -> Result<(u32, Vec<ColumnDefinition>), Fault> {
        self.command(PREPARE, sql.as_bytes())?;
        let mut rest = Parse(self.packets.next()?);
        match rest.byte()? {
            0 => {}
            0xff => return Err(refusal(rest)),
            _ => return Err(Fault::Protocol("a statement is prepared with an unknown answer")),
        }
        let statement = u32::from_le_bytes(rest.array()?);
        let columns = u16::from_le_bytes(rest.array()?);
        let parameters = u16::from_le_bytes(rest.array()?);
        self.read_definitions(usize::from(parameters))?;
        let columns = self.read_definitions(usize::from(columns))?;
        Ok((statement, columns))
    }

    fn close(&mut self, statement: u32) -> Result<(), Fault> {
        self.command(CLOSE, &statement.to_le_bytes())
    }

    fn command(&mut self, command: u8, payload: &[u8]) -> Result<(), Fault> {
        self.packets.restart_count();
        let mut request = Vec::with_capacity(payload.len() + 1);
        request.push(command);
        request.extend_from_slice(payload);
        self.packets.send(&request)
    }

    /// The columns of a result; `None` for a statement without one.
    fn definitions(&mut self) -> Result<Option<Vec<ColumnDefinition>>, Fault> {
        let packet = self.packets.next()?;
        match packet.first() {
            Some(0) => Ok(None),
            Some(0xff) => Err(refusal(Parse(&packet[1..]))),
            Some(0xfb) => Err(Fault::Protocol("the server asks for a local file")),
            _ => {
                let count = Parse(packet).length()?.and_then(|count| usize::try_from(count).ok()).ok_or(Fault::Protocol("a result has no count of columns"))?;
                self.read_definitions(count).map(Some)
            }
        }
    }

    fn read_definitions(&mut self, count: usize) -> Result<Vec<ColumnDefinition>, Fault> {
        let mut columns = Vec::with_capacity(count.min(4_096));
        for _ in 0..count {
            columns.push(ColumnDefinition::read(self.packets.next()?)?);
        }
        if count > 0 && !self.has_ok_ends {
            self.packets.next()?;
        }
        Ok(columns)
    }
}

fn log_in_with_driver(server: &Server) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = login(server).await?;
        connection.disconnect().await.map_err(Fault::from)
    })
}

/// True for the packet that ends a result, and for no row.
fn is_end(packet: &[u8], has_ok_ends: bool) -> bool {
    packet.len() < if has_ok_ends { 0xff_ffff } else { 9 }
}

/// Rows of one result, each as the packet it came in.
pub(crate) struct Rows<'a> {
    session: &'a mut Session,
    statement: u32,
    columns: Vec<ColumnDefinition>,
    /// How many warnings the server has, once it said that there are no more rows.
    ended: Option<u16>,
}

impl Rows<'_> {
    /// What the rows consist of.
    pub(crate) fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// The next row, after its first byte; `None` once the server said that there are no more.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        let packet = self.session.packets.next()?;
        match packet.first() {
            Some(0) => Ok(Some(&packet[1..])),
            Some(0xfe) if is_end(packet, self.session.has_ok_ends) => {
                self.ended = Some(warnings(packet, self.session.has_ok_ends)?);
                Ok(None)
            }
            Some(0xff) => Err(refusal(Parse(&packet[1..]))),
            _ => Err(Fault::Protocol("a row begins with an unknown byte")),
        }
    }

    /// Gives the statement back, after the last row. Gives the number of warnings.
    pub(crate) fn finish(self) -> Result<u16, Fault> {
        let warnings = self.ended.ok_or(Fault::Protocol("a result was left before its end"))?;
        self.session.close(self.statement)?;
        Ok(warnings)
    }
}

/// The count of warnings in the packet that ends a result.
fn warnings(packet: &[u8], has_ok_ends: bool) -> Result<u16, Fault> {
    let mut rest = Parse(packet);
    rest.byte()?;
    if has_ok_ends {
        rest.length()?;
        rest.length()?;
        rest.array::<2>()?;
    }
    Ok(u16::from_le_bytes(rest.array()?))
}
