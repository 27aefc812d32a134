//! `karat status`: what is remembered of each table, and when it runs next. Asks no database.

use crate::arguments::{Scope, TextOrJson};
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined};
use crate::exit::Exit;
use crate::{online, table_text};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use croner::Cron;
use indexmap::IndexMap;
use karat_plugin_api::StreamId;
use karat_state::{StateSnapshot, TableRun};
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// How to print.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
}

#[derive(Serialize)]
struct ProjectStatus {
    project: String,
    tables: IndexMap<String, TableStatus>,
}

#[derive(Serialize)]
struct TableStatus {
    pipeline: String,
    watermark: Option<String>,
    rows: Option<u64>,
    committed_at: Option<DateTime<Utc>>,
    last_run: Option<TableRun>,
    next_run: Option<DateTime<Utc>>,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let sight = examined::state_sight(&arguments.scope, context)?;
    let projects = match arguments.format {
        TextOrJson::Text => examined::all(&arguments.scope, sight, context)?,
        TextOrJson::Json => vec![examined::single(&arguments.scope, sight, context, "this format shows one project")?],
    };
    for project in &projects {
        let snapshot = context.runtime()?.block_on(online::snapshot(&project.spec))?;
        let status = status(project, &arguments.scope, &snapshot, Utc::now());
        match arguments.format {
            TextOrJson::Json => context.printer.json(&status)?,
            TextOrJson::Text => context.printer.data(&text(&status))?,
        }
    }
    Ok(Exit::Done)
}

fn status(project: &Examined, scope: &Scope, snapshot: &StateSnapshot, now: DateTime<Utc>) -> ProjectStatus {
    let spec = &project.spec;
    let tables = project.selected(scope).unwrap_or_default().into_iter().map(|index| {
        let table = &spec.tables[index.position()];
        let name = table.name.to_string();
        let pipeline = &spec.pipelines[table.pipeline];
        let stream = snapshot.streams.get(&StreamId::new(&pipeline.name, &name));
        let next_run = pipeline.schedule.as_ref().and_then(|schedule| next(&schedule.cron, schedule.timezone.as_deref().unwrap_or("UTC"), now));
        let last_run = snapshot.last_runs.get(&name).cloned();
        let watermark = stream.map(|stream| stream.hi.to_string());
        (
            name,
            TableStatus {
                pipeline: pipeline.name.clone(),
                watermark,
                rows: stream.map(|stream| stream.rows),
                committed_at: stream.map(|stream| stream.committed_at),
                last_run,
                next_run,
            },
        )
    });
    ProjectStatus { project: spec.name.clone(), tables: tables.collect() }
}

/// The next moment a schedule names, in its own time zone.
fn next(cron: &str, timezone: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let zone: chrono_tz::Tz = timezone.parse().ok()?;
    let cron: Cron = cron.parse().ok()?;
    cron.find_next_occurrence(&now.with_timezone(&zone), false).ok().map(|next| next.with_timezone(&Utc))
}

fn text(status: &ProjectStatus) -> String {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let lines = status.tables.iter().map(|(name, table)| {
        let last = table.last_run.as_ref().map(|run| format!("{} {}", time(run.ended_at), if run.status == "unchanged" { "nothing to do" } else { &run.status }));
        let rows = table.rows.map(karat_plan::render::count);
        vec![name.clone(), or_none(table.watermark.clone()), or_none(rows), last.unwrap_or_else(|| "never".to_owned()), or_none(table.next_run.map(time))]
    });
    table_text::aligned(&["table", "watermark", "rows", "last run", "next run"], lines)
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_run_is_in_the_schedules_own_time_zone() {
        let now = chrono::DateTime::from_timestamp(1_704_067_200, 0).expect("a time");

        assert_eq!(next("30 6 * * *", "Europe/Berlin", now).map(|next| next.to_rfc3339()), Some("2024-01-01T05:30:00+00:00".to_owned()));
        assert_eq!(next("30 6 * * *", "Nowhere", now), None);
    }
}
