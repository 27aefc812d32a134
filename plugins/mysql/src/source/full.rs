//! All rows of one snapshot, by one reader or by several that see the same snapshot.

use super::catalogue::Described;
use super::collect::Collector;
use super::comparison::Condition;
use super::ranges;
use super::reader::{Halt, Link, Out, Query, SNAPSHOT, collector};
use crate::client::quote;
use karat_plugin_api::{ConnectorError, ErrorKind, Position, ReadRequest};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// How long writers may be kept waiting while the readers take their snapshots.
const LOCK_SECONDS: u32 = 2;

/// Reads everything.
pub(crate) fn read(link: &mut Link<'_>, described: &Described, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let names: Vec<String> = request.columns.iter().map(|choice| quote(&choice.name)).collect();
    let select = format!("SELECT {} FROM {}", if names.is_empty() { "1".into() } else { names.join(", ") }, described.from);
    let ranges = if request.parallel > 1 { ranges::of_key(link, described, request.parallel)? } else { Vec::new() };
    if ranges.is_empty() {
        if request.parallel > 1 {
            tracing::info!(source = %described.label, "one reader: several need a table with rows enough, and a primary key that starts with a whole number");
        }
        link.run(SNAPSHOT)?;
        read_alone(link, described, request, &select, out)?;
    } else {
        let readers = request.parallel.min(ranges.len());
        match same_snapshots(link, described, readers)? {
            Some(mut links) => read_together(&mut links, &Work { described, request, select, ranges: Mutex::new(ranges.into()) }, out)?,
            None => {
                link.run(SNAPSHOT)?;
                read_alone(link, described, request, &select, out)?;
            }
        }
    }
    let rows = out.rows;
    out.end(Position::Snapshot { rows, digest: None }, 0, 0)
}

fn read_alone(link: &mut Link<'_>, described: &Described, request: &ReadRequest, select: &str, out: &mut Out) -> Result<(), Halt> {
    let mut collector = collector(link, described, request)?;
    let query = Query { sql: select.to_owned(), parameters: Vec::new(), watch: Vec::new() };
    let flush = |collector: &mut Collector, out: &mut Out| match collector.take()? {
        Some(batch) => out.rows(batch, None),
        None => Ok(()),
    };
    link.scan(&query, &mut collector, |collector| if collector.is_full() { flush(collector, out) } else { Ok(()) })?;
    flush(&mut collector, out)
}

/// Sessions whose snapshots show the same rows of this table: they are taken while nobody can write to it. `None` when that is not allowed, or
/// would take too long.
pub(super) fn same_snapshots<'a>(link: &mut Link<'a>, described: &Described, readers: usize) -> Result<Option<Vec<Link<'a>>>, ConnectorError> {
    let mut links = Vec::with_capacity(readers);
    for _ in 0..readers {
        let mut opened = Link::open(link.server, link.brake, link.readers)?;
        opened.label.clone_from(&described.label);
        links.push(opened);
    }
    link.run(&format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}"))?;
    if let Err(fault) = link.session.run(&format!("LOCK TABLES {} READ", described.from)) {
        let error = link.failed(fault);
        if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::PermissionDenied) {
            return Err(error);
        }
        let why = error.chain();
        tracing::warn!(source = %described.label, why, "one reader instead of several: they need LOCK TABLES for an instant, so that they see the same rows");
        return Ok(None);
    }
    for reader in &mut links {
        reader.run(SNAPSHOT)?;
    }
    link.run("UNLOCK TABLES")?;
    Ok(Some(links))
}

struct Work<'a> {
    described: &'a Described,
    request: &'a ReadRequest,
    select: String,
    ranges: Mutex<VecDeque<Condition>>,
}

fn read_together(links: &mut [Link<'_>], work: &Work<'_>, out: &mut Out) -> Result<(), Halt> {
    let brake = links.first().map(|link| link.brake);
    let shared = Mutex::new((out, None::<Halt>));
    std::thread::scope(|scope| {
        let readers: Vec<_> = links
            .iter_mut()
            .map(|link| {
                let shared = &shared;
                scope.spawn(move || {
                    if let Err(halt) = read_ranges(link, work, shared) {
                        // The first error is the cause; those of the other readers follow from it.
                        shared.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(halt);
                        if let Some(brake) = brake {
                            brake.pull();
                        }
                    }
                })
            })
            .collect();
        for reader in readers {
            if reader.join().is_err() {
                let bug = Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a reader of the table ended without saying why"));
                shared.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(bug);
            }
        }
    });
    match shared.into_inner().unwrap_or_else(PoisonError::into_inner).1 {
        Some(halt) => Err(halt),
        None => Ok(()),
    }
}

fn read_ranges(link: &mut Link<'_>, work: &Work<'_>, shared: &Mutex<(&mut Out, Option<Halt>)>) -> Result<(), Halt> {
    let mut collector = collector(link, work.described, work.request)?;
    let batch_rows = work.request.batch_rows.max(1);
    let flush = |collector: &mut Collector| match collector.take()? {
        Some(batch) => shared.lock().unwrap_or_else(PoisonError::into_inner).0.cut(&batch, batch_rows),
        None => Ok(()),
    };
    loop {
        let range = work.ranges.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(range) = range else {
            link.is_done = true;
            return flush(&mut collector);
        };
        let query = Query { sql: format!("{} FORCE INDEX (PRIMARY) WHERE {}", work.select, range.sql), parameters: range.parameters, watch: Vec::new() };
        link.scan(&query, &mut collector, |collector| if collector.is_full() { flush(collector) } else { Ok(()) })?;
    }
}
